"""Series that follow from others: detectors get them, nothing stores or shows them, and what is measured comes first."""

from __future__ import annotations

import pytest

from ganwatch.core.derived_series import DERIVED, derive_missing, find_auc
from ganwatch.core.detector import Verdict
from ganwatch.core.monitor import Monitor
from ganwatch.core.readings import Readings
from ganwatch.core.signals import find_signal
from ganwatch.detectors.discriminator_domination import DiscriminatorDomination
from ganwatch.sinks.memory import MemorySink

SCORES = {"d_output/real": 3.0, "d_output/fake": 0.0, "d_output_spread/real": 1.2, "d_output_spread/fake": 0.7}


def watch(values: dict[str, float], steps: int = 600) -> tuple[Monitor, MemorySink]:
    sink = MemorySink()
    monitor = Monitor(detectors=[DiscriminatorDomination()], sinks=[sink])
    for step in range(20, steps + 1, 20):
        monitor.add_readings(Readings(step, {"energy_distance": 0.5, **values}))
    return monitor, sink


@pytest.mark.parametrize("series", DERIVED, ids=lambda series: series.name)
def test_names_are_of_the_catalogue_and_in_order(series) -> None:
    earlier = [one.name for one in DERIVED[: DERIVED.index(series)]]
    assert all(find_signal(name) for name in (series.name, *series.sources))
    assert not {one.name for one in DERIVED} - {*earlier} & {*series.sources}


def test_means_and_spreads_give_a_margin_and_a_margin_the_share_of_right_pairs() -> None:
    statistics = pytest.importorskip("scipy.stats")
    derived = derive_missing(SCORES, set())
    assert derived["d_margin"] == pytest.approx(3.0 / ((1.2**2 + 0.7**2) / 2) ** 0.5)
    assert derived["d_auc"] == pytest.approx(statistics.norm.cdf(derived["d_margin"] / 2**0.5))
    assert find_auc(0.0) == 0.5
    assert derive_missing({name: value for name, value in SCORES.items() if name != "d_output_spread/fake"}, set()) == {}


@pytest.mark.parametrize(("values", "notes"), [({"d_margin": 3.0}, 1), (SCORES, 1), ({"d_auc": 0.99}, 0)])
def test_a_detector_judges_from_what_follows_and_says_so(values: dict[str, float], notes: int) -> None:
    monitor, sink = watch(values)
    [incident] = monitor.incidents.history
    assert isinstance(incident.evidence, Verdict)
    note = "d_auc was not measured and follows from d_margin, as for scores that are normally distributed."
    assert incident.evidence.explanation.count(note) == notes
    assert monitor.outcome(early_steps=0).unjudged == ()
    measured = {"energy_distance", *values}
    assert {name for one in sink.steps for name in one.values} == set(monitor.latest) == measured


def test_what_is_measured_now_and_then_is_not_derived_in_between() -> None:
    monitor = Monitor(detectors=[DiscriminatorDomination()])
    for step in range(20, 601, 20):
        rare = {"d_auc": 0.7} if step % 100 == 20 else {}
        monitor.add_readings(Readings(step, {"energy_distance": 0.5, "d_margin": 4.0, **rare}))
    assert monitor.incidents.history == []


def test_what_is_lacking_names_what_it_follows_from() -> None:
    monitor, _ = watch({})
    [unjudged] = monitor.outcome(early_steps=0).unjudged
    assert unjudged.reason.startswith("needs d_auc (or d_margin), or loss/d and loss/g, or ")
