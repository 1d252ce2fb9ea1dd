"""Today's detectors on the part of the corpus that thresholds are chosen on: what they came to must not get lost."""

from pathlib import Path

from corpus.main import RECORDED

from ganwatch.calibration.judged import judge_all
from ganwatch.calibration.rates import failing, false_alarms
from ganwatch.presets import default_detectors
from ganwatch.recordings.sources import open_sources


def test_failing_runs_are_found_and_healthy_ones_left_alone() -> None:
    files = [str(path) for path in sorted(Path(RECORDED).glob("tuning-*.parquet"))]
    judged = [run for (run,) in judge_all(open_sources(files), [default_detectors])]
    failed = [run for run in judged if failing(run)]
    assert false_alarms(judged).flagged.count == 0
    assert sum(bool(run.alarms) for run in failed) >= 0.95 * len(failed)
    assert sum(run.hit is not None for run in failed) >= 0.95 * len(failed)
    assert sum(run.right_first for run in failed) >= 0.9 * len(failed)
