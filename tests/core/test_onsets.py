"""The onset lies within the evidence, and after the last healthy look."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ganwatch.core.detector import Verdict
from ganwatch.core.onsets import MAX_LOOKS, Looks


def verdict(value: float = 0.1, threshold: float = 0.3, *, window: int = 100, onset: int | None = None) -> Verdict:
    return Verdict(value, threshold, "vendi_ratio", window, "the test", "It fell.", onset=onset)


def looks_at(*values: float, every: int = 20) -> Looks:
    looks = Looks(["vendi_ratio"])
    for position, value in enumerate(values, 1):
        looks.add(every * position, {"vendi_ratio": value, "d_auc": 0.5})
    return looks


def test_it_follows_the_last_healthy_look() -> None:
    assert looks_at(0.9, 0.9, 0.1, 0.1).find_onset(verdict(), 80) == 41
    assert looks_at(0.1, 0.1, 0.9, 0.9).find_onset(verdict(value=0.9), 80) == 41  # the other side of the threshold


def test_one_healthy_look_among_bad_ones_or_as_the_latest_is_noise() -> None:
    assert looks_at(0.9, 0.9, 0.1, 0.9, 0.1).find_onset(verdict(), 100) == 41
    assert looks_at(0.9, 0.9, 0.1, 0.1, 0.9).find_onset(verdict(), 100) == 41


def test_a_healthy_look_at_the_edge_of_the_evidence_counts() -> None:
    assert looks_at(0.9, 0.9, 0.1, 0.1, 0.1).find_onset(verdict(window=61), 100) == 41


def test_a_signal_that_is_no_longer_measured_says_nothing_of_now() -> None:
    looks = looks_at(0.9, 0.1)
    assert [looks.is_old(verdict(window=100), step) for step in (140, 141)] == [False, True]
    assert not Looks([]).is_old(verdict(), 1000)


def test_evidence_that_began_later_or_has_no_threshold_decides() -> None:
    looks = looks_at(0.9, 0.9, 0.1, 0.1, 0.1)
    assert looks.find_onset(verdict(onset=70), 100) == 70
    assert looks.find_onset(verdict(value=float("nan"), onset=7), 100) == 7
    assert looks.find_onset(verdict(value=0.3, onset=7), 100) == 7
    assert Looks([]).find_onset(verdict(window=30), 100) == 71


@given(st.lists(st.floats(0.0, 1.0), max_size=2 * MAX_LOOKS), st.integers(1, 3000), st.none() | st.integers(1, 3000))
def test_it_lies_within_the_evidence_also_after_a_restart(values: list[float], window: int, onset: int | None) -> None:
    looks, step = looks_at(*values), 20 * len(values) + 1
    given_verdict = verdict(window=window, onset=None if onset is None else min(onset, step))
    first = max(1, step - window + 1) if given_verdict.onset is None else given_verdict.onset
    found = looks.find_onset(given_verdict, step)
    assert first <= found <= step
    restored = Looks(["vendi_ratio"])
    restored.load_state_dict(json.loads(json.dumps(looks.state_dict())))
    assert restored.find_onset(given_verdict, step) == found
