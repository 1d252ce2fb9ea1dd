"""A year of checks against one baseline keeps its level for the share of baselines that is stated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.datasets import load_digits

from ganwatch.core.errors import UserError
from ganwatch.drift import sequential
from ganwatch.drift.kernel import as_features, default_bandwidth
from ganwatch.drift.sequential import RepeatedChecks

SIZE = 60
DIGITS = load_digits().data / 16.0


def _contaminated(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=(count, 4)) * 0.3 + 3 * (rng.random((count, 1)) < 0.03)


WORLDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, count: rng.normal(size=(count, 8)),
    "skewed": lambda rng, count: rng.exponential(size=(count, 2)),
    "heavy tails": lambda rng, count: rng.standard_t(2, size=(count, 3)),
    "a rare kind": _contaminated,
    "digits": lambda rng, count: DIGITS[rng.integers(len(DIGITS), size=count)],  # with replacement, so that they are the whole world
}


class World:
    """Checks without drift by the thousand: with one bandwidth for all baselines, fresh means need to be computed only once."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch, checks: int) -> None:
        self.rng = np.random.default_rng(len(name))
        self.draw = WORLDS[name]
        bandwidth = default_bandwidth(as_features(self.draw(self.rng, 1000), "world"), self.rng)
        monkeypatch.setattr(sequential, "default_bandwidth", lambda *_: bandwidth)
        one = RepeatedChecks(self.draw(self.rng, 50))
        one._centre = one._centre * 0
        fresh = (as_features(self.draw(self.rng, SIZE * 500), "fresh") for _ in range(checks // 500))
        self.fresh = torch.cat([one._embed(samples).unflatten(0, (500, SIZE)).mean(1) for samples in fresh])

    def year(self, baseline: int) -> tuple[bool, float]:
        """Whether a year of checks against a new baseline has an alarm, and with which probability it has."""
        checks = RepeatedChecks(self.draw(self.rng, baseline))
        features = checks._errors + checks._mean
        turned = _as_if_centred_at_zero(features.mean(0), checks)
        alarms = (self.fresh - turned).square().sum(1) > checks.calibrate(SIZE).threshold
        days = torch.from_numpy(self.rng.integers(len(alarms), size=365))
        return bool(alarms[days].any()), 1 - (1 - float(alarms.double().mean())) ** 365


def _as_if_centred_at_zero(mean: torch.Tensor, checks: RepeatedChecks) -> torch.Tensor:
    """Centring turns each pair of cosine and sine by an angle, which changes no distance."""
    cos, sin = mean.chunk(2)
    angle = checks._centre @ checks._frequencies
    return torch.cat((cos * angle.cos() - sin * angle.sin(), sin * angle.cos() + cos * angle.sin()))


def kept(name: str, monkeypatch: pytest.MonkeyPatch, *, baselines: int, checks: int, size: int) -> None:
    """Print and verify both statements."""
    world = World(name, monkeypatch, checks)
    alarmed, probabilities = zip(*(world.year(size) for _ in range(baselines)), strict=True)
    good = sum(probability <= 0.05 for probability in probabilities)
    print(  # noqa: T201  # read with -s
        f"{name}, {size} against {SIZE}: {sum(alarmed)} of {baselines} years with a false alarm; probability of one <= 0.05 for {good}, "
        f"median {np.median(probabilities):.4f}, mean {np.mean(probabilities):.4f}, largest {max(probabilities):.3f}"
    )
    assert good >= binom.ppf(0.005, baselines, 0.95)
    assert sum(alarmed) <= binom.ppf(0.995, baselines, 0.05)


def test_a_year_without_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    kept("normal", monkeypatch, baselines=5, checks=10_000, size=600)


@pytest.mark.slow
@pytest.mark.parametrize("size", [300, 1000])
@pytest.mark.parametrize("name", WORLDS)
def test_300_years_without_drift(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(name, monkeypatch, baselines=300, checks=100_000, size=size)


def test_a_level_per_check_would_not_be_kept() -> None:
    """The bound given the baseline is what makes the difference: one baseline error is in all checks."""
    rng = np.random.default_rng(3)
    checks = RepeatedChecks(rng.normal(size=(200, 4)))
    errors = checks._means(200, 200, rng)
    fresh = checks._means(20_000, 200, rng)
    alike = float((fresh - errors[torch.from_numpy(rng.integers(200, size=20_000))]).square().sum(1).quantile(1 - 1 / 365))
    alarms = (torch.cdist(fresh, errors).square() > alike).double().mean(0)
    assert float(alarms.quantile(0.95)) > 2 / 365
    assert checks.calibrate(200).threshold > alike


def test_drift_is_found_on_the_first_day() -> None:
    rng = np.random.default_rng(4)
    checks = RepeatedChecks(rng.normal(size=(3000, 16)))
    assert not checks.check(rng.normal(size=(200, 16))).alarm
    assert checks.check(rng.normal(0.25, size=(200, 16))).alarm
    assert checks.check(1.25 * rng.normal(size=(200, 16))).alarm


def test_a_small_baseline_is_told_so_and_a_large_one_is_not() -> None:
    rng = np.random.default_rng(5)
    small = RepeatedChecks(rng.normal(size=(100, 4))).check(rng.normal(size=(100, 4))).calibration
    assert not small.is_large_enough
    assert f"The baseline should have {small.min_baseline} samples or more: with 100" in str(small)
    large = RepeatedChecks(rng.normal(size=(4000, 4))).calibrate(100)
    assert large.is_large_enough
    assert 300 < large.min_baseline < 4000
    assert large.threshold < small.threshold
    assert "should have" not in str(large)
    assert "first false alarms (simulated): 5% within" in str(large)
    lengths = list(large.run_lengths.values())
    assert 365 < lengths[0] < lengths[1] < lengths[2]


def test_more_checks_a_year_need_a_higher_threshold() -> None:
    baseline = np.random.default_rng(6).normal(size=(500, 3))
    thresholds = [RepeatedChecks(baseline, checks=checks).calibrate(100).threshold for checks in (1, 365, 8760)]
    assert thresholds == sorted(set(thresholds))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"checks": 0}, "checks must be >= 1, got 0"),
        ({"alpha": 1.0}, r"alpha must be in \(0, 1\), got 1.0"),
        ({"confidence": 0.0}, r"confidence must be in \(0, 1\), got 0.0"),
        ({"baseline": np.ones((19, 2))}, "baseline must be at least 20 samples, got 19"),
    ],
)
def test_bad_input_is_named(given: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        RepeatedChecks(**{"baseline": np.random.default_rng(0).normal(size=(100, 2))} | given)


def test_fresh_samples_that_do_not_fit_are_named() -> None:
    checks = RepeatedChecks(np.random.default_rng(0).normal(size=(100, 2)))
    with pytest.raises(UserError, match="got 2 in baseline, 3 in fresh"):
        checks.check(np.ones((100, 3)))
    with pytest.raises(UserError, match="fresh must hold at least 20 samples, got 3"):
        checks.check(np.ones((3, 2)))
