"""MS-SSIM of pairs."""

import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as of_torchmetrics
from torchmetrics.functional.image import structural_similarity_index_measure

from ganwatch.metrics.ms_ssim import PairSimilarity, count_scales, pairwise_ms_ssim


def images(n, side, seed):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_five_scales_are_those_of_torchmetrics_and_one_is_ssim():
    large = images(4, 176, 0)
    large[1] = 0.8 * large[0] + 0.2 * large[1]
    expected = of_torchmetrics(large[::2], large[1::2], data_range=1.0, reduction="none")
    assert torch.allclose(pairwise_ms_ssim(large, 1.0), expected, atol=1e-5)
    small = images(6, 8, 1)
    small[1] = 0.8 * small[0] + 0.2 * small[1]
    expected = structural_similarity_index_measure(small[::2], small[1::2], data_range=1.0, reduction="none").relu()
    assert torch.allclose(pairwise_ms_ssim(small, 1.0), expected, atol=1e-4)  # the published weights add up to 1.0001


@pytest.mark.parametrize(("side", "expected"), [(6, 1), (8, 1), (22, 2), (32, 2), (128, 4)])
def test_small_images_have_fewer_scales_and_copies_are_1(side, expected):
    assert count_scales(side, side) == expected
    same = images(1, side, 2).repeat(4, 1, 1, 1)
    assert torch.allclose(pairwise_ms_ssim(same, 1.0), torch.ones(2))
    assert bool((pairwise_ms_ssim(images(8, side, 3), 1.0) < 0.9).all())


def test_the_null_is_that_of_real_pairs_and_collapse_lies_above_it():
    metric = PairSimilarity()
    metric.update((255 * images(40, 16, 4)).to(torch.uint8), real=True)
    metric.update((255 * images(40, 16, 5)).to(torch.uint8), real=False)
    healthy = metric.estimate()
    assert healthy.low <= healthy.null <= healthy.high
    collapsed = PairSimilarity()
    collapsed.update((255 * images(40, 16, 4)).to(torch.uint8), real=True)
    collapsed.update((255 * (0.9 * images(1, 16, 5) + 0.1 * images(40, 16, 6))).to(torch.uint8), real=False)
    assert collapsed.estimate().low > healthy.high
    assert collapsed.estimate().provenance["scales"] == 1


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"sides of at least 6 pixels, got shape \(4, 3, 5, 5\)"):
        PairSimilarity().update(images(4, 5, 0), real=True)
    with pytest.raises(ValueError, match="data_range must be > 0"):
        PairSimilarity(data_range=0.0)
