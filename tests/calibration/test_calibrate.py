from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ganwatch
from ganwatch.calibration.fit import fit_settings, poisson_upper_bound, steps_needed
from ganwatch.cli import main
from ganwatch.commands.calibrate import _describe_fit, is_kept
from ganwatch.core.detector_settings import (
    arguments_at,
    create_detectors,
    discover_detectors,
    non_default_arguments,
    read_preset,
    write_preset,
)
from ganwatch.core.errors import UserError
from ganwatch.detectors.mode_collapse import ModeCollapse
from ganwatch.recordings import Recording, read_recordings, write_recordings
from ganwatch.session.lightning import GanWatch

RECORDED = Path(__file__).parents[1] / "recorded"


DETECTORS = [word for code in ("GW101", "GW102", "GW301", "GW303") for word in ("--detectors", code)]


def run_json(capsys, *args, exit_code: int = 0) -> dict:
    assert main([*map(str, args), "--json"]) == exit_code
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def noisy(tmp_path) -> Path:
    """Three real runs of one of which we say that it is healthy although mode collapse is found in it, and one that is said to fail."""
    runs = [next(read_recordings(RECORDED / f"{name}-0.parquet")) for name in ("least-squares", "wgan-gp", "mode-collapse", "non-finite")]
    facts = [{}, {"label": "healthy"}, {}, {"label": "non-finite"}]
    path = tmp_path / "noisy.parquet"
    write_recordings(path, [Recording(run.name, run.readings, known) for run, known in zip(runs, facts, strict=True)])
    return path


def test_the_rate_is_kept_on_the_same_runs(capsys, noisy):
    preset = noisy.with_name("preset.toml")
    before = run_json(capsys, "replay", noisy, "--label", "healthy", *DETECTORS)
    assert (before["healthy"]["alarms"], before["healthy"]["steps"]) == (1, 4200)
    fitted = run_json(capsys, "calibrate", "--runs", noisy, "--false-alarms", 10, "--out", preset, *DETECTORS)
    assert (fitted["runs"], fitted["steps"], fitted["false_alarms"], fitted["unhealthy"], fitted["guaranteed"]) == (3, 4200, 0, 1, True)
    assert fitted["detectors"]["GW102"]["strictness"] == 0.0
    unjudged, judged = (fitted["detectors"][code] for code in ("GW102", "GW301"))
    assert (unjudged["alarms"], unjudged["judged"], judged["alarms"], judged["judged"]) == (None, False, 0, True)
    assert fitted["detectors"]["GW101"]["strictness"] > 0.0 > fitted["detectors"]["GW301"]["strictness"]
    assert run_json(capsys, "replay", noisy, "--label", "healthy", *DETECTORS, "--preset", preset)["healthy"]["alarms"] == 0
    looser = run_json(capsys, "calibrate", "--runs", noisy, "--false-alarms", 12, "--out", preset, *DETECTORS)
    assert looser["detectors"]["GW101"]["strictness"] < 0.0
    kept = run_json(capsys, "replay", noisy, "--label", "healthy", *DETECTORS, "--preset", preset)["healthy"]
    assert 1 <= kept["alarms"] <= 12 * 4200 / 10_000
    provenance = tomllib.loads(preset.read_text())["provenance"]
    assert provenance["ganwatch"] == ganwatch.__version__
    assert (provenance["runs"], provenance["steps"], provenance["false_alarms"]) == (3, 4200, kept["alarms"])


def test_too_few_steps_are_said_and_nothing_becomes_more_sensitive(capsys, noisy):
    args = ["calibrate", "--runs", str(noisy), "--false-alarms", "0.1", "--out", str(noisy.with_name("preset.toml")), *DETECTORS]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "NOT GUARANTEED: 0.1 in 10,000 takes 299,574 steps without a false alarm, and there are 4,200" in out
    assert "left out, as not healthy: 1 runs (non-finite)" in out
    preset = read_preset(noisy.with_name("preset.toml"))
    assert preset["GW301"] == arguments_at(next(cls for cls in discover_detectors() if cls.code == "GW301"), 0.0)
    assert preset["GW101"]["min_vendi_ratio"] < ModeCollapse().min_vendi_ratio
    assert "GW102" not in preset


def test_a_rate_that_cannot_be_kept_is_said(capsys, noisy):
    [failing] = read_recordings(RECORDED / "non-finite-0.parquet")
    write_recordings(noisy, [Recording("a", failing.readings), Recording("b", failing.readings)])
    preset = noisy.with_name("preset.toml")
    args = ["calibrate", "--runs", str(noisy), "--false-alarms", "10", "--out", str(preset), *DETECTORS]
    assert main(args) == 1
    assert not preset.exists()
    preset.write_text("an older one")
    assert main(args) == 1
    said = capsys.readouterr().out
    assert "NOT KEPT: even the strictest settings exceed 10 in 10,000" in said
    assert "non-finite values (GW303)" in said
    assert said.endswith("no preset is written\n")
    assert run_json(capsys, *args, exit_code=1)["preset"] is None
    assert preset.read_text() == "an older one"


