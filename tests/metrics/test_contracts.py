"""What every metric keeps, checked for each class by its being there."""

import importlib
import inspect
import json
import math
import pickle
import pkgutil

import pytest
import torch

import ganwatch.metrics
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.conditioning import LabelAgreement
from ganwatch.metrics.custom_metric import CustomMetric
from ganwatch.metrics.memorisation import Memorisation
from ganwatch.metrics.shares import GroupShares


class Asked(LabelAgreement):
    """Labels made of features, so that it is fed as all others are."""

    def update(self, samples, *, real):
        labels = (samples > 0).long()
        super().update(labels[:, 0], real=real, requested=labels[:, 1])


class Targeted(GroupShares):
    """The same, with targets."""

    def __init__(self, **kwargs):
        super().__init__(targets={0: 0.5, 1: 0.5}, **kwargs)

    def update(self, samples, *, real):
        super().update((samples[:, 0] > 0).long(), real=real)


def first(rows):
    return rows[:, 0]


class Firsts(CustomMetric):
    """The mean of the first feature."""

    def __init__(self, **kwargs):
        super().__init__(first, name="first", **kwargs)


class ThreeSided(Memorisation):
    """Trained on what lies near the real samples."""

    def update(self, samples, *, real):
        super().update(samples, real=real)
        if real:
            super().update(samples + 0.2, training=True)


ADAPTED = {LabelAgreement: Asked, GroupShares: Targeted, CustomMetric: Firsts, Memorisation: ThreeSided}
"""Metrics that are made or fed in another way."""
LABELLED = (Asked, Targeted, Firsts)
"""Those whose input is no features; what they refuse is theirs to test."""


def metrics():
    for found in pkgutil.iter_modules(ganwatch.metrics.__path__, "ganwatch.metrics."):
        for _, cls in inspect.getmembers(importlib.import_module(found.name), inspect.isclass):
            concrete = issubclass(cls, QualityMetric) and not inspect.isabstract(cls) and not cls.__name__.startswith("_")
            if concrete and cls.__module__ == found.name:
                yield ADAPTED.get(cls, cls)


