"""The demonstration, with few steps."""

import argparse
import json
import math
import subprocess
import sys

import lightning
import pytest

from ganwatch.cli import main
from ganwatch.commands import demo as command
from ganwatch.core.errors import UserError
from ganwatch.core.outcome import Conclusion, Outcome
from ganwatch.store import queries
from ganwatch.store.database import open_store
from ganwatch.trainer import demo as module
from ganwatch.trainer.defaults import STEPS
from ganwatch.trainer.demo import demo, summary
from ganwatch.trainer.faults import FAULTS
from ganwatch.trainer.summary import report


def test_json_ends_standard_output_with_one_object(tmp_path, capsys):
    assert main(["demo", "--fault", "range-mismatch", "--steps", "130", "--seed", "3", "--store", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=pytest.fail)
    assert result["steps"] == 130
    assert {"loss/g", "d_auc", "pairwise_ratio", "grad_norm/d"} <= result["signals"].keys()
    [incident] = result["incidents"]
    assert (incident["code"], incident["state"], incident["onset"], incident["cause"]) == ("GW501", "firing", 40, None)


def test_non_finite_numbers_are_null_and_the_cause_is_real():
    watch, model = demo("non-finite", steps=90, seed=100, store=None, progress=False)
    result = summary(watch)
    assert not all(math.isfinite(p.detach().sum()) for p in model.parameters())
    assert result["incidents"][0]["code"] == "GW303"
    assert result["signals"]["loss/g"] is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"fault": "boredom"}, "fault"), ({"loss": "l1"}, "loss"), ({"seed": -1}, "seed"), ({"fault": "non-finite", "loss": "hinge"}, "loss")],
)
def test_bad_input_is_named_before_the_first_step(arguments, named):
    with pytest.raises(UserError, match=f"^{named} must"):
        demo(**arguments, store=None, progress=False)


def test_the_summary_names_each_incident_and_its_cause():
    facts = {"state": "firing", "onset": 1, "opened": 2, "resolved": None, "explanation": None}
    incidents = [
        {"id": "GW501-1", "code": "GW501", "title": "range mismatch", "cause": None} | facts,
        {"id": "GW101-1", "code": "GW101", "title": "mode collapse", "cause": "GW501"} | facts,
    ]
    outcome = Outcome(9, Conclusion.INCIDENTS, ("GW501", "GW101"), titles={"GW501": "range mismatch", "GW101": "mode collapse"})
    text = "\n".join(report({"run": "abc", "steps": 9, "incidents": incidents, "outcome": outcome.to_plain()}, "runs"))
    assert "9 steps, 2 incidents: mode collapse (GW101), range mismatch (GW501)." in text
    assert "mode collapse (GW101): onset at step 1, open at the end, explained by range mismatch (GW501)" in text


def test_every_fault_changes_the_set_up_and_names_a_code():
    assert all(fault.model or fault.data for fault in FAULTS.values())
    assert len({fault.code for fault in FAULTS.values()}) == len(FAULTS)


class Interrupt(lightning.Callback):
    def on_train_batch_end(self, trainer, gan, *_):
        if gan.g_updates == 4:
            raise KeyboardInterrupt


@pytest.mark.parametrize("json_wanted", [True, False])
def test_ctrl_c_stops_the_run_and_says_what_was_seen(json_wanted, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "SignalBar", lambda *_: Interrupt())
    assert main(["demo", "--store", str(tmp_path), *["--json"] * json_wanted]) == 130
    out = capsys.readouterr().out
    with open_store(tmp_path) as store:
        [run] = queries.runs(store)
    assert run.state == "stopped"
    if json_wanted:
        assert (json.loads(out)["run"], json.loads(out)["steps"]) == (run.id, 4)
    else:
        assert f"Run {run.id} was stopped: 4 steps, no incident was found, but not everything was judged." in out


@pytest.mark.parametrize("words", [["--fault", "boredom"], ["--loss", "l1"]])
def test_an_unknown_choice_fails_without_torch(words):
    code = f"""
import sys
from ganwatch.cli import main
try:
    main(["demo", *{words}])
finally:
    assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"ganwatch demo: {words[0]} must be one of ")
    assert line.endswith(f", got {words[1]!r}")


def test_help_says_how_many_steps_each_case_takes():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    text = " ".join(parser.format_help().split()).replace("- ", "-")  # a line may end within a word
    assert f"default: {STEPS['hinge']}, {STEPS['wgan-gp']} with wgan-gp" in text
    assert all(f"{fault.steps} for {name}" in text for name, fault in FAULTS.items())
