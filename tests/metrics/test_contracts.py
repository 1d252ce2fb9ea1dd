"""Every metric keeps the rules of ``ganwatch.testing.check_metric``; a new one is tested by being there."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest
import torch

import ganwatch.metrics
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.conditioning import LabelAgreement
from ganwatch.metrics.custom_metric import CustomMetric
from ganwatch.metrics.memorisation import Memorisation
from ganwatch.metrics.shares import GroupShares
from ganwatch.testing import check_metric


class RequestedLabels(LabelAgreement):
    """Takes features and makes labels of them."""

    def update(self, samples, *, real):
        labels = (samples > 0).long()
        super().update(labels[:, 0], real=real, requested=labels[:, 1])


class TwoTargets(GroupShares):
    """Has targets; takes features and makes groups of them."""

    def __init__(self, **kwargs):
        super().__init__(targets={0: 0.5, 1: 0.5}, **kwargs)

    def update(self, samples, *, real):
        super().update((samples[:, 0] > 0).long(), real=real)


def first_feature(rows):
    return rows[:, 0]


class FirstFeature(CustomMetric):
    """The mean of the first feature."""

    def __init__(self, **kwargs):
        super().__init__(first_feature, name="first", **kwargs)


class NearTraining(Memorisation):
    """Has training samples near the real ones."""

    def update(self, samples, *, real):
        super().update(samples, real=real)
        if real:
            super().update(samples + 0.2, training=True)


ADAPTED = {LabelAgreement: RequestedLabels, GroupShares: TwoTargets, CustomMetric: FirstFeature, Memorisation: NearTraining}
"""Metrics that take other arguments."""
WITHOUT_FEATURES = (RequestedLabels, TwoTargets, FirstFeature)
"""Metrics whose ``update`` turns features into something else."""


@pytest.mark.parametrize("name", dir(ganwatch.metrics))
def test_every_metric_keeps_the_rules(name):
    cls = getattr(ganwatch.metrics, name)
    cls = ADAPTED.get(cls, cls)
    check_metric(cls, takes_features=cls not in WITHOUT_FEATURES)


def fed(metric, real, fake):
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric


class Other(QualityMetric):
    """A metric of another package."""

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
    assert {"FrechetDistance", "MissingModes", "Precision", "Recall"} < found
    assert all(getattr(ganwatch.metrics, name).__name__ == name for name in found)
    with pytest.raises(ImportError):
        from ganwatch.metrics import NoSuch  # noqa: F401


def test_the_package_imports_neither_torch_nor_its_modules_before_a_metric_is_asked_for():
    code = "import sys; from ganwatch.metrics import intervals; print(*({'torch', 'ganwatch.metrics.vendi'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


BRIGHTNESS = """
from ganwatch.metrics.base import QualityMetric

class Brightness(QualityMetric):
    def measure(self, real, fake):
        return float(fake.mean() - real.mean())
"""


def test_a_new_metric_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "brightness.py").write_text(BRIGHTNESS)
    monkeypatch.setattr(ganwatch.metrics, "__path__", [*ganwatch.metrics.__path__, str(tmp_path)])
    ganwatch.metrics._classes.cache_clear()
    try:
        assert "Brightness" in dir(ganwatch.metrics)
        assert ganwatch.metrics.Brightness.__module__ == "ganwatch.metrics.brightness"
    finally:
        monkeypatch.undo()
        sys.modules.pop("ganwatch.metrics.brightness", None)
        vars(ganwatch.metrics).pop("brightness", None)
        ganwatch.metrics._classes.cache_clear()
