"""What the README says is so."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import ganwatch
from ganwatch.cli import main, parser
from ganwatch.store import queries
from ganwatch.store.database import open_store
from ganwatch.trainer.data import GANData
from ganwatch.trainer.faults import FAULTS
from ganwatch.trainer.module import GAN

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_five_lines_of_code_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, *_ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    import lightning

    class Short(lightning.Trainer):
        def __init__(self, **given):
            super().__init__(
                max_steps=6, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **given
            )

    assert "from lightning import Trainer" in code
    monkeypatch.setattr(lightning, "Trainer", Short)
    exec(compile(code, "README", "exec"), {"my_gan": GAN(), "my_data": GANData()})  # noqa: S102  # the README's own lines
    assert (tmp_path / "runs" / "ganwatch.db").exists()


def test_the_line_for_any_other_loop_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, code, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    given = {"netG": nn.Linear(2, 3), "netD": nn.Linear(3, 1)}
    watching = code.replace("ganwatch.watch(", "watching = ganwatch.watch(")
    exec(compile(watching, "README", "exec"), given)  # noqa: S102  # the README's own lines
    optimizer = torch.optim.SGD(given["netG"].parameters(), lr=0.1)
    given["netD"](given["netG"](torch.randn(8, 2))).mean().backward()
    optimizer.step()
    given["watching"].close()
    with open_store(tmp_path / "runs") as store:
        [run] = queries.runs(store)
    assert (run.state, run.last_step) == ("finished", 1)


def test_the_line_for_networks_out_of_reach_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    given = {"ganwatch": ganwatch}
    exec(compile(f"watching = {code}", "README", "exec"), given)  # noqa: S102  # the README's own line
    given["watching"].close()


def test_every_command_is_documented_and_every_documented_command_exists():
    known = next(action.choices for action in parser()._actions if action.dest == "command")
    assert set(known) == set(re.findall(r"`ganwatch ([a-z]+)", README))


def test_the_replay_of_recorded_runs_is_what_it_prints(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    [(command, printed)] = re.findall(r"^\$ (ganwatch replay tests/.*)\n((?:.*\n)*?)```", README, re.MULTILINE)
    assert main(command.split()[1:]) == 0
    *lines, speed = capsys.readouterr().out.splitlines()
    assert (lines, speed[:24]) == (printed.splitlines(), "1,800 steps of 2 runs in")


def test_faults_and_their_codes_are_those_of_the_demo():
    stated = dict(re.findall(r"^\| `([a-z-]+)` \|[^|]*\| (GW\d+) \|$", README, re.MULTILINE))
    assert stated == {name: fault.code for name, fault in FAULTS.items()}


def test_names_of_networks_and_cadences_are_those_of_the_code():
    from ganwatch.probes.heldout import LOOK
    from ganwatch.session.defaults import default_probes
    from ganwatch.session.lightning import DISCRIMINATORS, GENERATORS

    text = " ".join(README.split())
    for names in (GENERATORS, DISCRIMINATORS):
        assert ", ".join(f"`{name}`" for name in names) in text
    said = re.search(r"Losses at every step; (.*?)\. All", text)
    stated = {word: int(step) for words, step in re.findall(r"([^;]+?) at every (\d+)th", said[1]) for word in re.findall("[a-z]+", words)}
    words = {"gradients": "gradient", "saturation": "discriminator", "training": "learning", "losses": None, "gradient_flow": "flow"}
    for probe in default_probes():
        if probe.name == "quality":
            assert f"At most every {probe.interval}th step and in at most {100 * probe.share:g} % of the time" in text
            continue
        if probe.name == "heldout":
            assert f"shown to the discriminator every {LOOK}th step" in text
            continue
        word = words.get(probe.name, probe.name)
        assert stated.get(word, 1) == probe.every, probe.name


def test_the_line_that_lists_signals_does():
    [line] = re.findall(r"`python -c \"(.*?)\"`", (ROOT / "CONTRIBUTING.md").read_text())
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert "grad_norm | network | norm | " in done.stdout


def test_the_table_of_features_is_that_of_the_measured_results_and_names_the_default(monkeypatch):
    from ganwatch.features.registry import DEFAULT

    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    import features

    rows = json.loads(features.RESULTS.read_text())
    assert features.markdown(rows) in (ROOT / "CONTRIBUTING.md").read_text()
    assert features.best(rows) == DEFAULT
    monkeypatch.delitem(sys.modules, "features")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"`?make ([a-z-]+)[` ]", (ROOT / document).read_text())) <= targets | {"lint types"}
