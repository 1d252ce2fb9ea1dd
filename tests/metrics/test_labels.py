"""Measures on labels: agreement, shares against targets, missing modes; and intervals of shares."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ganwatch.metrics.conditioning import LabelAgreement, distance_by_label
from ganwatch.metrics.custom_metric import CustomMetric
from ganwatch.metrics.intervals import clopper_pearson, holm, share_interval, wilson
from ganwatch.metrics.modes import MissingModes, modes_of
from ganwatch.metrics.shares import GroupShares, group_shares


@given(n=st.integers(1, 500), part=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.999]))
def test_intervals_are_those_of_scipy(n, part, confidence):
    count = round(part * n)
    test = binomtest(count, n)
    assert clopper_pearson(count, n, confidence) == pytest.approx(tuple(test.proportion_ci(confidence, "exact")), abs=1e-9)
    assert wilson(count / n, n, confidence) == pytest.approx(tuple(test.proportion_ci(confidence, "wilson")), abs=1e-9)
    independent = math.sqrt(count * (n - count) / n**3)
    if n >= 50 and 0.2 < part < 0.8:
        low, high = share_interval(count / n, 2.0 * independent, n, confidence)
        assert (low, high) == pytest.approx(wilson(count / n, n / 4.0, confidence), abs=0.01)


def test_holm_keeps_order_and_never_falls_below():
    assert holm([0.5, 0.001, 0.02, 0.02]) == pytest.approx([0.5, 0.004, 0.06, 0.06])


def labels(shares, n, seed):
    return torch.multinomial(torch.tensor(shares), n, replacement=True, generator=torch.Generator().manual_seed(seed))


def test_agreement_and_its_null():
    requested = labels([0.5, 0.3, 0.2], 300, 0)
    metric = LabelAgreement()
    metric.update(requested, real=True, requested=requested)
    metric.update(torch.where(requested == 2, 0, requested), real=False, requested=requested)
    estimate = metric.estimate()
    assert estimate.value == pytest.approx(float((requested != 2).double().mean()))
    assert (estimate.null, estimate.high < 1.0) == (1.0, True)
    assert [(label.label, label.share, label.n) for label in metric.by_label()] == [
        (label, share, int((requested == label).sum())) for label, share in ((0, 1.0), (1, 1.0), (2, 0.0))
    ]
    assert metric.by_label()[2].high < 0.1
    halves = LabelAgreement()
    for part in (slice(0, 100), slice(100, 300)):
        shard = LabelAgreement()
        shard.update(torch.where(requested == 2, 0, requested)[part], real=False, requested=requested[part])
        halves.merge_state(shard)
    assert halves.compute() == metric.compute()


def test_distances_by_label_see_one_bad_class():
    features, of = torch.randn(90, 3, generator=torch.Generator().manual_seed(0)), torch.arange(90) % 3
    shifted = features + (of == 1)[:, None]
    found = distance_by_label(lambda x, y: float((x.mean(0) - y.mean(0)).norm()), features, of, shifted[of != 0], of[of != 0])
    assert found[1] == pytest.approx(math.sqrt(3.0), rel=1e-5)
    assert found[2] == 0.0
    assert math.isnan(found[0])


def test_intervals_of_all_groups_hold_together():
    shares = [0.6, 0.25, 0.1, 0.05]
    held = sum(all(group.is_met for group in group_shares(labels(shares, 200, seed), dict(enumerate(shares)))) for seed in range(200))
    assert held >= 185
    assert not group_shares(labels([0.9, 0.1], 200, 0), {0: 0.5, 1: 0.5})[0].is_met


def test_skew_is_seen_as_inherited_where_the_reals_have_it():
    metric = GroupShares(targets={0: 0.5, 1: 0.5})
    metric.update(labels([0.8, 0.2], 500, 0), real=True)
    metric.update(labels([0.8, 0.2], 500, 1), real=False)
    estimate = metric.estimate()
    assert estimate.low > 0.2
    assert estimate.null == pytest.approx(estimate.value, abs=0.06)
    even = GroupShares(targets={0: 0.5, 1: 0.5})
    even.update(labels([0.5, 0.5], 500, 2), real=False)
    assert even.estimate().low == 0.0


def test_missing_modes_are_named_with_examples():
    draw = torch.Generator().manual_seed(0)
    mode = torch.arange(2000) % 10
    centres = 8.0 * torch.randn(10, 6, generator=draw)
    real = centres[mode] + torch.randn(2000, 6, generator=draw)
    fake = (centres[mode] + torch.randn(2000, 6, generator=draw))[mode != 4]
    metric = MissingModes(clusters=10)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    missing = [found for found in metric.modes() if found.is_missing]
    assert {int(mode[index]) for found in missing for index in found.examples} == {4}
    estimate = metric.estimate()
    assert estimate.low <= 0.1 <= estimate.high
    assert estimate.low > estimate.null


def test_modes_are_rarely_called_missing_where_none_is():
    shares = [0.3] + [0.7 / 14] * 14
    found = [modes_of(labels(shares, 400, seed), labels(shares, 300, 1000 + seed), level=0.05) for seed in range(300)]
    assert sum(any(mode.is_missing for mode in modes) for modes in found) <= 24  # 300 tests at 5 %, three standard errors above
    assert sum(min(mode.p_value for mode in modes) < 0.5 for modes in found) > 10
    assert modes_of(labels(shares, 400, 0), labels(shares[:-1], 300, 1))[0].label == 14


def test_clusters_are_counted_on_the_half_that_they_were_not_made_of():
    draw = torch.Generator().manual_seed(0)
    for seed in range(10):
        metric = MissingModes(clusters=40, seed=seed)
        metric.update(torch.randn(801, 30, generator=draw), real=True)
        metric.update(torch.randn(800, 30, generator=draw), real=False)
        modes = metric.modes()
        assert not any(mode.is_missing for mode in modes)
        assert sum(mode.expected for mode in modes) == pytest.approx(1.0)
        assert all(mode.expected * 401 == pytest.approx(round(mode.expected * 401)) for mode in modes)


def test_a_mode_that_is_only_rarer_is_not_missing():
    rarer = modes_of(torch.arange(100_000) % 10, torch.arange(96_000) % 96 // 10)[0]
    assert (rarer.label, rarer.p_value < 1e-6, rarer.is_missing) == (9, True, False)


def test_a_custom_metric():
    sharp = CustomMetric(lambda images: images.flatten(1).std(1), name="contrast", higher_is_better=True)
    draw = torch.Generator().manual_seed(0)
    sharp.update(torch.rand(200, 1, 4, 4, generator=draw), real=True)
    sharp.update(0.5 * torch.rand(200, 1, 4, 4, generator=draw), real=False)
    estimate = sharp.estimate()
    assert estimate.high < estimate.null == pytest.approx(2.0 * estimate.value, rel=0.1)
    assert (sharp.higher_is_better, estimate.provenance["name"]) == (True, "contrast")
    truths = 0
    for _ in range(100):
        mean = CustomMetric(lambda rows: rows[:, 0], name="mean")
        mean.update(torch.randn(20, 1, generator=draw), real=False)
        found = mean.estimate()
        truths += found.low <= 0.0 <= found.high
    assert 88 <= truths <= 100
    with pytest.raises(ValueError, match="contrast must give one value for each of 2 samples, got shape"):
        CustomMetric(lambda images: images.mean(), name="contrast").update(torch.rand(2, 3), real=False)


def test_bad_labels_are_named():
    metric = LabelAgreement()
    for bad, asked, words in (
        (torch.tensor([0.5]), torch.tensor([0]), "labels must be integers"),
        (torch.tensor([-1]), torch.tensor([0]), "at least 0"),
        (torch.tensor([1]), None, "requested must have one label for each of the 1 samples, got none"),
        (torch.tensor([1]), torch.tensor([1, 2]), "got 2"),
    ):
        with pytest.raises(ValueError, match=words):
            metric.update(bad, real=False, requested=asked)
    for targets in ({}, {0: 1.2}, {0: 0.7, 1: 0.7}):
        with pytest.raises(ValueError, match="targets must be shares"):
            GroupShares(targets=targets)
    assert GroupShares(targets={0: 1.0}).shares() == []
