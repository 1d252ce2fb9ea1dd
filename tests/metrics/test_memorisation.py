"""Memorisation: distances to the nearest training sample, copies, and the three sample sets."""

import math

import pytest
import torch
from scipy.stats import mannwhitneyu

from ganwatch.metrics.memorisation import Memorisation, compare_to_training


def drawn(n, seed, d=5):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_one_cell_is_the_test_of_mann_and_whitney():
    training, held_out, fake = drawn(60, 0), drawn(30, 1), 0.8 * drawn(25, 2)
    found = compare_to_training(training, held_out, fake)
    real_apart, fake_apart = (torch.cdist(side, training).min(1).values.numpy() for side in (held_out, fake))
    u = mannwhitneyu(fake_apart, real_apart, use_continuity=False, method="asymptotic").statistic
    assert found.nearer_probability == pytest.approx(1.0 - u / (30 * 25))
    assert found.c_t == pytest.approx((u - 30 * 25 / 2) / math.sqrt(30 * 25 * 56 / 12))


def test_a_generator_that_copies_differs_from_one_that_learned():
    training = drawn(400, 0)
    healthy = [compare_to_training(training, drawn(200, 1 + seed), drawn(200, 1000 + seed)) for seed in range(30)]
    values = torch.tensor([found.nearer_probability for found in healthy])
    assert float(values.mean()) == pytest.approx(0.5, abs=0.05)
    assert 0.6 < float(values.std()) / (sum(found.error for found in healthy) / 30) < 1.5
    assert sum(found.share for found in healthy) / 30 == pytest.approx(0.01, abs=0.01)
    copies = compare_to_training(training, drawn(200, 1), training[:200] + 0.05 * drawn(200, 2))
    assert copies.nearer_probability > 0.95
    assert copies.c_t < -3.0
    assert copies.share > 0.8
    assert all(copy.training == copy.fake for copy in copies.copies)


def test_more_samples_where_data_are_dense_are_no_copies():
    dense, wide = 0.1 * drawn(4000, 3), 3.0 * drawn(4000, 4) + 40.0
    training, held_out = (torch.cat([dense[a:b], wide[a:b]]) for a, b in ((0, 500), (500, 1000)))
    skewed = torch.cat([dense[1000:1900], wide[1000:1100]])
    assert compare_to_training(training, held_out, skewed).nearer_probability == pytest.approx(0.5, abs=0.06)
    copies = wide[:100] + 0.05 * drawn(100, 5)  # further from the originals than dense samples are from each other
    assert compare_to_training(training, held_out, copies).share > 0.9


def test_near_copies_that_the_data_have_themselves_do_not_count():
    training = drawn(300, 5)
    frames = training[:100] + 1e-3 * drawn(100, 6)
    assert compare_to_training(training, frames, training[100:200] + 1e-3 * drawn(100, 7)).share < 0.1
    assert compare_to_training(training, drawn(100, 8), training[100:200] + 1e-3 * drawn(100, 7)).share == 1.0


def test_three_sets_with_indices_of_the_user_or_of_the_stream():
    metric = Memorisation()
    training = drawn(300, 0)
    for start in range(0, 300, 100):
        metric.update(training[start : start + 100], training=True)
    metric.update(drawn(150, 1), real=True)
    assert math.isnan(metric.estimate().value)
    metric.update(drawn(100, 2), real=False)
    before = metric.estimate()
    assert before.low <= before.null <= before.high
    metric.update(training[[250, 7]], real=False, indices=torch.tensor([9001, 9000]))
    exact = [copy for copy in metric.compare_to_training().copies if copy.distance == 0.0]
    assert {(copy.fake, copy.training) for copy in exact} == {(9001, 250), (9000, 7)}
    assert metric.provenance()["seen"] == {"real": 150, "fake": 102, "training": 300}
    other = Memorisation()
    other.merge_state(metric)
    assert other.estimate() == metric.estimate()


def test_bad_input_is_named():
    metric = Memorisation()
    for sides in ({}, {"real": True, "training": True}):
        with pytest.raises(ValueError, match="one of real and training must be given"):
            metric.update(drawn(5, 0), **sides)
    with pytest.raises(ValueError, match="indices must be 5 integers"):
        metric.update(drawn(5, 0), training=True, indices=torch.arange(4))
    with pytest.raises(ValueError, match=r"less than 2\*\*24"):
        metric.update(drawn(1, 0), training=True, indices=torch.tensor([2**24]))