@pytest.fixture(params=metrics(), ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


def fed(metric, real, fake):
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric


def same(value):
    return pytest.approx(float(value), rel=1e-6, abs=1e-9)


def test_a_value_comes_with_its_uncertainty_in_plain_types(cls):
    before = torch.get_rng_state()
    metric = fed(cls(), *cls.example_samples(60, 0))
    estimate = metric.estimate()
    assert torch.equal(torch.get_rng_state(), before)
    assert metric.compute().dtype == torch.float64
    assert estimate.value == same(metric.compute())
    assert estimate.low <= estimate.value <= estimate.high
    assert cls.bounds[0] <= estimate.low < estimate.high <= cls.bounds[1]
    assert (estimate.n_real if cls.needs_real else 60, estimate.n_fake) == (60, 60)
    assert json.loads(json.dumps(estimate.as_dict(), allow_nan=False))["provenance"]["metric"] == cls.__name__
    assert fed(cls(), *cls.example_samples(60, 0)).estimate() == estimate


def test_copies_have_the_same_state_and_a_life_of_their_own(cls):
    real, fake = cls.example_samples(40, 1)
    metric = fed(cls(), real, fake)
    value = metric.compute()
    for copy in (pickle.loads(pickle.dumps(metric)), metric.clone()):  # noqa: S301  # our own
        assert copy.estimate() == metric.estimate()
        copy.update(2 * fake, real=False)
        assert copy.count(real=False) == 80
    assert metric.count(real=False) == 40
    assert fed(cls(), real, fake).compute() == value


def test_reset_forgets_and_reset_fake_keeps_the_real_side(cls):
    real, fake = cls.example_samples(40, 2)
    metric = fed(cls(), real, 2 * fake)
    metric.compute()
    metric.reset_fake()
    metric.update(fake, real=False)
    assert float(metric.compute()) == same(fed(cls(), real, fake).compute())
    metric.reset()
    assert (metric.count(real=True), metric.count(real=False)) == (0, 0)
    assert float(fed(metric, real, fake).compute()) == same(fed(cls(), real, fake).compute())


def test_parts_that_are_merged_are_the_whole(cls):
    real, fake = cls.example_samples(50, 3)
    whole, first, second, nothing = fed(cls(), real, fake), fed(cls(), real[:17], fake[:40]), fed(cls(), real[17:], fake[40:]), cls()
    nothing.merge_state(first)
    nothing.merge_state(second.metric_state)
    assert float(nothing.compute()) == same(whole.compute())
    assert nothing.estimate().n_fake == 50
    assert nothing.estimate().low == same(whole.estimate().low)
    assert (first.count(real=True), second.count(real=True)) == (17, 33)
    for start in range(0, 50, 10):
        for side in (True, False):
            batch = (real if side else fake)[start : start + 10]
            first(batch, real=side)
    assert (first.count(real=True), first.count(real=False)) == (67, 90)


def test_memory_does_not_grow_with_the_number_of_samples(cls):
    metric, sizes = cls(reservoir=40), []
    for step in range(60):
        fed(metric, *cls.example_samples(8, step))
        sizes.append(sum(tensor.numel() for state in metric.metric_state.values() for tensor in state))
    assert max(sizes[30:]) < 1.2 * max(sizes[:30])


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_samples_are_unknown_and_no_error(cls, n):
    real, fake = cls.example_samples(1, 4)
    estimate = fed(cls(), real[:n], fake[:n]).estimate()
    assert all(math.isnan(getattr(estimate, name)) for name in ("value", "low", "high", "null"))
    assert estimate.as_dict()["value"] is None
    two = fed(cls(), *cls.example_samples(2, 4)).estimate()
    assert two.n_fake == 2


@pytest.mark.parametrize("cls", [cls for cls in metrics() if cls not in LABELLED], ids=lambda cls: cls.__name__)
def test_bad_input_is_named_and_changes_nothing(cls):
    real, fake = cls.example_samples(10, 5)
    metric = fed(cls(), real, fake)
    wider = torch.cat([fake, fake], 1)
    for bad, words in (
        (wider, rf"fake features .*\({real.shape[1]},.*\({wider.shape[1]},"),
        (
            torch.where(torch.arange(10).reshape(-1, *[1] * (fake.ndim - 1)) == 3, torch.nan, fake),
            "fake features must be finite, got 1 of 10",
        ),
        (fake[0, 0], "shape"),
    ):
        with pytest.raises(ValueError, match=words):
            metric.update(bad, real=False)
    with pytest.raises(ValueError, match="incoming real features"):
        metric.merge_state(fed(cls(), torch.cat([real, real], 1), wider))
    with pytest.raises(ValueError, match=f"must be a {cls.__name__}"):
        metric.merge_state(Other())
    assert metric.count(real=False) == 10
    for name, value in (("confidence", 1.0), ("reservoir", 1), ("resamples", 1)):
        with pytest.raises(ValueError, match=f"{name} must be"):
            cls(**{name: value})


class Other(QualityMetric):
    """A metric of the user's own."""

    def measure(self, real, fake):
        return float(fake.mean() - real.mean())


class Doubled:
    """An extractor of features."""

    name, dim = "doubled", None

    def __call__(self, samples):
        return samples.flatten(1) * 2.0

    def provenance(self):
        return {"name": self.name}


def test_features_come_from_the_extractor():
    metric = fed(Other(Doubled()), torch.zeros(8, 1, 2, 2), torch.ones(8, 1, 2, 2))
    assert float(metric.compute()) == 2.0
    assert metric.estimate().provenance["extractor"] == {"name": "doubled"}
    assert metric.features(real=False).shape == (8, 4)


def test_the_interval_covers_the_truth_as_often_as_it_says_and_the_null_is_that_of_equal_distributions():
    estimates = []
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        real, fake = torch.randn(200, 1, generator=generator), torch.randn(100, 1, generator=generator) + 0.1
        estimates.append(fed(Other(seed=seed), real, fake).estimate())
    assert 88 <= sum(one.low <= 0.1 <= one.high for one in estimates) <= 99
    width = sum(one.high - one.low for one in estimates) / 100
    assert width == pytest.approx(2 * 2.093 * (1 / 200 + 1 / 100) ** 0.5, rel=0.1)
    assert max(abs(one.null) for one in estimates) < 0.15


def test_every_metric_is_there_by_its_name():
    modules = [importlib.import_module(info.name) for info in pkgutil.iter_modules(ganwatch.metrics.__path__, "ganwatch.metrics.")]
    found = {
        name
        for module in modules
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, QualityMetric) and cls.__module__ == module.__name__
        if not inspect.isabstract(cls) and not name.startswith("_")
    }
    assert set(dir(ganwatch.metrics)) == found
    assert all(getattr(ganwatch.metrics, name).__name__ == name for name in found)
    with pytest.raises(ImportError):
        from ganwatch.metrics import NoSuch  # noqa: F401
