"""Contract of every metric of sample quality."""

from __future__ import annotations

import functools
import json
import math
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ganwatch.testing.rules import attempt, require

if TYPE_CHECKING:
    from torch import Tensor

    from ganwatch.metrics.base import QualityMetric

RELATIVE_TOLERANCE = 1e-6
"""Difference of values that must be equal, as a share of the value."""
ABSOLUTE_TOLERANCE = 1e-9


class MakeMetric(Protocol):
    """A metric class, or a function that makes a metric with the keyword arguments of ``QualityMetric``."""

    def __call__(self, **options: Any) -> QualityMetric: ...


def check_metric(make: MakeMetric, *, takes_features: bool = True) -> None:
    """Feed a metric its ``example_samples``: estimates, copies, resets, merges, memory and errors keep the contract.

    Parameters
    ----------
    make : callable
        A QualityMetric class, or any function that makes a new metric with the given keyword arguments (``reservoir``, ``confidence``,
        ``resamples``). The class must be one that pickle can import.
    takes_features : bool
        False if ``update`` turns its samples into something else, such as labels. Bad features are then not tried.

    Raises
    ------
    AssertionError
        A rule is broken.

    Examples
    --------
    >>> from ganwatch.metrics import KernelDistance
    >>> check_metric(KernelDistance)
    """
    _check_estimate(make)
    _check_few_samples(make)
    _check_options(make)
    _check_copies(make)
    _check_resets(make)
    _check_merging(make)
    _check_memory(make)
    if takes_features:
        _check_bad_features(make)


def _check_estimate(make: MakeMetric) -> None:
    import torch

    before = torch.random.get_rng_state()
    real, fake = _example(make, 60, 0)
    metric, who = _fed(make, real, fake)
    estimate = attempt(who, "estimate must work on example_samples", metric.estimate)
    require(torch.equal(before, torch.random.get_rng_state()), who, "torch's random state must stay as it was", "another")
    value = metric.compute()
    require(value.dtype == torch.float64 and value.ndim == 0, who, "compute must return a 0-d float64 tensor", value)
    require(_close(estimate.value, value), who, "estimate and compute must have the same value", (estimate.value, float(value)))
    in_order = estimate.low <= estimate.value <= estimate.high and estimate.low < estimate.high
    require(in_order, who, "the interval must have a width and hold the value", (estimate.low, estimate.value, estimate.high))
    minimum, maximum = metric.bounds
    require(minimum <= estimate.low and estimate.high <= maximum, who, "the interval must lie in the bounds", (estimate.low, estimate.high))
    counts = (estimate.n_real if metric.needs_real else 60, estimate.n_fake)
    require(counts == (60, 60), who, "n_real and n_fake must count the samples behind the value, 60 and 60", counts)
    text = attempt(who, "the estimate must be plain types", lambda: json.dumps(estimate.as_dict(), allow_nan=False))
    name = json.loads(text)["provenance"].get("metric")
    require(name == who, who, "provenance must name the class as 'metric'", name)
    again = _fed(make, real, fake)[0].estimate()
    require(again == estimate, who, "the same samples must give the same estimate", (estimate, again))


def _check_copies(make: MakeMetric) -> None:
    real, fake = _example(make, 40, 1)
    metric, who = _fed(make, real, fake)
    value, estimate = float(metric.compute()), metric.estimate()
    copies = {
        "pickle": attempt(who, "pickle must take the metric", lambda: pickle.loads(pickle.dumps(metric))),  # noqa: S301  # written here
        "clone": attempt(who, "clone must work", metric.clone),
    }
    for how, copy in copies.items():
        require(copy.estimate() == estimate, who, f"a copy by {how} must have the same estimate", copy.estimate())
    for how, copy in copies.items():
        copy.update(2 * fake, real=False)
        require(copy.count(real=False) == 80, who, f"a copy by {how} must count further samples, 80 in all", copy.count(real=False))
    metric.update(fake[:0], real=False)  # drops the cached value
    counts = (metric.count(real=True), metric.count(real=False))
    require(counts == (40, 40), who, "updates of a copy must not reach the original, which has 40 and 40 samples", counts)
    require(_close(float(metric.compute()), value), who, "updates of a copy must not change the value", float(metric.compute()))


def _check_resets(make: MakeMetric) -> None:
    real, fake = _example(make, 40, 2)
    fresh = float(_fed(make, real, fake)[0].compute())
    metric, who = _fed(make, real, 2 * fake)
    metric.compute()
    metric.reset_fake()
    metric.update(fake, real=False)
    value = float(metric.compute())
    require(_close(value, fresh), who, f"reset_fake must drop the generated samples and keep the real ones, value {fresh}", value)
    metric.reset()
    counts = (metric.count(real=True), metric.count(real=False))
    require(counts == (0, 0), who, "reset must drop all samples", counts)
    _feed(metric, fake, real)
    value, swapped = float(metric.compute()), float(_fed(make, fake, real)[0].compute())
    require(_close(value, swapped), who, f"reset must drop all that was computed, value {swapped}", value)


