"""``ganwatch drill``: one real drill, and the arguments that it refuses."""

import json
import subprocess
import sys

import pytest

from ganwatch.cli import main
from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.drill import injections
from ganwatch.drill.report import evaluate_drill, format_report
from ganwatch.store import queries
from ganwatch.store.database import open_store


def test_a_drill_from_the_injection_to_the_page(tmp_path, capsys):
    assert main(["drill", "non-finite", "--step", "25", "--steps", "40", "--store", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    drill = result["drill"]
    assert (drill["injected"], drill["right"], drill["before"], drill["incidents"][0]["code"]) == (25, True, [], "GW303")
    assert drill["incidents"][0]["alert"]["receiver"] == "model-page"
    with open_store(tmp_path) as store:
        [run] = queries.runs(store)
    assert run.name == "drill non-finite at step 25: demo healthy non-saturating"


def incident(code, fired, cause=None):
    onset, opened = fired - 5, fired
    return Incident(f"{code}-1", code, "a title", Severity.PAGE, State.FIRING, onset, opened, cause=cause, fired=fired, remedies="Do it.")


@pytest.mark.parametrize(
    ("incidents", "right", "said"),
    [
        ([], False, "nothing; expected mode collapse (GW101)"),
        ([incident("GW101", 620)], True, "a title (GW101) at step 620, 20 steps later"),
        (
            [incident("GW101", 620), incident("GW201", 610, cause="GW101-1")],
            True,
            "a title (GW201) at step 610, explained by a title (GW101)",
        ),
        ([incident("GW101", 620, cause="GW201-1"), incident("GW201", 640)], False, "no; expected a title (GW101)"),
        ([incident("GW101", 590), incident("GW201", 640)], False, "mode collapse (GW101) had fired already"),
        ([incident("GW101", 620), incident("GW201", 610)], False, "a title (GW201) at step 610, 10 steps later"),
    ],
)
def test_the_first_incident_without_a_cause_decides(incidents, right, said):
    result = evaluate_drill(injections()["mode-collapse"](), 600, incidents)
    assert result["right"] is right
    assert said in "\n".join(format_report(result))


def test_a_drill_that_finds_nothing_fails(tmp_path, capsys):
    assert main(["drill", "stall", "--step", "2", "--steps", "2", "--store", str(tmp_path)]) == 1
    assert "nothing; expected stall (GW403)" in capsys.readouterr().out


def test_the_list_names_every_injection(capsys):
    assert main(["drill", "--list"]) == 0
    head, *listed = capsys.readouterr().out.splitlines()
    assert head.split() == ["FAILURE", "INCIDENTS", "CAUSE"]
    assert any("mode dropping (GW102), data drift (GW402)" in line for line in listed)
    assert [line.split()[0] for line in listed] == list(injections())
    assert all(line.endswith(cls.cause) for line, cls in zip(listed, injections().values(), strict=True))


@pytest.mark.parametrize(
    ("words_given", "message"),
    [
        ([], "FAILURE must be one of"),
        (["stall", "--step", "30", "--steps", "20"], "--step must be <= --steps (the training ends there), got 30 and 20"),
        (["stall", "--step", "0"], "--step must be >= 1 (updates of the generator), got 0"),
        (["stall", "--seed", "-1"], "--seed must be >= 0, got -1"),
    ],
)
def test_bad_input_is_named_before_the_first_step(words_given, message, tmp_path, capsys):
    assert main(["drill", *words_given, "--store", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_failure_is_refused_without_torch():
    code = "import sys\nfrom ganwatch.cli import main\ntry: main(['drill', 'boredom'])\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("ganwatch drill: FAILURE must be one of mode-collapse, ")
    assert line.endswith(", got 'boredom'")
