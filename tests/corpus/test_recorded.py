"""Today's detectors on the recorded corpus, and what the documents and their docstrings say about it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from baselines_table import discover_baselines
from corpus.design import corpus
from corpus.main import RECORDED
from corpus.published import DOCUMENT, calibration_sentence, format_detections, format_rules, fresh_sentence
from corpus.report import report

from ganwatch.calibration.rates import count_false_alarms, is_failing
from ganwatch.calibration.replayed_runs import ReplayedRun, replay_runs
from ganwatch.core.detector_settings import discover_detectors
from ganwatch.recordings import read_recordings
from ganwatch.recordings.sources import open_sources
from ganwatch.session.defaults import default_detectors

pytestmark = pytest.mark.xdist_group("corpus")  # one worker builds what they share


def files(part: str) -> list[Path]:
    return sorted(RECORDED.glob(f"{part}-*.parquet"))


def replay(part: str) -> list[ReplayedRun]:
    return [run for (run,) in replay_runs(open_sources([str(path) for path in files(part)]), [default_detectors], jobs=2)]


@pytest.fixture(scope="module")
def final() -> list[ReplayedRun]:
    return replay("final")


def test_of_the_tuning_part_failing_runs_are_found_and_healthy_ones_left_alone() -> None:
    runs = replay("tuning")
    failed = [run for run in runs if is_failing(run)]
    assert count_false_alarms(runs).flagged.count == 0
    assert sum(bool(run.alarms) for run in failed) >= 0.95 * len(failed)
    assert sum(run.detection is not None for run in failed) >= 0.95 * len(failed)
    assert sum(run.has_correct_root for run in failed) >= 0.9 * len(failed)


def test_the_whole_final_part_is_recorded(final: list[ReplayedRun]) -> None:
    assert {run.name for run in final} == {plan.name for plan in corpus() if plan.part == "final"}


def test_the_document_has_the_detections_of_the_final_part(final: list[ReplayedRun]) -> None:
    facts = {run.name: run.facts for path in files("final") for run in read_recordings(path)}
    assert format_detections(final, facts) in DOCUMENT.read_text()


def test_the_documents_have_the_figures_of_the_fresh_part() -> None:
    sentence = fresh_sentence(replay("wild-fresh"))
    for document in (DOCUMENT, DOCUMENT.parents[1] / "README.md"):
        assert sentence in " ".join(document.read_text().split())


def test_each_rule_of_others_is_given_what_it_reads() -> None:
    recorded = {name for run in read_recordings(files("tuning")[0]) for one in run.readings for name in one.values}
    assert not [(rule.title, name) for rule in discover_baselines() for name in rule.inputs if name not in recorded]


@pytest.mark.slow
def test_the_document_has_the_results_of_other_rules() -> None:
    assert format_rules(report(files("final"), jobs=2)) in DOCUMENT.read_text()


def test_each_detector_says_how_often_it_was_right(final: list[ReplayedRun]) -> None:
    docs = {cls: " ".join((sys.modules[cls.__module__].__doc__ or "").split()) for cls in discover_detectors()}
    assert not {cls.code: sentence for cls, doc in docs.items() if (sentence := calibration_sentence(cls, final)) not in doc}
