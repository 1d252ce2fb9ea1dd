from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganwatch.core.statistics import HealthyMedian, Stateful, Streak, Window

ANY = st.floats() | st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.0])
MODERATE = st.floats(-1e6, 1e6)


class EveryType(Stateful):
    """State of every allowed type."""

    def __init__(self, size: int = 3) -> None:
        self.size = size
        self._number, self._text, self._flag, self._nothing = 1.5, "a", True, None
        self._list: list[float] = []
        self._steps = 0
        self._window = Window(size)
        self._pair = [Window(size), HealthyMedian(warmup=size)]
        self._named = {"g": Streak(size), "d": Streak(size)}

    def add(self, value: float) -> None:
        self._number, self._text, self._flag = value, f"{value:g}", value > 0
        self._list.append(value)
        self._steps += 1
        self._window.add(self._steps, value)
        self._pair[0].add(self._steps, value)
        self._pair[1].update(value)
        self._named["g"].update(value > 0)


@given(st.lists(st.tuples(ANY, st.integers(1, 6)), max_size=30), st.integers(1, 20))
def test_a_window_has_the_finite_values_of_the_last_steps(readings: list[tuple[float, int]], size: int) -> None:
    window, seen, step = Window(size), list[tuple[int, float]](), 0
    for value, gap in readings:
        step += gap
        window.add(step, value)
        if math.isfinite(value):
            seen.append((step, value))
        kept = [v for s, v in seen if s > seen[-1][0] - size]
        kept = kept if len(kept) >= min(size, 3) else [v for _, v in seen[-min(size, 3) :]]
        assert len(window) == len(kept)
        if kept:
            assert window.low == min(kept)
            assert window.high == max(kept)
            assert window.oldest == kept[0]
            assert window.median == np.quantile(kept, 0.5, method="higher")
            assert window.quantile(0.25) == sorted(kept)[len(kept) // 4]
    if not seen:
        assert all(math.isnan(value) for value in (window.low, window.high, window.oldest, window.median, window.mean))


@given(st.lists(MODERATE, min_size=1, max_size=30), st.integers(3, 8))
def test_the_mean_of_a_window(values: list[float], size: int) -> None:
    window = Window(size)
    for step, value in enumerate(values):
        window.add(step, value)
    np.testing.assert_allclose(window.mean, np.mean(values[-size:]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("size", "every", "full_at"), [(20, 1, 20), (20, 5, 20), (20, 10, 30), (20, 40, 120), (60, 20, 60), (1, 1, 1)])
def test_a_window_is_full_when_its_values_span_its_steps(size: int, every: int, full_at: int) -> None:
    window = Window(size)
    for step in range(every, 201, every):
        window.add(step, 1.0)
        assert window.is_full == (step >= full_at)


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5))
def test_a_streak_is_true_while_its_last_conditions_are(conditions: list[bool], length: int) -> None:
    streak = Streak(length)
    got = [streak.update(condition) for condition in conditions]
    assert got == [end >= length and all(conditions[end - length : end]) for end in range(1, len(conditions) + 1)]


@given(st.lists(ANY, max_size=60))
def test_a_healthy_median_is_the_median_while_all_fits(values: list[float]) -> None:
    healthy = HealthyMedian(warmup=5, capacity=100)
    for value in values:
        healthy.update(value)
        healthy.update(value * 2, exclude=True)
        healthy.update(None)
    finite = sorted(value for value in values if math.isfinite(value))
    assert healthy.is_ready == (len(finite) >= 5)
    assert healthy.value == finite[len(finite) // 2] if finite else math.isnan(healthy.value)
    assert healthy.ready_value == (healthy.value if len(finite) >= 5 else None)


@pytest.mark.parametrize("number", [100, 1_000, 20_000])
def test_a_long_healthy_past_is_thinned_evenly(number: int) -> None:
    healthy = HealthyMedian(warmup=1, capacity=64)
    for value in range(number):
        healthy.update(value)
    assert 32 <= len(healthy.state_dict()["_history"]) < 64
    assert abs(healthy.value / number - 0.5) < 0.05
    assert healthy.state_dict()["_history"] == sorted(healthy.state_dict()["_sorted"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Window(0), r"size must be >= 1 \(steps\), got 0"),
        (lambda: Streak(0), r"length must be >= 1 \(updates\), got 0"),
        (lambda: HealthyMedian(warmup=0), r"warmup must be >= 1 \(updates\), got 0"),
    ],
)
def test_sizes_must_be_positive(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@given(
    st.lists(MODERATE, max_size=20),
    st.lists(MODERATE, max_size=20),
    st.sampled_from([EveryType, lambda: HealthyMedian(warmup=2, capacity=6)]),
)
def test_a_restored_object_continues_as_the_original(before: list[float], after: list[float], make) -> None:
    original, restored = make(), make()
    take = type(original).update if isinstance(original, HealthyMedian) else type(original).add
    for value in before:
        take(original, value)
    state = original.state_dict()
    text = json.dumps(state)
    restored.load_state_dict(json.loads(text))
    for value in after:
        take(original, value)
        take(restored, value)
    assert restored.state_dict() == original.state_dict()
    assert json.dumps(state) == text
    if isinstance(restored, EveryType):
        assert restored._window.sorted_values == sorted(original._window.state_dict()["_values"])
        assert isinstance(restored._pair[0], Window)
        assert isinstance(restored._named["d"], Streak)


def test_configuration_and_unknown_names_are_not_restored() -> None:
    nest = EveryType(size=5)
    nest.load_state_dict(EveryType(size=3).state_dict() | {"_gone": 1})
    assert (nest.size, nest._window.size) == (5, 5)
    assert not hasattr(nest, "_gone")
