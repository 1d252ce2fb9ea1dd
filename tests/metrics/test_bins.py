"""Clusters, and the number of statistically different bins."""

import pytest
import torch
from sklearn.cluster import KMeans

from ganwatch.metrics.bins import DifferentBins, compare_bins
from ganwatch.metrics.kmeans import assign, kmeans


def groups(counts, seed, d=2):
    draw = torch.Generator().manual_seed(seed)
    centres = 10.0 * torch.eye(len(counts), d) if d >= len(counts) else 10.0 * torch.arange(len(counts) * d).reshape(-1, d).float()
    rows = torch.cat([centre + 0.1 * torch.randn(count, d, generator=draw) for centre, count in zip(centres, counts, strict=True)])
    return rows[torch.randperm(len(rows), generator=draw)]


def test_clusters_are_as_tight_as_those_of_scikit_learn_and_the_seed_decides():
    samples = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    centres = kmeans(samples, 8, seed=1)
    inertia = float((samples - centres[assign(samples, centres)]).square().sum())
    assert inertia < 1.05 * KMeans(8, n_init=1, random_state=0).fit(samples.numpy()).inertia_
    assert torch.equal(centres, kmeans(samples, 8, seed=1))
    assert not torch.equal(centres, kmeans(samples, 8, seed=2))


def test_every_seed_finds_the_modes_of_a_mixture():
    draw = torch.Generator().manual_seed(0)
    modes = 3.0 * torch.randn(20, 64, generator=draw)
    samples = modes[torch.arange(500) % 20] + torch.randn(500, 64, generator=draw)

    def ratios(**options):
        centres = [kmeans(samples, 20, seed=seed, **options) for seed in range(10)]
        inertias = [float((samples - each[assign(samples, each)]).square().sum()) for each in centres]
        return [inertia / (500 * 64) for inertia in inertias]

    assert max(ratios()) < 1.0  # the variance within the modes is 1
    assert max(ratios(starts=1)) > 1.1
    with pytest.raises(ValueError, match="starts must be >= 1, got 0"):
        kmeans(samples, 20, starts=0)


def test_fewer_distinct_samples_than_clusters():
    assert sorted(kmeans(torch.tensor([[1.0], [1.0], [2.0]]), 3).squeeze(1).tolist()) == [1.0, 2.0]
    with pytest.raises(ValueError, match="got 4 of 3"):
        kmeans(torch.zeros(3, 1), 4)


def test_bins_are_the_groups_and_a_missing_one_differs():
    found = compare_bins(groups([100] * 5, 0), groups([100] * 4, 1), bins=5)
    assert found.fake.min() == 0.0
    assert found.different[found.fake.argmin()]
    assert found.real.sum() == found.fake.sum() == 1.0
    assert int(compare_bins(groups([100] * 5, 0), groups([100] * 5, 1), bins=5).different.sum()) == 0


def test_two_samples_of_the_same_data_differ_in_as_many_bins_as_the_level_says():
    draw = torch.Generator().manual_seed(0)
    estimates = []
    for seed in range(30):
        metric = DifferentBins(bins=40, seed=seed)
        metric.update(torch.randn(800, 30, generator=draw), real=True)
        metric.update(torch.randn(600, 30, generator=draw), real=False)
        estimates.append(metric.estimate())
    mean = sum(estimate.value for estimate in estimates) / 30
    assert mean == pytest.approx(estimates[0].null, abs=0.02)  # four standard errors of 1,200 bins are 0.025
    assert sum(estimate.low <= 0.05 <= estimate.high for estimate in estimates) >= 26
