"""``ganwatch gate``: three outcomes with exit codes, JSON for a rollout, one page."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest
import torch

import ganwatch
from ganwatch.cli import main
from ganwatch.data.origin import read_origin
from ganwatch.gate.outcome import FAILURE_CONDITION, SUCCESS_CONDITION

DRAW = np.random.default_rng(0)
LATENTS = DRAW.normal(size=(400, 3)).astype(np.float32)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("real.npy", DRAW.normal(size=(400, 3)).astype(np.float32))
    for name, shift in {"good": 0.5, "equal": 0.5, "better": 0.3, "bad": 1.0}.items():
        np.save(f"{name}.npy", LATENTS + np.float32(shift))
    np.save("few.npy", LATENTS[:20])
    return tmp_path


@pytest.mark.parametrize(
    ("candidate", "code", "outcome"),
    [("equal", 0, "not_worse"), ("better", 0, "not_worse"), ("bad", 20, "worse"), ("few", 3, "inconclusive")],
)
@pytest.mark.usefixtures("files")
def test_exit_codes(candidate, code, outcome, capsys):
    words = ["gate", f"{candidate}.npy", "good.npy", "--real", "real.npy"]
    assert main([*words, "--json"]) == code
    result = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert result["outcome"] == outcome
    assert main(words) == code
    assert capsys.readouterr().out.startswith(outcome.replace("_", " "))


@pytest.mark.usefixtures("files")
def test_json_has_the_conditions_of_a_rollout(capsys):
    """Argo Rollouts evaluates a condition with the body as ``result``."""
    main(["gate", "bad.npy", "good.npy", "--real", "real.npy", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert (result["successCondition"], result["failureCondition"]) == (SUCCESS_CONDITION, FAILURE_CONDITION)
    holds = {name: result[name] == f'result.outcome == "{result["outcome"]}"' for name in ("successCondition", "failureCondition")}
    assert holds == {"successCondition": False, "failureCondition": True}
    assert set(result["provenance"]["sha256"]) == {"CANDIDATE", "BASELINE", "--real"}


def test_a_page_with_hostile_names_shows_them_as_text(files, capsys):
    name = "<script>alert(1)<&>.npy"
    np.save(name, LATENTS + np.float32(0.5))
    assert main(["gate", name, "good.npy", "--real", "real.npy", "--page", "new/page.html"]) == 0
    page = (files / "new/page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("data:image/png;base64,") == 3
    assert "default-src 'none'" in page
    origins = [read_origin(base64.b64decode(data)) for data in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    digest = hashlib.sha256((files / name).read_bytes()).hexdigest()
    assert origins[0] == {"Source": "trainedAlgorithmicMedia", "checkpoint": digest}
    assert [one["Source"] for one in origins[1:]] == ["trainedAlgorithmicMedia", "digitalCapture"]
    assert "page.html" in capsys.readouterr().out


def test_checkpoints_with_a_sampler_draw_from_the_same_latents(files, capsys):
    (files / "sampling.py").write_text(
        "import torch\n"
        "def draw(states, count, seed):\n"
        "    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) + states['G']['shift']\n"
        "def wrong(states, count, seed):\n"
        "    return [1.0] * count\n"
        "def fails(states, count, seed):\n"
        "    raise KeyError('weight')\n"
    )
    g, d = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    for name, shift in {"one": 0.5, "two": 0.8}.items():
        with ganwatch.watch(G=g, D=d, store=None) as watching:
            watching.checkpoint(name, {"G": {"shift": torch.tensor(shift)}})
    torch.save({"G": {"shift": torch.tensor(0.5)}}, "three.pt")
    words = ["--real", "real.npy", "--sampler"]
    capsys.readouterr()
    assert main(["gate", "three.pt", "one", *words, "sampling:draw", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairing"] == "latents"
    assert main(["gate", "two", "one", *words, "sampling:draw"]) == 20
    for function, message in {"wrong": "--sampler must return", "fails": "--sampler must draw samples, got KeyError"}.items():
        assert main(["gate", "two", "one", *words, f"sampling:{function}"]) == 2
        assert message in capsys.readouterr().err
    assert main(["gate", "none.pt", "one", *words, "sampling:draw"]) == 2
    assert "CANDIDATE: checkpoint must be a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--margin", "0"], "--margin must be > 0"),
        (["--level", "0.7"], "--level must be in"),
        (["--range", "1", "0"], "--range must be LOW HIGH"),
        (["--features", "discriminator"], "needs a checkpoint of ganwatch train as BASELINE"),
        (["--page", "real.npy/page.html"], "--page"),
    ],
)
@pytest.mark.usefixtures("files")
def test_bad_arguments(words, message, capsys):
    assert main(["gate", "good.npy", "good.npy", "--real", "real.npy", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("value", ["1e30", "1e18"])
def test_values_that_no_distance_holds_are_inconclusive(files, value, capsys):
    np.save("huge.npy", LATENTS * np.float32(float(value)))
    assert main(["gate", "huge.npy", "good.npy", "--real", "real.npy", "--json"]) in {3, 20}
    json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
