"""The level is honoured, power is there, and bad input is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom

from ganwatch.core.errors import UserError
from ganwatch.drift.columns import compare_columns
from ganwatch.drift.kernel import kernel_product
from ganwatch.drift.permutation import compare, compare_distances


def within(count: int, trials: int, level: float) -> bool:
    """Whether a count is in the 99 % binomial interval of the level."""
    low, high = binom.interval(0.99, trials, level)
    return low <= count <= high


def test_level_of_a_thousand_checks_without_drift() -> None:
    rng = np.random.default_rng(1)
    p_values = np.array(
        [compare(rng.exponential(size=(40, 4)), rng.exponential(size=(60, 4)), permutations=99, seed=seed).p_value for seed in range(1000)]
    )
    for level in (0.01, 0.05, 0.2):
        assert within(int((p_values <= level).sum()), 1000, level), level


def test_power_at_a_small_shift() -> None:
    rng = np.random.default_rng(2)
    found = [
        compare(rng.normal(size=(200, 32)), rng.normal(0.1, size=(200, 32)), permutations=199, seed=seed).p_value <= 0.05
        for seed in range(200)
    ]
    assert np.mean(found) >= 0.85


def test_effect_is_covered_by_its_interval_and_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(3)
    many = compare(rng.normal(size=(4000, 8)), rng.normal(0.5, size=(4000, 8)), permutations=19)
    assert 0.34 < many.effect < 0.38
    covered = 0
    for seed in range(50):
        x, y = rng.normal(size=(200, 8)), rng.normal(0.5, size=(150, 8))
        found = compare(x, y, permutations=99, seed=seed)
        covered += found.low <= many.effect <= found.high
    assert covered >= 44
    assert compare(1000 * x, 1000 * y, permutations=99, seed=seed).effect == pytest.approx(found.effect, rel=1e-3)


def test_further_away_is_told_from_equally_far_and_from_the_same() -> None:
    rng = np.random.default_rng(4)
    same = far = regressed = 0
    for seed in range(100):
        target, before = rng.normal(size=(120, 4)), rng.normal(0.3, size=(120, 4))
        same += compare_distances(rng.normal(0.3, size=(100, 4)), before, target, permutations=99, seed=seed).is_further(0.05)
        far += compare_distances(rng.normal(-0.3, size=(100, 4)), before, target, permutations=99, seed=seed).is_further(0.05)
        regressed += compare_distances(rng.normal(0.6, size=(100, 4)), before, target, permutations=99, seed=seed).is_further(0.05)
    assert same <= binom.ppf(0.995, 100, 0.05)
    assert far <= binom.ppf(0.995, 100, 0.05)
    assert regressed >= 90


def test_blocks_give_what_the_whole_matrix_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, weights = torch.randn(50, 3) + 100, torch.randn(70, 3) + 100, torch.randn(70, 5)
    whole = torch.exp(-torch.cdist(x.double(), y.double()).square() / 8) @ weights.double()
    monkeypatch.setattr("ganwatch.drift.kernel._BLOCK_ENTRIES", 700)
    torch.testing.assert_close(kernel_product(x, y, weights, 2.0).double(), whole, rtol=1e-4, atol=1e-4)


def test_degenerate_samples_are_compared() -> None:
    same = np.ones((60, 3))
    assert compare(same, same).p_value == 1.0
    assert compare(same, same).effect == 0.0
    assert compare(same, same + 1).p_value == 0.001
    assert compare(same, np.zeros((2, 3)), permutations=9).p_value > 0


def test_no_more_than_the_limit_is_looked_at() -> None:
    x = np.random.default_rng(5).normal(size=(300, 2))
    found = compare(x, x[:50], limit=100, permutations=9)
    assert (found.first, found.second) == (100, 50)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((5, 2)), np.ones((5, 3)), "same dimension, got 2 in first, 3 in second"),
        (np.ones((5, 2)), np.full((5, 2), np.nan), "second must be finite, got 5 of 5"),
        (np.ones(5), np.ones((5, 1)), r"first must have two axes \(samples, features\), got shape \(5,\)"),
        (np.ones((1, 2)), np.ones((5, 2)), "first must hold at least 2 samples, got 1"),
        (np.array(["a"]), np.ones((5, 2)), "first must be an array of numbers"),
    ],
)
def test_bad_input_is_named(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(first, second)


def test_a_kind_that_is_missing_is_found() -> None:
    rng = np.random.default_rng(6)
    centres = 4 * np.eye(12)
    draw = lambda kinds, count: centres[rng.integers(kinds, size=count)] + rng.normal(size=(count, 12))
    assert compare(draw(12, 400), draw(11, 400)).p_value <= 0.01


def test_ties_favour_no_side() -> None:
    rng = np.random.default_rng(7)
    rounded = lambda: rng.integers(2, size=(60, 2))
    p_values = np.array([compare(rounded(), rounded(), permutations=99, seed=seed).p_value for seed in range(300)])
    assert (p_values <= 0.05).sum() <= binom.ppf(0.995, 300, 0.05)


def test_points_without_spread_are_at_no_absurd_distance() -> None:
    one, other = np.full((60, 3), 0.1), np.full((70, 3), 0.4)
    same = compare(one, np.full((70, 3), 0.1))
    assert (same.effect, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    apart = compare(one, other)
    assert apart.p_value == 0.001
    assert 100 < apart.low <= apart.effect <= apart.high < 2000
    [moved] = compare_columns({"x0": one[:, 0]}, {"x0": other[:, 0]})
    assert moved.effect == pytest.approx(0.3)


def test_features_that_float32_does_not_tell_apart_are_refused() -> None:
    far = 1e8 + np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(UserError, match="second must stay distinct in float32, got column 0 about"):
        compare(far - 1e8, far)
