"""Checks of a gate on samples whose fault is known."""

import pytest
import torch

from ganwatch.data.bundled import draw_ring
from ganwatch.gate.checks import GateFeatures, run_checks
from ganwatch.gate.outcome import GateCheck, GateOutcome, combine_outcomes

NAMES = ("kernel", "frechet", "modes", "copies")


def ring(seed, noise=0.02, count=1000):
    points, modes = draw_ring(count, seed)
    return points + noise * torch.randn(points.shape, generator=torch.Generator().manual_seed(seed)), modes


def outcomes(**features):
    return dict(zip(NAMES, (check.outcome.value for check in run_checks(GateFeatures(**features))), strict=False))


def test_a_lost_mode_is_named():
    (real, _), (baseline, modes) = ring(0, 0.0), ring(1)
    candidate = torch.where((modes == 3)[:, None], baseline[modes == 4][:1], baseline)
    checks = run_checks(GateFeatures(real, candidate, baseline))
    assert combine_outcomes(checks) is GateOutcome.WORSE
    assert checks[2].outcome is GateOutcome.WORSE
    assert "modes are lost" in checks[2].reason


def test_copies_are_worse_than_samples_alike():
    real, training, baseline = (ring(seed, 0.02)[0] for seed in range(3))
    copied = training[:1000] + 1e-6
    assert outcomes(real=real, candidate=copied, baseline=baseline, training=training)["copies"] == "worse"
    assert outcomes(real=real, candidate=baseline, baseline=copied, training=training)["copies"] == "not_worse"


def test_what_was_not_given_is_not_checked():
    real, baseline = ring(0)[0], ring(1)[0]
    assert outcomes(real=real, candidate=baseline, baseline=baseline)["copies"] == "not_checked"
    wide = torch.randn(150, 100, generator=torch.Generator().manual_seed(0))
    assert outcomes(real=wide, candidate=wide + 0.5, baseline=wide + 0.5)["frechet"] == "not_checked"


def test_few_samples_are_inconclusive_for_all():
    few = ring(0)[0][:20]
    assert set(outcomes(real=ring(1)[0], candidate=few, baseline=few).values()) == {"inconclusive"}


@pytest.mark.parametrize(
    ("outcome", "of_checks"),
    [
        ("worse", "worse not_worse inconclusive"),
        ("inconclusive", "not_worse inconclusive"),
        ("not_worse", "not_worse not_checked"),
        ("inconclusive", "not_checked"),
        ("inconclusive", ""),
    ],
)
def test_outcomes_combine(outcome, of_checks):
    assert combine_outcomes([GateCheck("one", GateOutcome(one), "") for one in of_checks.split()]).value == outcome
