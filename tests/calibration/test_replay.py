from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from ganwatch.calibration.rates import Proportion, count_false_alarms, detection_rates_by_label, poisson_interval
from ganwatch.calibration.replayed_runs import Alarm, ReplayedRun
from ganwatch.cli import main
from ganwatch.core.readings import Readings, Run
from ganwatch.core.replay import replay
from ganwatch.recordings import Recording, read_recordings, write_recordings
from ganwatch.session.defaults import default_detectors
from ganwatch.sinks.sql import SqlSink
from ganwatch.store.database import open_store
from ganwatch.trainer.faults import FAULTS

RECORDED = Path(__file__).parents[1] / "recorded"


def replay_json(capsys, *args) -> dict:
    assert main(["replay", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_of_real_runs_is_replayed_as_each_run_alone(capsys, jobs):
    result = replay_json(capsys, RECORDED, "--jobs", jobs)
    alone = {}
    for path in sorted(RECORDED.glob("*.parquet")):
        [recording] = read_recordings(path)
        alone[recording.name] = [(i.id, i.onset, i.fired, i.cause) for i in replay(recording.readings, default_detectors())]
    seen = {run["name"]: [(a["id"], a["onset"], a["fired"], a["cause"]) for a in run["alarms"]] for run in result["runs"]}
    assert {name: sorted(alarms) for name, alarms in seen.items()} == {name: sorted(alarms) for name, alarms in alone.items()}
    assert (result["healthy"]["alarms"], result["healthy"]["steps"], result["healthy"]["flagged"]) == (0, 3200, {"count": 0, "total": 2})
    counts = {one["label"]: (one["recall"]["count"], one["correct_root"]["count"]) for one in result["failures"]}
    assert counts == dict.fromkeys(FAULTS, (1, 1))


def test_the_report_has_the_counts_behind_its_rates(capsys, tmp_path):
    [failing] = read_recordings(RECORDED / "mode-collapse-0.parquet")
    [healthy] = read_recordings(RECORDED / "wgan-gp-0.parquet")
    write_recordings(
        tmp_path / "runs.parquet",
        [
            Recording("late", failing.readings, failing.facts | {"onset": 300, "onset_low": 260}),
            Recording("early", failing.readings, failing.facts | {"onset": 800, "onset_low": None}),
            Recording("healthy", failing.readings, {"label": "healthy"}),
            Recording("who knows", healthy.readings),
        ],
    )
    assert main(["replay", str(tmp_path), "--detectors", "GW101", "--detectors", "ganwatch.detectors.non_finite:NonFinite"]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["late", "mode-collapse", "1000", "GW101-1", "mode collapse", "240", "400", "-", "100"] in rows
    assert ["early", "mode-collapse", "1000", "GW101-1", "mode collapse", "240", "400", "-", "-400"] in rows
    assert ["who knows", "-", "1200", "none"] in rows
    assert ["mode-collapse", "2", "1", "0.09 to 0.91", "2", "400", "100"] in rows
    assert ["false alarms: 1 on 1 of 1 healthy runs, 10 in 10,000 steps (95% interval 0.253 to 55.7; 1,000 steps judged)"] in rows
    assert any("1 run not known to be healthy or failing" in row[0] for row in rows if row)


def test_runs_of_a_store_are_shown_by_their_names(capsys, tmp_path):
    for position, (run, name) in enumerate([("aaaaaaaaaaaa", "mine"), ("bbbbbbbbbbbb", "mine"), ("cccccccccccc", "yours")]):
        sink = SqlSink(open_store(str(tmp_path)))
        sink.start(Run(run, name, started=1.0 + position))
        sink.readings([Readings(1, {"loss/g": 1.0})])
        sink.finish("finished")
        sink.close()
    assert main(["replay", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:4]] == ["mine (aaaaaaaa)", "mine (bbbbbbbb)", "yours"]
    assert any(line.startswith("mode collapse (GW101) could not evaluate 3 runs: needs ") for line in lines)
    result = replay_json(capsys, "yours", "--store", tmp_path)
    assert [(run["name"], run["run_name"]) for run in result["runs"]] == [("cccccccccccc", "yours")]
    assert result["titles"]["GW101"] == "mode collapse"


def test_a_table_of_others_is_replayed(capsys, tmp_path):
    table = "\n".join(f"{step},{'nan' if step > 70 else 0.5},x" for step in range(100))
    (tmp_path / "run.csv").write_text(f"it,errD,phase\n{table}\n")
    mapped = ("--map", "it=step", "--map", "errD=loss/d", "--label", "healthy")
    result = replay_json(capsys, tmp_path / "run.csv", *mapped)
    [run] = result["runs"]
    assert [(alarm["code"], alarm["fired"]) for alarm in run["alarms"]] == [("GW303", 71)]
    assert "GW101" in run["not_applicable"]
    assert run["unused_series"] == ["phase"]
    assert result["healthy"]["rate"] == pytest.approx(100.0)


def test_rates_have_exact_intervals():
    for count in (0, 1, 7):
        low, high = poisson_interval(count)
        assert (0.0 if count == 0 else stats.poisson.sf(count - 1, low)) == pytest.approx(0.025 if count else 0.0)
        assert stats.poisson.cdf(count, high) == pytest.approx(0.025)
    scipy = stats.binomtest(3, 40).proportion_ci(method="wilson")
    assert Proportion(3, 40).interval == pytest.approx((scipy.low, scipy.high))


def replayed_run(label, *fired, codes=("GW101",), onset=None, low=None, causes=()):
    delays = [None if onset is None else step - onset for _, step in fired]
    alarms = tuple(
        Alarm(f"{code}-1", code, "", step, step, None, dict(causes).get(code), delay)
        for (code, step), delay in zip(fired, delays, strict=True)
    )
    return ReplayedRun("run", label, codes, onset, low if low is not None else onset, 1000, alarms, {}, "incidents", {}, {}, 1000)


def test_a_failure_is_found_by_a_correct_code_that_does_not_come_too_early():
    runs = [
        replayed_run("a", ("GW101", 500), onset=480, low=450),
        replayed_run("a", ("GW101", 460), onset=480, low=450),
        replayed_run("a", ("GW101", 449), onset=480, low=450),
        replayed_run("a", ("GW101", 449), ("GW101", 600), onset=480, low=450),
        replayed_run("a", ("GW301", 500), onset=480),
        replayed_run("a", ("GW301", 500), ("GW101", 501), onset=480, causes={"GW301": "GW101-1"}),
        replayed_run("a", ("GW101", 3)),
        replayed_run("a"),
        replayed_run("b", ("GW501", 3), codes=()),
    ]
    first, second = detection_rates_by_label(runs)
    assert (first.label, first.recall, first.correct_root, first.delays) == ("a", Proportion(5, 8), Proportion(6, 8), (-20, 20, 21, 120))
    assert first.median_delay == 20.5
    assert (second.label, second.recall, second.correct_root, second.median_delay) == ("b", Proportion(1, 1), Proportion(1, 1), None)
    healthy = [replayed_run("healthy"), replayed_run("healthy", ("GW101", 9), ("GW201", 99))]
    counted = count_false_alarms([*runs, *healthy, replayed_run("undetermined", ("GW101", 9)), replayed_run(None)])
    assert (counted.alarms, counted.flagged, counted.steps, counted.rate) == (2, Proportion(1, 2), 2000, 10.0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere.parquet"], "SOURCE must be a store, a Parquet file of recordings"),
        ([RECORDED, "--detectors", "GW999"], "got 'GW999'; the codes are those of network not updated (GW001), slow learning (GW002), "),
        ([RECORDED, "--detectors", "ganwatch.none:X"], "must name an importable package.module:attribute, got 'ganwatch.none:X'"),
        ([RECORDED, "--detectors", "ganwatch.core.statistics:Window"], "must be Detector classes or a sequence of them"),
        (
            [RECORDED, "--detectors", "GW303", "--detectors", "ganwatch.detectors.non_finite:NonFinite"],
            "different codes, got several of non-finite values (GW303)",
        ),
        ([RECORDED, "--jobs", "0"], "--jobs must be >= 1 (processes), got 0"),
        ([RECORDED, "--preset", "none.toml"], "preset must be a TOML file"),
    ],
)
def test_wrong_arguments_are_refused(capsys, args, message):
    assert main(["replay", *map(str, args)]) == 2
    assert message in capsys.readouterr().err


def test_a_run_without_readings_is_a_run(capsys, tmp_path):
    dead, short = Recording("dead", [], {"label": "healthy"}), Recording("short", [Readings(7, {"loss/g": 1.0})])
    write_recordings(tmp_path / "run.parquet", [dead, short])
    result = replay_json(capsys, tmp_path / "run.parquet")
    assert [run["steps"] for run in result["runs"]] == [0, 1]
    assert result["healthy"]["rate"] is None
    assert main(["replay", str(tmp_path / "run.parquet")]) == 0
