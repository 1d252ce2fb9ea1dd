"""The kernel distance against torchmetrics, against itself computed plainly, and against what is known of Gaussians."""

import math

import pytest
import torch
from torch import nn
from torchmetrics.image.kid import KernelInceptionDistance

from ganwatch.metrics import kernel
from ganwatch.metrics.kernel import KernelDistance, gaussian_kernel, kernel_distance, kernel_distances, median_distance, polynomial_kernel


def normal(n, d, shift=0.0, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save:UserWarning")
def test_as_torchmetrics():
    real, fake = normal(50, 16), normal(50, 16, 0.3, seed=1)
    peer = KernelInceptionDistance(feature=nn.Identity(), subsets=1, subset_size=50)
    peer.update(real, real=True)
    peer.update(fake, real=False)
    assert kernel_distance(real, fake) == pytest.approx(float(peer.compute()[0]), rel=1e-6)


@pytest.mark.parametrize("block", [3, 7, 1000])
def test_blocks_change_nothing(block, monkeypatch):
    real, fake = normal(20, 4), normal(13, 4, 1.0, seed=1)
    whole = kernel_distance(real, fake)
    monkeypatch.setattr(kernel, "ROWS_PER_BLOCK", block)
    assert kernel_distance(real, fake) == pytest.approx(whole, rel=1e-12)
    assert kernel_distance(fake, real) == pytest.approx(whole, rel=1e-12)


def test_subsamples_are_those_computed_alone():
    real, fake = normal(20, 4), normal(16, 4, 1.0, seed=1)
    members = [torch.rand(n, 5, generator=torch.Generator().manual_seed(n)) < 0.5 for n in (20, 16)]
    together = kernel_distances(real, fake, *members)
    alone = [kernel_distance(real[mine], fake[yours]) for mine, yours in zip(members[0].T, members[1].T, strict=True)]
    assert together.tolist() == pytest.approx(alone, rel=1e-12)


def test_the_gaussian_kernel_has_the_closed_form_of_two_gaussians():
    """Of unit variance and distance s: ``2 (1 + 2 / w²)^(-d/2) (1 - exp(-s² / (2 w² + 4)))``."""
    width, shift, d = 2.0, 1.0, 3
    truth = 2 * (1 + 2 / width**2) ** (-d / 2) * (1 - math.exp(-d * shift**2 / (2 * width**2 + 4)))
    assert kernel_distance(normal(3000, d), normal(3000, d, shift, seed=1), gaussian_kernel(width)) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("name", KernelDistance.kernels)
def test_equal_distributions_are_zero_on_average_at_unequal_sizes(name):
    values = []
    for seed in range(60):
        metric = KernelDistance(kernel=name)
        metric.update(normal(40, 8, seed=2 * seed), real=True)
        metric.update(normal(15, 8, seed=2 * seed + 1), real=False)
        values.append(float(metric.compute()))
    values = torch.tensor(values)
    assert abs(values.mean()) < 3 * values.std() / 60**0.5
    assert (values < 0).any()


def test_identical_samples_are_finite():
    constant = torch.ones(5, 3)
    assert median_distance(constant, constant) == 0.0
    assert kernel_distance(constant, constant, gaussian_kernel(0.0)) == 0.0
    assert kernel_distance(constant, constant, polynomial_kernel) == 0.0


def test_an_unknown_kernel_is_named():
    with pytest.raises(ValueError, match="kernel must be one of"):
        KernelDistance(kernel="cubic")
