"""Inception Score."""

import math

import pytest
import torch
from scipy.stats import entropy

from ganwatch.metrics.inception import InceptionScore, inception_score


def test_it_is_the_mean_divergence_by_scipy():
    rows = torch.randn(40, 7, generator=torch.Generator().manual_seed(0)).double().softmax(1)
    assert inception_score(rows) == pytest.approx(math.exp(entropy(rows.numpy(), rows.mean(0).numpy()[None], axis=1).mean()), rel=1e-12)
    assert inception_score(torch.eye(5).repeat(3, 1)) == pytest.approx(5.0)
    assert inception_score(torch.full((9, 4), 0.25)) == pytest.approx(1.0)


def test_logits_and_probabilities_agree():
    logits = 3.0 * torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    one, other = InceptionScore(), InceptionScore(logits=False)
    one.update(logits, real=False)
    other.update(logits.softmax(1), real=False)
    assert float(one.compute()) == pytest.approx(float(other.compute()))
    assert math.isnan(one.estimate().null)
    one.update(logits, real=True)
    assert one.estimate().null == pytest.approx(float(one.compute()), rel=1e-6)
    one.update(logits, real=False)
    assert math.isnan(one.estimate().null)  # the score of fewer reals would be lower
    with pytest.raises(ValueError, match="rows of probabilities, got 50 of 50"):
        other.update(logits, real=False)


def test_intervals_hold_the_truth():
    draw = torch.Generator().manual_seed(2)
    estimates = []
    for _ in range(60):
        metric = InceptionScore()
        metric.update(2.0 * torch.randn(300, 10, generator=draw), real=False)
        estimates.append(metric.estimate())
    truth = sum(estimate.value for estimate in estimates) / 60
    assert sum(estimate.low <= truth <= estimate.high for estimate in estimates) >= 50
    assert sum(estimate.high - estimate.low for estimate in estimates) / 60 < 1.0
