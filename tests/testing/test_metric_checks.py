"""Every rule for metrics can fail."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
import torch
import torchmetrics
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.estimate import Estimate
from ganwatch.metrics.reservoir import Reservoir
from ganwatch.testing import check_metric


class Fine(QualityMetric):
    """Difference of means."""

    calls = 0

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return float(fake.mean() - real.mean())


def test_a_sound_metric_passes() -> None:
    check_metric(Fine)


class Failing(Fine):
    def measure(self, real: Tensor, fake: Tensor) -> float:
        raise ZeroDivisionError


class Refusing(Fine):
    def update(self, samples: Any, *, real: bool) -> None:
        raise ZeroDivisionError


class Drawing(Fine):
    def measure(self, real: Tensor, fake: Tensor) -> float:
        torch.rand(1)
        return super().measure(real, fake)


class SinglePrecision(Fine):
    def compute(self) -> Tensor:
        return super().compute().float()


class TwoValues(Fine):
    def compute(self) -> Tensor:
        return super().compute() + 1.0


class NoWidth(Fine):
    def _interval(self, value: float) -> tuple[float, float]:
        return value, value


class OutOfBounds(Fine):
    bounds = (0.0, 10.0)

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return abs(super().measure(real, fake))

    def estimate(self) -> Estimate:
        return dataclasses.replace(super().estimate(), low=-1.0)


class Miscounting(Fine):
    def _count_used(self, *, real: bool) -> int:
        return 1


class TensorInside(Fine):
    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"mean": torch.zeros(1)}


class Nameless(Fine):
    def provenance(self) -> dict[str, Any]:
        return {}


class Varying(Fine):
    def _interval(self, value: float) -> tuple[float, float]:
        return value - 1.0 - random.random(), value + 1.0


class Unpicklable(Fine):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.function = lambda: None


class Uncloneable(Fine):
    def clone(self) -> Fine:
        raise ZeroDivisionError


class Forgetful(Fine):
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.reset()


class Full(Fine):
    def update(self, samples: Any, *, real: bool) -> None:
        if self.count(real=real) < 40:
            super().update(samples, real=real)


class SameObject(Fine):
    def clone(self) -> Fine:
        return self


class SharedState(Fine):
    largest: float

    def update(self, samples: Any, *, real: bool) -> None:
        if len(samples):
            SharedState.largest = max(SharedState.largest, float(samples.max()))
        super().update(samples, real=real)

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return SharedState.largest + super().measure(real, fake)


class ForgetsReals(Fine):
    def reset_fake(self) -> None:
        self.reset()


class NoReset(Fine):
    def reset(self) -> None:
        pass


class StaleReals(Fine):
    mean: float | None = None

    def measure(self, real: Tensor, fake: Tensor) -> float:
        if len(real) == 40:
            self.mean = float(real.mean()) if self.mean is None else self.mean
            return float(fake.mean()) - self.mean
        return super().measure(real, fake)


class StatesOnly(Fine):
    def merge_state(self, incoming_state: Any) -> None:
        super().merge_state(dict(incoming_state))


class MetricsOnly(Fine):
    def merge_state(self, incoming_state: Any) -> None:
        super().merge_state({**incoming_state.metric_state} if type(incoming_state) is type(self) else incoming_state.nothing)


class DropsFakes(Fine):
    def merge_state(self, incoming_state: Any) -> None:
        super().merge_state(incoming_state)
        self.reset_fake()


class CountsCalls(Fine):
    def update(self, samples: Any, *, real: bool) -> None:
        super().update(samples, real=real)
        self.calls += 1

    def _interval(self, value: float) -> tuple[float, float]:
        return value - 1.0 - self.calls, value + 1.0


class EmptiesParts(Fine):
    def merge_state(self, incoming_state: Any) -> None:
        super().merge_state(incoming_state)
        if isinstance(incoming_state, torchmetrics.Metric):
            incoming_state.reset()


class TakesAnyClass(Fine):
    def merge_state(self, incoming_state: Any) -> None:
        super().merge_state(incoming_state.metric_state if isinstance(incoming_state, torchmetrics.Metric) else incoming_state)


class CallsNothing(Fine):
    def forward(self, *_: Any, **__: Any) -> Tensor:
        return self.compute()


class Hoarding(Fine):
    def _add(self, sample_set: str, rows: Tensor) -> None:
        Reservoir(getattr(self, f"{sample_set}_reservoir")).add(rows, capacity=10**6, seed=0)


class NeedsOne(Fine):
    min_samples = 0

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return float(fake.max()) + super().measure(real, fake)


class KnownFromOne(Fine):
    min_samples = 1


class NeedsThree(Fine):
    def measure(self, real: Tensor, fake: Tensor) -> float:
        if len(fake) == 2:
            raise ZeroDivisionError
        return super().measure(real, fake)


class AnyOption(Fine):
    def __init__(self, *, reservoir: int = 10_000, **_: Any) -> None:
        super().__init__(reservoir=max(reservoir, 2))


class OtherError(Fine):
    def __init__(self, *, confidence: float = 0.95, **options: Any) -> None:
        super().__init__(**options)
        if confidence == 1.0:
            raise KeyError


class OtherWords(Fine):
    def __init__(self, *, confidence: float = 0.95, **options: Any) -> None:
        super().__init__(**options)
        if confidence == 1.0:
            raise UserError("no")


class FirstColumns(Fine):
    def _rows(self, samples: Any) -> Tensor:
        return super()._rows(samples)[:, :8]


class HidesNan(Fine):
    def _rows(self, samples: Any) -> Tensor:
        return super()._rows(samples).nan_to_num()


class AnyShape(Fine):
    def _rows(self, samples: Any) -> Tensor:
        return super()._rows(samples if samples.ndim else samples.expand(1, 8))


class MergesAnyShape(Fine):
    def _reduce_states(self, incoming_state: dict[str, Any]) -> None:
        if incoming_state["real_reservoir"][2].shape[1] == 8:
            super()._reduce_states(incoming_state)


class KeepsRefused(Fine):
    def update(self, samples: Any, *, real: bool) -> None:
        try:
            super().update(samples, real=real)
        except UserError:
            if samples.ndim == 2:
                super().update(samples[:1, :8], real=real)
            raise


BROKEN_METRICS = {
    "estimate must work on example_samples, got ZeroDivisionError": Failing,
    "update must take real example_samples, got ZeroDivisionError": Refusing,
    "torch's random state must stay as it was": Drawing,
    "compute must return a 0-d float64 tensor": SinglePrecision,
    "estimate and compute must have the same value": TwoValues,
    "the interval must have a width and hold the value": NoWidth,
    "the interval must lie in the bounds": OutOfBounds,
    "n_real and n_fake must count the samples behind the value": Miscounting,
    "the estimate must be plain types": TensorInside,
    "provenance must name the class as 'metric', got None": Nameless,
    "the same samples must give the same estimate": Varying,
    "pickle must take the metric": Unpicklable,
    "clone must work, got ZeroDivisionError": Uncloneable,
    "a copy by pickle must have the same estimate": Forgetful,
    "a copy by pickle must count further samples, 80 in all, got 40": Full,
    "updates of a copy must not reach the original": SameObject,
    "updates of a copy must not change the value": SharedState,
    "reset_fake must drop the generated samples and keep the real ones": ForgetsReals,
    "reset must drop all samples": NoReset,
    "reset must drop all that was computed": StaleReals,
    "merge_state must take a metric": StatesOnly,
    "merge_state must take a state": MetricsOnly,
    "merged parts must have the value of the whole": DropsFakes,
    "merged parts must have the interval and counts of the whole": CountsCalls,
    "merging must not change the parts": EmptiesParts,
    "bad input must raise a UserError that says 'incoming_state must be a'": TakesAnyClass,
    "a call must count its samples": CallsNothing,
    "state must not grow with the number of samples": Hoarding,
    "estimate must take 0 samples of each set": NeedsOne,
    "1 samples of each set must give NaN, got {'value'": KnownFromOne,
    "estimate must take 2 samples of each set": NeedsThree,
    "bad input must raise a UserError that says 'confidence must', got none": AnyOption,
    "an error must be a UserError that says 'confidence must', got KeyError": OtherError,
    "an error must say 'confidence must', got 'no'": OtherWords,
    "bad input must raise a UserError that says 'fake features must have the dimensions'": FirstColumns,
    "bad input must raise a UserError that says 'fake features must be finite, got 1 of 10'": HidesNan,
    "bad input must raise a UserError that says 'shape'": AnyShape,
    "bad input must raise a UserError that says 'incoming real features must'": MergesAnyShape,
    "an update that is refused must add no sample to the 10": KeepsRefused,
}


@pytest.mark.parametrize("rule", BROKEN_METRICS)
def test_every_rule_for_metrics_can_fail(rule: str) -> None:
    SharedState.largest = 0.0
    with pytest.raises(AssertionError) as raised:
        check_metric(BROKEN_METRICS[rule])
    assert rule in str(raised.value)
    assert str(raised.value).startswith(f"{BROKEN_METRICS[rule].__name__}: ")


def test_labels_are_not_tried_as_features() -> None:
    check_metric(FirstColumns, takes_features=False)


def test_checking_a_metric_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    check_metric(Fine)
    assert torch.equal(torch.random.get_rng_state(), before)