def _check_merging(make: MakeMetric) -> None:
    from ganwatch.metrics import KernelDistance, VendiRatio

    real, fake = _example(make, 50, 3)
    whole, who = _fed(make, real, fake)
    first, second, merged = _fed(make, real[:17], fake[:40])[0], _fed(make, real[17:], fake[40:])[0], make()
    attempt(who, "merge_state must take a metric", merged.merge_state, first)
    attempt(who, "merge_state must take a state", merged.merge_state, second.metric_state)
    value, expected = float(merged.compute()), float(whole.compute())
    require(_close(value, expected), who, f"merged parts must have the value of the whole, {expected}", value)
    estimate, expected_estimate = merged.estimate(), whole.estimate()
    same = estimate.n_fake == expected_estimate.n_fake and _close(estimate.low, expected_estimate.low)
    require(same, who, "merged parts must have the interval and counts of the whole", (estimate, expected_estimate))
    counts = (first.count(real=True), second.count(real=True))
    require(counts == (17, 33), who, "merging must not change the parts, which have 17 and 33 real samples", counts)
    other: QualityMetric = VendiRatio() if isinstance(whole, KernelDistance) else KernelDistance()
    _require_error(lambda: whole.merge_state(other), "incoming_state must be a", who)
    for start in range(0, 50, 10):
        attempt(who, "a call must work", functools.partial(first, real[start : start + 10], real=True))
        attempt(who, "a call must work", functools.partial(first, fake[start : start + 10], real=False))
    counts = (first.count(real=True), first.count(real=False))
    require(counts == (67, 90), who, "a call must count its samples, 67 and 90 in all", counts)


def _check_memory(make: MakeMetric) -> None:
    metric, who, sizes = make(reservoir=40), _name(make), []
    for step in range(60):
        _feed(metric, *_example(make, 8, step))
        sizes.append(sum(tensor.numel() for state in metric.metric_state.values() for tensor in state))
    early, late = max(sizes[:30]), max(sizes[30:])
    require(late < 1.2 * early, who, f"state must not grow with the number of samples, from {early} numbers", late)


def _check_few_samples(make: MakeMetric) -> None:
    real, fake = _example(make, 2, 4)
    for n in (0, 1):
        metric, who = _fed(make, real[:n], fake[:n])
        estimate = attempt(who, f"estimate must take {n} samples of each set", metric.estimate)
        known = {name: getattr(estimate, name) for name in ("value", "low", "high", "null") if not math.isnan(getattr(estimate, name))}
        require(not known, who, f"{n} samples of each set must give NaN", known)
    metric, who = _fed(make, real, fake)
    attempt(who, "estimate must take 2 samples of each set", metric.estimate)


def _check_options(make: MakeMetric) -> None:
    who = _name(make)
    for name, value in (("confidence", 1.0), ("reservoir", 1), ("resamples", 1)):
        _require_error(functools.partial(make, **{name: value}), f"{name} must", who)


def _check_bad_features(make: MakeMetric) -> None:
    import torch

    real, fake = _example(make, 10, 5)
    metric, who = _fed(make, real, fake)
    broken = fake.clone()
    broken[3] = torch.nan
    wide = torch.cat([fake, fake], 1)
    _require_error(lambda: metric.update(wide, real=False), "fake features must have the dimensions", who)
    _require_error(lambda: metric.update(broken, real=False), "fake features must be finite, got 1 of 10", who)
    _require_error(lambda: metric.update(fake[0, 0], real=False), "shape", who)
    wider = _fed(make, torch.cat([real, real], 1), wide)[0]
    _require_error(lambda: metric.merge_state(wider), "incoming real features must", who)
    count = metric.count(real=False)
    require(count == 10, who, "an update that is refused must add no sample to the 10", count)


def _require_error(action: Callable[[], Any], words: str, who: str) -> None:
    """Require a ValueError with these words in its message."""
    try:
        action()
    except ValueError as error:
        require(words in str(error), who, f"an error must say {words!r}", str(error))
    except Exception as error:
        raise AssertionError(f"{who}: an error must be a UserError that says {words!r}, got {error!r}") from error
    else:
        raise AssertionError(f"{who}: bad input must raise a UserError that says {words!r}, got none")


def _name(make: MakeMetric) -> str:
    return type(make()).__name__


def _example(make: MakeMetric, n: int, seed: int) -> tuple[Tensor, Tensor]:
    return make().example_samples(n, seed)


def _fed(make: MakeMetric, real: Tensor, fake: Tensor) -> tuple[QualityMetric, str]:
    """Make a metric with samples; return it and the name of its class."""
    metric = make()
    _feed(metric, real, fake)
    return metric, type(metric).__name__


def _feed(metric: QualityMetric, real: Tensor, fake: Tensor) -> None:
    who = type(metric).__name__
    attempt(who, "update must take real example_samples", lambda: metric.update(real, real=True))
    attempt(who, "update must take generated example_samples", lambda: metric.update(fake, real=False))


def _close(value: float, expected: Any) -> bool:
    expected = float(expected)
    both_unknown = math.isnan(value) and math.isnan(expected)
    return both_unknown or math.isclose(value, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
