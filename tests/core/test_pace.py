"""The sentinel sees what leaves the run's own past, and the pace follows it: rare looks in quiet times, extra ones at once."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganwatch.core.pace import EXTRA_EVERY, EXTRA_LOOKS, QUIET_AFTER, QUIET_FACTOR, SPREAD, USUAL_UNTIL, Pace
from ganwatch.core.sentinel import PAST_STEPS, Sentinel
from wiring.loops import Loop


def calm(step):
    return {"loss/g": 1.0 + 0.1 * (step % 3)} | ({SPREAD: 2.0 + 0.01 * (step % 7)} if step % 5 == 0 else {})


def follow(pace, steps, values=calm, *, disturbed=()):
    for step in steps:
        pace.update(step, values(step), is_disturbed=step in disturbed)
    return pace


@pytest.mark.parametrize("value", [3.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("series", ["loss/g", SPREAD])
def test_a_value_that_leaves_the_past_is_looked_at_once_the_earliest_step_that_can_still_be_planned(series, value):
    pace = follow(Pace(), range(1, 1000))
    assert pace.is_quiet(1000)
    follow(pace, range(1000, 1001), lambda step: calm(step) | {series: 1e3 * value})
    assert [step for step in range(1000, 1100) if pace.is_look(step)] == [1000 + ahead for ahead in EXTRA_LOOKS]
    assert not pace.is_quiet(1001)
    follow(pace, range(1001, 1001 + QUIET_AFTER))
    assert pace.is_quiet(1000 + QUIET_AFTER)


def test_a_small_excursion_counts_if_it_lasts():
    once, twice = (follow(Pace(), range(1, 1000)) for _ in range(2))
    for pace, until in ((once, 1001), (twice, 1010)):
        follow(pace, range(1000, 1020), lambda step, until=until: calm(step) | ({"loss/g": 1.3} if step < until else {}))
    assert (once.is_quiet(1020), twice.is_quiet(1020)) == (True, False)


def test_a_level_that_stays_becomes_the_past():
    sentinel = Sentinel(["loss/g"])
    found = [step for step in range(5, 1500, 5) if sentinel.compare(step, {"loss/g": (1.0 if step < 600 else 9.0) + 0.1 * (step % 3)})]
    assert found
    assert 600 <= min(found) <= max(found) <= 600 + PAST_STEPS


def test_times_are_not_quiet_at_the_start_nor_while_something_else_disturbs_nor_without_the_spread():
    assert not follow(Pace(), range(1, USUAL_UNTIL)).is_quiet(USUAL_UNTIL)
    assert not follow(Pace(), range(1, 1000), disturbed={900}).is_quiet(1000)
    assert not follow(Pace(), range(1, 1000), lambda step: {"loss/g": 1.0}).is_quiet(1000)
    blind = follow(Pace(), range(1, 1100), lambda step: calm(step) if step < 1000 else {"loss/g": 1.0})
    assert not blind.is_quiet(1100)


def test_looks_do_not_follow_one_another_without_end():
    pace = follow(Pace(), range(1, 1000))
    looks = set()
    for step in range(1000, 1000 + 2 * EXTRA_EVERY):
        follow(pace, [step], lambda step: calm(step) | {"loss/g": 10.0 ** (step % 11)})
        looks |= {one for one in range(step, step + 30) if pace.is_look(one)}
    assert len(looks) <= 3 * len(EXTRA_LOOKS)


@settings(max_examples=20, deadline=None)
@given(values=st.lists(st.floats(-10.0, 10.0), min_size=60, max_size=300), cut=st.integers(1, 59))
def test_a_restored_pace_goes_on_as_if_nothing_had_happened(values, cut):
    through, first = Pace(), Pace()
    series = lambda step: {"loss/g": values[step - 1], **({SPREAD: abs(values[step - 1])} if step % 5 == 0 else {})}
    follow(through, range(1, len(values) + 1), series)
    follow(first, range(1, cut + 1), series)
    resumed = Pace()
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    follow(resumed, range(cut + 1, len(values) + 1), series)
    assert resumed.state_dict() == through.state_dict()


class Settled(Loop):
    """A training with losses as calm as those of a settled one, whose generator's output grows at a step."""

    steps = 900
    rates = (1e-5, 1e-5)

    def before_step(self):
        if self.step == 803:
            self.g[-2].weight.data.mul_(5.0)


def test_a_live_training_is_looked_at_seldom_until_its_fakes_change_and_then_at_once():
    sink = Settled("ring", 0).run()
    looks = [readings.step for readings in sink.steps if "energy_distance" in readings.values]
    early, quiet = [step for step in looks if step <= USUAL_UNTIL], [step for step in looks if USUAL_UNTIL < step < 803]
    assert len(early) >= USUAL_UNTIL // 20
    assert len(quiet) <= 1 + (803 - USUAL_UNTIL) // (20 * QUIET_FACTOR)
    assert [step for step in looks if step >= 803][:3] == [805 + ahead for ahead in EXTRA_LOOKS]
    assert all(SPREAD in readings.values for readings in sink.steps if readings.step % 5 == 0)


def test_an_open_incident_keeps_the_usual_cadence():
    class Frozen(Settled):
        def g_phase(self):
            if self.step < 500:
                super().g_phase()

    sink = Frozen("ring", 0).run()
    fired = next(one.fired for one in sink.incidents.values() if one.code == "GW001")
    looks = [readings.step for readings in sink.steps if "energy_distance" in readings.values and fired + 20 < readings.step < 800]
    assert len(looks) >= (800 - fired - 20) // 20 - 1
