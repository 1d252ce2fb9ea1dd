"""The Fréchet distance against matrix roots, torchmetrics and closed forms, and where those fail."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from ganwatch.metrics.frechet import FrechetDistance, FrechetReference, expected_frechet, frechet_distance
from ganwatch.metrics.moments import Moments


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_matrix_root(real, fake):
    one, other = np.cov(real.T), np.cov(fake.T)
    shift = np.square(real.mean(0).numpy() - fake.mean(0).numpy()).sum()
    return shift + np.trace(one + other) - 2 * np.trace(scipy.linalg.sqrtm(one @ other)).real


def by_torchmetrics(real, fake):
    peer = FrechetInceptionDistance(feature=Features(real.shape[1])).set_dtype(torch.float64)
    peer.update(real, real=True)
    peer.update(fake, real=False)
    return float(peer.compute())


class Features(nn.Identity):
    def __init__(self, d):
        super().__init__()
        self.num_features = d


@pytest.mark.parametrize("oracle", [by_matrix_root, by_torchmetrics])
@pytest.mark.parametrize("decades", [0, 2, 4])
@pytest.mark.parametrize(("n", "m", "d"), [(100, 100, 8), (300, 150, 64)])
def test_as_the_peers_where_the_rank_is_full(oracle, decades, n, m, d):
    scale = torch.logspace(-decades, 0, d)
    real, fake = normal(n, d) * scale, (normal(m, d, seed=1) + 0.2) * scale
    fake = fake @ torch.linalg.qr(normal(d, d, seed=2))[0]
    assert frechet_distance(real, fake) == pytest.approx(oracle(real, fake), rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(500, 20), (20, 500), (20, 10), (500, 2)])
def test_as_matrix_roots_where_there_are_fewer_samples_than_dimensions(n, m):
    real, fake = normal(n, 64) + 1.0, 0.8 * normal(m, 64, seed=1)
    assert frechet_distance(real, fake) == pytest.approx(by_matrix_root(real, fake), rel=1e-6)


def gaussian(mean, covariance):
    """Samples with exactly these moments."""
    rows = normal(50, len(mean))
    rows = rows - rows.mean(0)
    rows = rows @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(rows.T))).T
    return rows @ torch.linalg.cholesky(covariance).T + mean


def test_closed_form_of_covariances_that_commute():
    turn = torch.linalg.qr(normal(3, 3, seed=3))[0]
    one, other = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 1.0, 0.25]).double()
    real = gaussian(torch.zeros(3), turn @ one.diag() @ turn.T)
    fake = gaussian(torch.tensor([1.0, 2.0, 2.0]), turn @ other.diag() @ turn.T)
    assert frechet_distance(real, fake) == pytest.approx(9.0 + float((one.sqrt() - other.sqrt()).square().sum()), rel=1e-12)


def test_closed_form_of_two_dimensions():
    """``Tr (S1 S2)^½ = (Tr S1 S2 + 2 (det S1 S2)^½)^½``."""
    one, other = torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double(), torch.tensor([[1.0, -0.7], [-0.7, 3.0]]).double()
    term = (torch.trace(one @ other) + 2 * torch.det(one @ other).sqrt()).sqrt()
    expected = float(torch.trace(one + other) - 2 * term)
    assert frechet_distance(gaussian(torch.zeros(2), one), gaussian(torch.zeros(2), other)) == pytest.approx(expected, rel=1e-12)


def test_a_large_mean_costs_no_digits():
    real, fake = normal(200, 8), 1.1 * normal(200, 8, seed=1)
    assert frechet_distance(real + 1e6, fake + 1e6) == pytest.approx(frechet_distance(real, fake), rel=1e-6)


@pytest.mark.parametrize(
    "samples",
    [
        torch.zeros(2, 64),
        torch.ones(300, 64),
        normal(1, 64).repeat(100, 1),
        normal(2, 64),
        normal(300, 3) @ normal(3, 64),
        normal(300, 64) * 1e-20,
    ],
    ids=["zeros", "constant", "one mode", "two", "rank 3", "tiny"],
)
def test_finite_where_covariances_have_no_full_rank(samples):
    real = normal(300, 64, seed=5)
    assert frechet_distance(samples, samples.clone()) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(real, samples) > 0.0
    assert frechet_distance(real, samples) == pytest.approx(frechet_distance(samples, real), rel=1e-7)


def test_small_variances_count_beside_a_large_one():
    one, other = gaussian(torch.zeros(16), torch.eye(16).double()), gaussian(torch.zeros(16), 4 * torch.eye(16).double())
    one, other = torch.cat([1e5 * one[:, :1], one[:, 1:]], 1), torch.cat([5e4 * other[:, :1], other[:, 1:]], 1)
    assert frechet_distance(one, other) == pytest.approx(15.0, rel=1e-4)


features = st.builds(
    lambda n, d, rank, scale, seed: scale * normal(n, rank, seed) @ normal(rank, d, seed + 1),
    st.integers(2, 12), st.just(6), st.integers(1, 6), st.sampled_from([0.0, 1e-6, 1.0, 1e6]), st.integers(0, 99),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(features, features)
def test_finite_not_negative_symmetric_and_zero_for_the_same(real, fake):
    there, back, size = frechet_distance(real, fake), frechet_distance(fake, real), float(real.square().mean() + fake.square().mean())
    assert 0.0 <= there < math.inf
    assert there == pytest.approx(back, rel=1e-6, abs=1e-7 * size)
    assert frechet_distance(real, real.flip(0)) <= 1e-7 * size


def test_bad_features_are_named():
    good = normal(4, 3)
    for real, fake, words in (
        (good, normal(4, 2), r"fake features .*\(3,\), got \(2,\)"),
        (good, good / 0.0, "fake features must be finite, got 4 of 4"),
        (good[0], good, "real features must have the shape"),
    ):
        with pytest.raises(ValueError, match=words):
            frechet_distance(real, fake)
    assert math.isnan(frechet_distance(good[:1], good))


@pytest.mark.parametrize(("n", "m", "d"), [(128, 128, 32), (400, 100, 40)])
def test_the_null_is_what_equal_distributions_give(n, m, d):
    scale = torch.logspace(-1, 0, d)
    values = [frechet_distance(normal(n, d, 2 * seed) * scale, normal(m, d, 2 * seed + 1) * scale) for seed in range(100)]
    assert expected_frechet(torch.diag(scale**2), n, m) == pytest.approx(sum(values) / 100, rel=0.03)


def measured(n, m, d, *, shift=0.0, seed=0, **options):
    metric = FrechetDistance(**options)
    metric.update(normal(n, d, 2 * seed), real=True)
    metric.update(normal(m, d, 2 * seed + 1) + shift, real=False)
    return metric


def test_the_null_is_given_by_the_formula_by_division_or_not_at_all():
    by_formula, by_division, unknown = (measured(n, m, d).estimate().null for n, m, d in ((100, 60, 30), (400, 20, 30), (60, 30, 30)))
    assert by_formula == pytest.approx(expected_frechet(torch.eye(30), 100, 60), rel=0.05)
    values = [float(measured(400, 20, 30, seed=seed).compute()) for seed in range(20)]
    assert by_division == pytest.approx(sum(values) / 20, rel=0.1)
    assert math.isnan(unknown)


def test_extrapolation_takes_the_bias_away():
    metrics = [measured(200, 200, 32, shift=0.5, seed=seed) for seed in range(20)]
    assert sum(float(metric.compute()) for metric in metrics) / 20 > 8.0 + 2.0
    assert sum(metric.extrapolate() for metric in metrics) / 20 == pytest.approx(8.0, abs=0.4)
    assert math.isnan(measured(200, 100, 32).extrapolate())


def test_the_interval_holds_the_expected_distance_as_often_as_it_says():
    expected = sum(float(measured(150, 100, 6, shift=0.3, seed=seed).compute()) for seed in range(1000, 1100)) / 100
    intervals = [measured(150, 100, 6, shift=0.3, seed=seed, resamples=12).estimate() for seed in range(60)]
    assert 52 <= sum(one.low <= expected <= one.high for one in intervals) <= 60


def test_the_interval_is_that_of_all_samples_though_few_are_kept():
    whole, few = measured(4000, 4000, 4, shift=1.0).estimate(), measured(4000, 4000, 4, shift=1.0, reservoir=500).estimate()
    assert few.value == whole.value
    assert (few.high - few.low) == pytest.approx(whole.high - whole.low, rel=0.5)


def test_moments_in_any_parts_are_those_of_the_whole():
    rows = normal(700, 32) + 100.0
    whole = Moments.from_batches(rows)
    parts = Moments.from_batches(*rows[:300].split(1))
    for part in (Moments.from_batches(*rows[300:310].split(3)), Moments.from_batches(rows[310:])):
        parts.merge(part.tensors)
    assert (whole.count, parts.count) == (700, 700)
    assert torch.allclose(parts.mean, rows.mean(0), rtol=1e-13)
    assert torch.allclose(parts.covariance, torch.cov(rows.T), rtol=0.0, atol=1e-12)
    assert parts.variance == pytest.approx(float(torch.cov(rows.T).trace()), rel=1e-12)
    few = Moments.from_batches(*rows[:30].split(4))
    assert torch.allclose(few.root.T @ few.root, torch.cov(rows[:30].T), rtol=0.0, atol=1e-12)
    assert sum(map(torch.numel, parts.tensors)) <= 1 + 32 + 2 * 32 * 32


def test_the_real_covariance_is_factorised_once(monkeypatch):
    metric = measured(100, 20, 8)
    metric.compute()
    monkeypatch.setattr(torch.linalg, "cholesky_ex", None)
    metric.update(normal(5, 8, 9), real=False)
    kept = float(metric.compute())
    monkeypatch.undo()
    metric.update(normal(5, 8, 10), real=True)
    reference = FrechetReference(metric.moments(real=True))
    assert float(metric.compute()) == reference.distance(metric.moments(real=False)) != kept
