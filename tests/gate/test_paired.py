"""Paired comparison of two distances: level, power, and agreement with closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganwatch.core.errors import UserError
from ganwatch.gate.paired import BLOCKS, compare_distances, frechet_without_blocks, kernel_without_blocks
from ganwatch.metrics.frechet import frechet_distance
from ganwatch.metrics.kernel import kernel_distance

KINDS = (kernel_without_blocks, frechet_without_blocks)


def draw(count, dims, seed):
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("distances", KINDS)
def test_each_block_is_left_out_once(distances):
    real, fake = draw(123, 3, 0), draw(160, 3, 1) + 0.5
    blocks = torch.cat([torch.arange(len(rows)) % BLOCKS for rows in (real, fake)])
    measure = {kernel_without_blocks: kernel_distance, frechet_without_blocks: frechet_distance}[distances]
    found = distances(real, fake, blocks)
    assert found[-1] == pytest.approx(measure(real, fake))
    for block in (0, 7, BLOCKS - 1):
        kept = [rows[torch.arange(len(rows)) % BLOCKS != block] for rows in (real, fake)]
        assert found[block] == pytest.approx(measure(*kept))


def test_the_bias_of_a_finite_sample_is_removed():
    """The distance of two means 1 apart is 1 for any number of samples."""
    plain, corrected = [], []
    for seed in range(40):
        real, fake = draw(150, 10, seed), draw(150, 10, 1000 + seed) + torch.eye(10)[0]
        plain.append(frechet_distance(real, fake))
        corrected.append(compare_distances(real, fake, fake, frechet_without_blocks, margin=0.05, level=0.01).candidate)
    error = 3.0 * torch.tensor(corrected).std() / math.sqrt(40)
    assert torch.tensor(corrected).mean() == pytest.approx(1.0, abs=float(error))
    assert torch.tensor(plain).mean() > 1.0 + float(error)


@pytest.mark.parametrize("distances", KINDS)
def test_the_interval_holds_the_true_difference(distances):
    """At a level of 0.1 the interval of a difference misses it in about one of five comparisons."""
    first, second = torch.tensor([0.7, 0.0]), torch.tensor([0.5, 0.0])
    large = [draw(40_000, 2, seed) for seed in (90, 91)]
    if distances is kernel_without_blocks:
        true = kernel_distance(large[0], large[1] + first) - kernel_distance(large[0], large[1] + second)
    else:
        true = 0.7**2 - 0.5**2
    missed = 0
    for seed in range(150):
        real, latents = draw(200, 2, seed), draw(200, 2, 500 + seed)
        found = compare_distances(real, latents + first, latents + second, distances, margin=0.05, level=0.1)
        missed += not found.low <= true <= found.high
    assert 15 <= missed <= 45


@pytest.mark.parametrize("distances", KINDS)
def test_equal_samples_are_not_worse_even_where_the_baseline_is_perfect(distances):
    real, fake = draw(300, 2, 0), draw(300, 2, 1)
    found = compare_distances(real, fake, fake.clone(), distances, margin=0.05, level=0.01)
    assert found.is_not_worse
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(0.3, 2.0), scale=st.floats(0.01, 100.0), seed=st.integers(0, 99))
def test_an_outcome_has_no_unit_and_no_origin(shift, scale, seed):
    sides = [draw(120, 2, seed), draw(120, 2, seed + 1) + shift, draw(120, 2, seed + 1) + 0.8]
    outcomes = {
        (found.is_not_worse, found.is_worse, found.needed_samples)
        for rows in (sides, [scale * one + 3.0 * scale for one in sides])
        for found in [compare_distances(*rows, frechet_without_blocks, margin=0.05, level=0.01)]
    }
    assert len({one[:2] for one in outcomes}) == 1


def test_more_samples_tell():
    found = []
    for count in (200, 3000):
        sides = draw(count, 2, 0), draw(count, 2, 1) + 0.51, draw(count, 2, 2) + 0.5
        found.append(compare_distances(*sides, kernel_without_blocks, margin=0.5, level=0.01))
    assert not found[0].is_not_worse
    assert found[0].needed_samples > 200
    assert found[1].is_not_worse


@pytest.mark.parametrize(
    ("sizes", "message"), [((99, 200, 200), "100 samples"), ((200, 50, 50), "100 samples"), ((200, 200, 199), "same number")]
)
def test_sizes_that_break_a_rule(sizes, message):
    with pytest.raises(UserError, match=message):
        compare_distances(*(draw(count, 2, 0) for count in sizes), kernel_without_blocks, margin=0.05, level=0.01)
