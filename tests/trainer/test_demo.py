"""The demonstration, in short."""

import json
import math

import pytest

from ganwatch.cli import main
from ganwatch.errors import UserError
from ganwatch.trainer.demo import demo, summary
from ganwatch.trainer.faults import FAULTS


def test_json_ends_standard_output_with_one_object(tmp_path, capsys):
    assert main(["demo", "--fault", "range-mismatch", "--steps", "130", "--seed", "3", "--store", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=pytest.fail)
    assert result["steps"] == 130
    assert {"loss/g", "d_auc", "pairwise_ratio", "grad_norm/d"} <= result["signals"].keys()
    [incident] = result["incidents"]
    assert (incident["code"], incident["state"], incident["onset"], incident["cause"]) == ("GW501", "firing", 1, None)


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


def test_every_fault_changes_the_set_up_and_names_a_code():
    assert all(fault.model or fault.data for fault in FAULTS.values())
    assert len({fault.code for fault in FAULTS.values()}) == len(FAULTS)
