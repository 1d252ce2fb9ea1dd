"""Vendi score: closed forms, numpy's eigenvalues, the dual form, the interval."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganwatch.metrics.vendi import VendiRatio, vendi_score


def drawn(n, d, seed, scale=1.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale


def by_numpy(kernel):
    shares = np.linalg.eigvalsh(kernel.numpy() / len(kernel)).clip(1e-300)
    return math.exp(-(shares * np.log(shares)).sum())


def test_the_published_example():
    samples = np.array([0.0, 0.0, 10.0, 10.0, 20.0, 20.0])
    kernel = np.exp(-np.abs(samples[:, None] - samples[None]))
    width = math.sqrt(5.0)  # makes the Gaussian exp(-10) between neighbouring groups, as the kernel of the example is there
    score = vendi_score(torch.from_numpy(samples)[:, None], width=width)
    assert int(1e4 * score) == int(1e4 * by_numpy(torch.from_numpy(kernel))) == 29999


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 30), d=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_both_kernels_agree_with_numpy_on_the_full_matrix(n, d, seed):
    samples = drawn(n, d, seed).double()
    unit = samples / samples.norm(dim=1, keepdim=True)
    assert vendi_score(samples, "cosine") == pytest.approx(by_numpy(unit @ unit.T), rel=1e-6)
    gaussian = torch.exp(-(samples[:, None] - samples[None]).square().sum(2) / 2.0)
    score = vendi_score(samples, width=1.0)
    assert score == pytest.approx(by_numpy(gaussian), rel=1e-6)
    assert 1.0 - 1e-9 <= score <= n + 1e-9
    assert vendi_score(samples.repeat(2, 1), width=1.0) == pytest.approx(score, rel=1e-6)


def test_identical_samples_are_one():
    same = drawn(1, 512, 0).repeat(50, 1)
    assert vendi_score(torch.cat([same, same + 1.0]), width=1e-8) == pytest.approx(2.0)
    metric = VendiRatio()
    metric.update(same, real=True)
    metric.update(same, real=False)
    assert float(metric.compute()) == pytest.approx(1.0)


@pytest.mark.parametrize(("kernel", "d", "scale"), [("gaussian", 4, 0.5), ("gaussian", 32, 0.8), ("cosine", 16, 1.0)])
def test_intervals_hold_the_truth_and_equal_distributions_give_one(kernel, d, scale):
    estimates, equal = [], []
    for seed in range(40):
        for found, other in ((estimates, scale), (equal, 1.0)):
            metric = VendiRatio(kernel=kernel)
            metric.update(drawn(80, d, seed), real=True)
            metric.update(drawn(100, d, 1000 + seed, other), real=False)
            found.append(metric.estimate())
    truth = sum(estimate.value for estimate in estimates) / 40
    assert sum(estimate.low <= truth <= estimate.high for estimate in estimates) >= 34
    assert sum(estimate.value for estimate in equal) / 40 == pytest.approx(equal[0].null, abs=0.03)
    assert (estimates[0].n_real, estimates[0].n_fake) == (80, 80)


def test_the_ratio_does_not_depend_on_the_unit():
    ratios = []
    for unit in (1.0, 1e4):
        metric = VendiRatio()
        metric.update(unit * drawn(60, 3, 0), real=True)
        metric.update(unit * drawn(60, 3, 1, 0.3), real=False)
        ratios.append(float(metric.compute()))
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-4)
    assert ratios[0] < 0.7


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="kernel must be one of"):
        VendiRatio(kernel="linear")
    with pytest.raises(ValueError, match="width must be > 0"):
        vendi_score(torch.zeros(3, 1))
