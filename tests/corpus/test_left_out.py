"""Folds of the wild part leave out every run once in each dimension, and figures follow from the replayed runs."""

import pytest
from corpus.left_out import GROUPS, STRICTNESS, LeftOut, fit_fold, make_folds, notifies_first

from ganwatch.calibration.replayed_runs import Alarm, ReplayedRun
from ganwatch.detectors.mode_collapse import ModeCollapse


def make_run(name, label="healthy", codes=(), alarms=(), steps=400_000):
    made = tuple(Alarm(f"{code}-1", code, "", 5, fired, None, cause, 1) for code, fired, cause in alarms)
    return ReplayedRun(name, label, codes, 100 if codes else None, 100 if codes else None, steps, made, {}, "clean", {}, {}, steps)


def make_facts(number):
    setup = {"loss": f"loss{number % 3}", "network": f"network{number % 5}", "world": f"world{number % 4}"}
    cause = {"name": f"cause{number % 7}", "kind": f"kind{number % 7 % 5}", "step": 100} if number % 2 else None
    return {"setup": setup, "cause": cause}


def test_each_run_is_left_out_once_in_each_dimension():
    facts = {f"run{number}": make_facts(number) for number in range(100)}
    folds = make_folds(facts)
    assert len(folds) == sum(GROUPS.values())
    for one in facts.values():
        for dimension in GROUPS:
            held = [fold for fold in folds if fold.dimension == dimension and fold.holds(one)]
            assert len(held) == (0 if dimension == "cause" and one["cause"] is None else 1)


def test_settings_are_fitted_without_the_runs_of_the_group():
    facts = {f"run{number}": make_facts(2 * number) for number in range(12)}
    fold = next(fold for fold in make_folds(facts) if fold.dimension == "loss")
    noisy = [make_run(name, alarms=[("GW101", 200, None)] * 4) if fold.holds(one) else make_run(name) for name, one in facts.items()]
    quiet = [make_run(name) for name in facts]
    grids = [quiet, quiet, quiet, quiet, noisy]  # the most sensitive setting alarms within the group alone
    sensitive = fit_fold(fold, grids, facts, [ModeCollapse])["GW101"]
    other = next(one for one in make_folds(facts) if one.dimension == "loss" and one != fold)
    assert sensitive["drop_ratio"] == ModeCollapse.tunable["drop_ratio"][0]
    assert fit_fold(other, grids, facts, [ModeCollapse])["GW101"]["drop_ratio"] < sensitive["drop_ratio"]
    assert STRICTNESS[0] == 1.0


@pytest.mark.parametrize(("alarms", "expected"), [
    ([("GW101", 120, None)], True), ([("GW301", 110, None), ("GW101", 120, None)], False),
    ([("GW301", 120, "GW101-1"), ("GW101", 120, None)], True), ([("GW101", 50, None)], False), ([], False),
])  # fmt: skip
def test_the_first_alarm_after_the_cause_must_have_a_right_code(alarms, expected):
    assert notifies_first(make_run("one", "mode-collapse", ("GW101",), alarms)) == expected


def test_undetermined_runs_count_against_ganwatch_in_lines_of_their_own():
    runs = [
        make_run("found", "mode-collapse", ("GW101",), [("GW101", 150, None)]), make_run("unclear", "undetermined"), make_run("good"),
        make_run("odd", "undetermined", alarms=[("GW304", 9, None)]),
    ]  # fmt: skip
    facts = {"found": make_facts(1), "unclear": make_facts(3), "good": make_facts(2), "odd": make_facts(4)}
    text = str(LeftOut(dict.fromkeys(GROUPS, runs), facts))
    assert "found, if those with a cause count as missed: 1 of 2" in text
    assert "flagged, if those without one count as healthy: 1 of 2" in text
    assert "GW101 1" in text