def test_a_sweep_is_the_replay_at_each_setting(capsys, noisy):
    swept = run_json(capsys, "replay", noisy, "--label", "healthy", "--sweep", *DETECTORS)
    swept = [row for row in swept if row["code"] != "GW301"]
    assert [(row["code"], row["strictness"]) for row in swept] == [*(("GW101", position / 4) for position in range(-4, 5)), ("GW303", 0.0)]
    for row in swept[:-1]:
        preset = noisy.with_name("preset.toml")
        write_preset(preset, {"GW101": row["arguments"]}, {})
        alone = run_json(capsys, "replay", noisy, "--label", "healthy", "--detectors", "GW101", "--preset", preset)
        assert row["healthy"] == alone["healthy"], row["strictness"]
    assert {row["healthy"]["alarms"] for row in swept[:-1]} >= {0, 1}
    assert (swept[-1]["recall"]["count"], swept[-1]["recall"]["total"], swept[-1]["step"]) == (1, 1, 28)


def test_a_sweep_for_people_has_a_row_for_each_setting(capsys, noisy):
    words = [word for code in ("GW501", "GW102", "GW402") for word in ("--detectors", code)]
    assert main(["replay", str(noisy), "--sweep", "--label", "healthy", *words]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head[:3] == ["DETECTOR", "STRICTNESS", "FOUND"]
    assert [row[:4] for row in rows[:9]] == [["range", "mismatch", "(GW501)", f"{position / 4:+g}"] for position in range(-4, 5)]
    assert rows[4][-3:] == ["reach_ratio=8", "excess_ratio=0.5", "window=120"]
    assert "mode dropping (GW102) could not evaluate 4 runs: no modes_missing and modes and frechet since step 200" in " ".join(rows[-1])
    assert not any(code in row for row in rows[:-1] for code in ("(GW102)", "(GW402)"))


COUNTS = st.integers(1, 4).flatmap(
    lambda runs: st.tuples(
        st.dictionaries(
            st.sampled_from(["GW101", "GW201", "GW301"]),
            st.lists(st.lists(st.integers(0, 6), min_size=runs, max_size=runs), min_size=5, max_size=5),
            min_size=1,
        ),
        st.lists(st.integers(1, 200_000), min_size=runs, max_size=runs),
    )
)


@settings(max_examples=50, deadline=None)
@given(COUNTS, st.floats(0.05, 20.0))
def test_a_guaranteed_rate_holds_and_avoidable_alarms_are_avoided(given, rate):
    counts, steps = given
    fitted = fit_settings(counts, steps, rate, default_position=2)
    assert fitted.alarms == sum(sum(counts[code][position]) for code, position in fitted.positions.items())
    strictest = sum(sum(settings[0]) for settings in counts.values())
    allowed = rate * sum(steps) / 10_000
    assert fitted.is_guaranteed == (poisson_upper_bound(fitted.alarms) <= allowed)
    assert fitted.is_guaranteed or fitted.alarms <= strictest
    if poisson_upper_bound(0) > allowed:
        assert max(fitted.positions.values()) <= 2
    if fitted.is_guaranteed and len(counts) == 1:  # nothing but its own next setting can have stopped it
        [(code, position)] = fitted.positions.items()
        assert position == 4 or poisson_upper_bound(sum(counts[code][position + 1])) > allowed
    assert (fitted.leave_one_out is None) == (len(steps) == 1)
    assert fit_settings(counts, steps, rate, default_position=2, capped=["GW201"]).positions.get("GW201", 0) <= 2


def test_runs_left_out_get_settings_fitted_to_the_others():
    counts = {"GW101": [[0, 0, 0], [5, 0, 0], [5, 0, 0]]}
    fitted = fit_settings(counts, [100_000] * 3, 0.3, default_position=1)
    assert (fitted.positions, fitted.alarms, fitted.is_guaranteed) == ({"GW101": 0}, 0, True)
    assert fit_settings({"GW101": [[0, 0], [0, 0], [0, 0]]}, [100_000] * 2, 0.3, default_position=1).positions == {"GW101": 2}
    assert (fitted.leave_one_out.alarms, fitted.leave_one_out.flagged.count, fitted.leave_one_out.steps) == (5, 1, 300_000)
    assert steps_needed(0.5) == 59915


def test_runs_that_differ_too_much_are_said():
    counts = {"GW101": [[0, 0, 0], [9, 0, 0]], "GW201": [[0, 0, 0], [0, 9, 0]], "GW301": [[0, 0, 0], [0, 0, 9]]}
    fitted = fit_settings(counts, [100_000] * 3, 0.5, default_position=1)
    assert (fitted.alarms, fitted.leave_one_out.alarms) == (0, 27)
    assert "NOT KEPT on runs left out of the fit" in _describe_fit(0.5, fitted, 3, [])[-1]
    assert "NOT KEPT" not in " ".join(_describe_fit(1.0, fitted, 3, []))
    assert [is_kept(rate, fitted) for rate in (0.5, 1.0)] == [False, True]


def test_settings_lie_between_the_ends():
    sensitive, shipped, strict = (arguments_at(ModeCollapse, at) for at in (-1.0, 0.0, 1.0))
    assert {name: (sensitive[name], strict[name]) for name in sensitive} == dict(ModeCollapse.tunable)
    assert non_default_arguments(create_detectors([ModeCollapse], {"GW101": shipped})) == {}
    half = arguments_at(ModeCollapse, -0.5)
    assert half["min_vendi_ratio"] == pytest.approx((0.35 * 0.6) ** 0.5, rel=1e-5)
    assert isinstance(half["patience"], int)
    with pytest.raises(ValueError, match=r"strictness must be in \[-1, 1\], got 2"):
        arguments_at(ModeCollapse, 2)


def test_a_preset_sets_the_detectors_of_both_front_ends(tmp_path):
    preset = tmp_path / "mine.toml"
    write_preset(preset, {"GW101": {"min_vendi_ratio": 0.25}, "GW301": {"window": 90}}, {"runs": 3})
    expected = {"GW101": {"min_vendi_ratio": 0.25}, "GW301": {"window": 90}}
    with ganwatch.watch(G=nn.Linear(2, 3), D=nn.Linear(3, 1), store=None, preset=preset) as watching:
        assert non_default_arguments(watching.observer.detectors) == expected
    assert GanWatch(store=None, preset=str(preset)).settings == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[detectors.GW999]\nmin_vendi_ratio = 1.0", "must name existing detectors, got GW999; there are network not updated (GW001), "),
        ("[detectors.GW101]\nvendi = 0.2", "must give mode collapse (GW101) existing arguments (min_vendi_ratio, "),
        ("[detectors.GW101]\nmin_vendi_ratio = 'low'", "a finite number of at most 1e+09 as min_vendi_ratio, got 'low'"),
        ("[detectors.GW101]\nmin_vendi_ratio = nan", "a finite number of at most 1e+09 as min_vendi_ratio, got nan"),
        ("[detectors.GW101]\nwindow = 20.5", "must give mode collapse (GW101) a whole number as window, got 20.5"),
        ("[detectors.GW101]\nwindow = 0", "must give mode collapse (GW101) valid arguments: size must be >= 1 (steps), got 0"),
        ("GW101 = 3", "must have a table [detectors.CODE] for each detector, got GW101"),
        ("min_vendi_ratio =", "must be a TOML file of ganwatch calibrate"),
    ],
)
def test_a_preset_that_names_what_is_not_there_is_refused_before_the_training(tmp_path, capsys, text, message):
    preset = tmp_path / "mine.toml"
    preset.write_text(text)
    for front in (lambda: GanWatch(preset=preset), lambda: ganwatch.watch(G=nn.Linear(2, 3), D=nn.Linear(3, 1), store=None, preset=preset)):
        with pytest.raises(UserError) as raised:
            front()
        assert message in str(raised.value)
    assert main(["replay", str(RECORDED), "--preset", str(preset)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"--false-alarms": "0"}, "--false-alarms must be > 0 and < 10000 (in 10,000 steps), got 0"),
        ({"--out": "nowhere/preset.toml"}, "--out must be a file in a folder that exists"),
        ({"--runs": str(RECORDED / "non-finite-0.parquet")}, "--runs must have healthy runs with readings, got 1 runs, 0 of them healthy"),
    ],
)
def test_wrong_arguments_are_refused(capsys, tmp_path, args, message):
    given = {"--runs": str(RECORDED), "--false-alarms": "10", "--out": str(tmp_path / "preset.toml")} | args
    assert main(["calibrate", *[text for pair in given.items() for text in pair]]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_preset_goes_without_detectors_and_without_a_sweep(capsys, tmp_path):
    write_preset(tmp_path / "mine.toml", {}, {})
    with pytest.raises(UserError, match="preset or detectors, not both"):
        GanWatch(preset=tmp_path / "mine.toml", detectors=[])
    with pytest.raises(UserError, match="preset must be the path of a TOML file or None, got dict"):
        GanWatch(preset={"GW101": {}})
    assert main(["replay", str(RECORDED), "--sweep", "--preset", str(tmp_path / "mine.toml")]) == 2
    assert "leave out --preset" in capsys.readouterr().err
