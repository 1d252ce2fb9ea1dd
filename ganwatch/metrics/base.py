"""Base class of the metrics of sample quality: input, mergeable state and uncertainty."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from ganwatch.core.errors import UserError
from ganwatch.core.provenance import package_versions
from ganwatch.data.rounding import to_float32
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.estimate import Estimate
from ganwatch.metrics.inputs import check_finite, check_same_shape
from ganwatch.metrics.processes import gather_states
from ganwatch.metrics.reservoir import Reservoir


class Summary(Protocol):
    """A mergeable state: a view of a list of tensors, which it changes in place."""

    DTYPES: ClassVar[tuple[torch.dtype, ...]]
    tensors: list[Tensor]

    def __init__(self, tensors: list[Tensor]) -> None: ...

    def merge(self, other: list[Tensor]) -> None: ...

    def compact(self) -> None: ...


class QualityMetric(torchmetrics.Metric):
    """Base class that compares generated with real samples; a subclass implements ``measure``.

    A subclass that needs more than the features in the reservoir adds further summaries to ``summaries`` and overrides ``_add`` and
    ``_value``. State merges by ``merge_state`` and, in a process group, when ``compute`` or ``estimate`` is called.

    Parameters
    ----------
    extractor : Extractor, optional
        Turns samples ``(N, …)`` into features ``(N, D)``, such as those of ``ganwatch.features``. Without it ``update`` takes features.
    seed : int
        Seed of the reservoir and of the subsamples behind ``estimate``.
    confidence : float in (0, 1)
        Confidence of the interval.
    reservoir : int, samples
        Maximum number of samples of each set that are stored. Beyond it they are a uniform random sample of all that were seen.
    resamples : int
        Number of subsamples behind the interval and the null.
    **kwargs
        Arguments of ``torchmetrics.Metric``.

    Raises
    ------
    UserError
        ``confidence`` is outside (0, 1), or a size is too small.
    """

    is_differentiable = False
    full_state_update = False
    sample_sets: ClassVar[tuple[str, ...]] = ("real", "fake")
    """Names of the sets of samples that are compared."""
    summaries: ClassVar[dict[str, type[Summary]]] = {"reservoir": Reservoir}
    """States of each sample set by name."""
    extra_columns: ClassVar[int] = 0
    """Number of columns that are stored after the features of a sample."""
    min_samples: int = 2
    """Samples of a set below which the value is unknown."""
    needs_real: ClassVar[bool] = True
    """True if the value is unknown without real samples."""
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Range of the value, to which the interval is clipped."""

    def __init__(
        self,
        extractor: Extractor | None = None,
        *,
        seed: int = 0,
        confidence: float = 0.95,
        reservoir: int = 10_000,
        resamples: int = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0.0 < confidence < 1.0:
            raise UserError(f"confidence must be in (0, 1), got {confidence}")
        if reservoir < self.min_samples:
            raise UserError(f"reservoir must be >= {self.min_samples} (samples), got {reservoir}")
        if resamples < 2:
            raise UserError(f"resamples must be >= 2, got {resamples}")
        self.extractor = extractor
        self.seed, self.confidence, self.reservoir, self.resamples = seed, confidence, reservoir, resamples
        for sample_set in self.sample_sets:
            for name in self.summaries:
                self.add_state(f"{sample_set}_{name}", default=[], dist_reduce_fx=None)

    # Methods that subclasses override

    @abstractmethod
    def measure(self, real: Tensor, fake: Tensor) -> float:
        """Return the value for features ``(N, D)`` and ``(M, D)``, float32, in any order.

        Both have at least ``min_samples`` rows; without ``needs_real`` the real ones may have fewer.
        """

    @classmethod
    def example_samples(cls, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return valid input for ``update``, ``n`` real and ``n`` generated samples; ``ganwatch.testing.check_metric`` uses it."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(n, 8, generator=generator), 0.7 * torch.randn(n, 8, generator=generator) + 0.3

    def _rows(self, samples: Batch) -> Tensor:
        """Turn samples into the rows that are stored, one each; without an extractor the samples must be features."""
        rows = torch.as_tensor(samples) if self.extractor is None else self.extractor(samples)
        if rows.ndim != 2 or not rows.is_floating_point():
            what = "samples" if self.extractor is None else f"output of {self.extractor.name}"
            raise UserError(f"{what} must be floating-point features of shape (N, D), got {rows.dtype} of shape {tuple(rows.shape)}")
        return rows

    def _add(self, sample_set: str, rows: Tensor) -> None:
        """Add checked rows to the states of a sample set."""
        Reservoir(getattr(self, f"{sample_set}_reservoir")).add(rows, capacity=self.reservoir, seed=self.seed)

    def _value(self) -> float:
        return self._measure_if_enough(self.features(real=True), self.features(real=False))

    def _interval(self, value: float) -> tuple[float, float]:
        """Estimate the interval from random halves without replacement.

        With replacement, covariances and nearest neighbours would be biased.
        """
        return self._t_interval(value, torch.tensor(self._measure_halves(), dtype=torch.float64))

    def _null(self) -> float:
        """Estimate the null by dividing the real samples at random in the ratio of both sets; NaN with fewer real than generated ones."""
        n_real, n_fake = (len(self.features(real=real)) for real in (True, False))
        return self._measure_real_splits(round(n_real * n_real / (n_real + n_fake))) if 0 < n_fake <= n_real else math.nan

    # Methods that subclasses use

    def features(self, *, real: bool) -> Tensor:
        """Return the stored rows of a set in random order, ``(0, 0)`` while there are none."""
        return self._stored_rows("real" if real else "fake")

    def count(self, *, real: bool) -> int:
        """Return the number of samples of a set that were seen."""
        return self._count_seen("real" if real else "fake")

    def _stored_rows(self, sample_set: str) -> Tensor:
        state = getattr(self, f"{sample_set}_reservoir")
        return Reservoir(state).rows if state else torch.empty(0, 0, device=self.device)

    def _count_seen(self, sample_set: str) -> int:
        return Reservoir(getattr(self, f"{sample_set}_reservoir")).count

    def _measure_if_enough(self, real: Tensor, fake: Tensor) -> float:
        if len(fake) < self.min_samples or (self.needs_real and len(real) < self.min_samples):
            return math.nan
        return self.measure(real, fake)

    def _measure_halves(self) -> list[float]:
        """Return the values of random halves of both sets; those of a mean spread by the standard error of the whole."""
        both = [self.features(real=True), self.features(real=False)]
        generator = torch.Generator().manual_seed(self.seed)
        return [self._measure_if_enough(*(_draw_rows(rows, len(rows) // 2, generator) for rows in both)) for _ in range(self.resamples)]

    def _measure_real_splits(self, size: int) -> float:
        """Return the mean value between two random parts of the real samples: ``size`` of them and all others."""
        real, generator = self.features(real=True), torch.Generator().manual_seed(self.seed)
        orders = [torch.randperm(len(real), generator=generator).to(real.device) for _ in range(self.resamples)]
        return math.fsum(self._measure_if_enough(real[order[:size]], real[order[size:]]) for order in orders) / self.resamples

    def _t_interval(self, value: float, repeated: Tensor) -> tuple[float, float]:
        """Return Student's interval around a value, from repeated values whose spread is its standard error."""
        from scipy.special import stdtrit

        spread = float(stdtrit(len(repeated) - 1, 0.5 + self.confidence / 2) * repeated.std())
        return value - spread, value + spread

    # torchmetrics

    def update(self, samples: Batch, *, real: bool) -> None:
        """Add samples ``(N, …)`` of one set, or features ``(N, D)`` if there is no extractor.

        Raises
        ------
        UserError
            The shape or dtype is wrong, features are not finite or become equal in float32, or their dimensions differ from those of
            earlier samples.
        """
        self._update_set("real" if real else "fake", samples)

    def _update_set(self, sample_set: str, samples: Batch, extra: Tensor | None = None) -> None:
        """Add samples of a set; ``extra`` has further columns that are stored after the features, ``(N, …)``."""
        with torch.no_grad():
            rows = self._rows(samples).detach().to(self.device)
            check_finite(f"{sample_set} features", rows)
            for other in self.sample_sets:
                check_same_shape(f"{sample_set} features", rows.shape[1:], f"{other} features", self._shape(other))
            to_float32(rows, f"{sample_set} features")
            if len(rows):
                self._add(sample_set, rows if extra is None else torch.cat([rows, extra.to(rows)], dim=1))

    def compute(self) -> Tensor:
        """Return the value, 0-d float64; NaN for too few samples."""
        return torch.tensor(self._value(), dtype=torch.float64, device=self.device)

    def reset_fake(self) -> None:
        """Drop the generated samples; keep the real ones and what was computed from them."""
        for name in self.summaries:
            getattr(self, f"fake_{name}").clear()
        self._computed = None

    def estimate(self) -> Estimate:
        """Return the value with its uncertainty, its null and its provenance; state merges over processes as for ``compute``."""
        with torch.no_grad(), self._sync_processes():
            value = self._value()
            is_known = math.isfinite(value)
            low, high = self._interval(value) if is_known else (math.nan, math.nan)
            minimum, maximum = self.bounds
            return Estimate(
                value=value,
                low=max(minimum, low) if math.isfinite(low) else math.nan,
                high=min(maximum, high) if math.isfinite(high) else math.nan,
                null=self._null() if is_known else math.nan,
                n_real=self._count_used(real=True),
                n_fake=self._count_used(real=False),
                confidence=self.confidence,
                provenance=self.provenance(),
            )

    def provenance(self) -> dict[str, Any]:
        """Return all that is needed to measure the same again, in plain types."""
        return {
            "metric": type(self).__name__,
            "extractor": None if self.extractor is None else self.extractor.provenance(),
            "seed": self.seed,
            "reservoir": self.reservoir,
            "resamples": self.resamples,
            "seen": {sample_set: self._count_seen(sample_set) for sample_set in self.sample_sets},
            "versions": package_versions(),
        }

    def merge_state(self, incoming_state: dict[str, Any] | torchmetrics.Metric) -> None:
        """Add the state of a metric of the same class, which does not change."""
        if isinstance(incoming_state, torchmetrics.Metric):
            if type(incoming_state) is not type(self):
                raise UserError(f"incoming_state must be a {type(self).__name__} or its state, got a {type(incoming_state).__name__}")
            incoming_state = incoming_state.metric_state
        self._reduce_states(incoming_state)
        self._update_count += 1
        self._computed = None

    def _sync_processes(self) -> AbstractContextManager[None]:
        """Merge the state of all processes inside the context; afterwards this process has its own state again."""
        return self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync)

    def _count_used(self, *, real: bool) -> int:
        """Return the number of samples of a set behind the value."""
        return len(self.features(real=real))

    def _shape(self, sample_set: str) -> torch.Size | None:
        return self._shape_of(getattr(self, f"{sample_set}_reservoir"))

    def _shape_of(self, state: list[Tensor]) -> torch.Size | None:
        return state[2][..., : state[2].shape[-1] - self.extra_columns].shape[1:] if state else None

    def _reduce_states(self, incoming_state: dict[str, Any]) -> None:
        own = next(filter(None, map(self._shape, self.sample_sets)), None)
        for sample_set in self.sample_sets:
            incoming = self._shape_of(incoming_state[f"{sample_set}_reservoir"])
            if incoming is not None:
                check_same_shape(f"incoming {sample_set} features", incoming, "own features", own)
        for state, summary in self._states():
            summary(getattr(self, state)).merge([tensor.to(self.device) for tensor in incoming_state[state]])

    def _sync_dist(self, dist_sync_fn: Callable[..., list[Tensor]] = gather_all_tensors, process_group: Any = None) -> None:
        """Merge the states of all processes in the order of their ranks; a process without data takes part too."""
        group = process_group or self.process_group
        gathered: dict[str, list[list[Tensor]]] = {}
        for state, summary in self._states():
            own = getattr(self, state)
            summary(own).compact()
            gathered[state] = gather_states(own, summary.DTYPES, self.device, lambda tensor: dist_sync_fn(tensor, group=group))
        reservoirs = [tensors for sample_set in self.sample_sets for tensors in gathered[f"{sample_set}_reservoir"]]
        shapes = {tensors[2].shape[1:] for tensors in reservoirs if tensors}
        if len(shapes) > 1:
            raise UserError(f"features must have the same dimensions in all processes, got {sorted(map(tuple, shapes))}")
        for state, summary in self._states():
            merged: list[Tensor] = []
            for tensors in gathered[state]:
                summary(merged).merge(tensors)
            setattr(self, state, merged)

    def _states(self) -> list[tuple[str, type[Summary]]]:
        """Return the names of all states, sample set by sample set, with the class of each."""
        return [(f"{sample_set}_{name}", summary) for sample_set in self.sample_sets for name, summary in self.summaries.items()]


def _draw_rows(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:size].to(rows.device)]
