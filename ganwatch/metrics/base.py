"""What all metrics of sample quality share: input, mergeable state, uncertainty."""

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
from ganwatch.core.provenance import versions
from ganwatch.data.rounding import single
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.estimate import Estimate
from ganwatch.metrics.inputs import finite, same_shape
from ganwatch.metrics.processes import gathered
from ganwatch.metrics.reservoir import Reservoir


class Summary(Protocol):
    """A state that merges: a view of a list of tensors, which it changes in place."""

    DTYPES: ClassVar[tuple[torch.dtype, ...]]
    tensors: list[Tensor]

    def __init__(self, tensors: list[Tensor]) -> None: ...

    def merge(self, other: list[Tensor]) -> None: ...

    def compact(self) -> None: ...


class QualityMetric(torchmetrics.Metric):
    """Compares generated with real samples; a subclass says how in ``measure``.

    A subclass that needs more than features kept in the reservoir names further summaries in ``summaries`` and overrides ``_add``
    and ``_value``. State merges by ``merge_state`` and, in a process group, when ``compute`` or ``estimate`` is called.

    Parameters
    ----------
    extractor : Extractor, optional
        Turns samples ``(N, …)`` into features ``(N, D)``, such as those of ``ganwatch.features``. Without it ``update`` is given features.
    seed : int
        Of the reservoir and of the subsamples behind ``estimate``.
    confidence : float in (0, 1)
        Of the interval.
    reservoir : int, samples
        At most so many samples of each side are kept. Beyond that they are a uniform random sample of all that were seen.
    resamples : int
        Subsamples behind the interval and the null.
    **kwargs
        Those of ``torchmetrics.Metric``.

    Raises
    ------
    UserError
        For a confidence outside (0, 1) or sizes that are too small.
    """

    is_differentiable = False
    full_state_update = False
    sides: ClassVar[tuple[str, ...]] = ("real", "fake")
    summaries: ClassVar[dict[str, type[Summary]]] = {"reservoir": Reservoir}
    """States of each side by name."""
    beside: ClassVar[int] = 0
    """Columns that are kept beside the features of a sample."""
    least: int = 2
    """Samples of a side below which the value is unknown."""
    needs_real: ClassVar[bool] = True
    """Whether the value is unknown without real samples."""
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """The range of the value, to which the interval is cut."""
    advisory: ClassVar[bool] = False
    """Whether the value is for reading only and never a reason for an alarm."""

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
        if reservoir < self.least:
            raise UserError(f"reservoir must be >= {self.least} (samples), got {reservoir}")
        if resamples < 2:
            raise UserError(f"resamples must be >= 2, got {resamples}")
        self.extractor = extractor
        self.seed, self.confidence, self.reservoir, self.resamples = seed, confidence, reservoir, resamples
        for side in self.sides:
            for name in self.summaries:
                self.add_state(f"{side}_{name}", default=[], dist_reduce_fx=None)

    # What subclasses say

    @abstractmethod
    def measure(self, real: Tensor, fake: Tensor) -> float:
        """The value on features ``(N, D)`` and ``(M, D)``, float32, in any order; each side has at least ``least`` rows, if needed."""

    @classmethod
    def demonstration(cls, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Valid input of ``n`` samples a side, real and generated, which the generic tests feed to ``update``."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(n, 8, generator=generator), 0.7 * torch.randn(n, 8, generator=generator) + 0.3

    def _rows(self, samples: Batch) -> Tensor:
        """What is kept of samples: one row each; without extractor the samples must be features already."""
        rows = torch.as_tensor(samples) if self.extractor is None else self.extractor(samples)
        if rows.ndim != 2 or not rows.is_floating_point():
            what = "samples" if self.extractor is None else f"output of {self.extractor.name}"
            raise UserError(f"{what} must be floating-point features of shape (N, D), got {rows.dtype} of shape {tuple(rows.shape)}")
        return rows

    def _add(self, side: str, rows: Tensor) -> None:
        """Take checked rows into the states of a side."""
        Reservoir(getattr(self, f"{side}_reservoir")).add(rows, capacity=self.reservoir, seed=self.seed)

    def _value(self) -> float:
        return self._measured(self.features(real=True), self.features(real=False))

    def _interval(self, value: float) -> tuple[float, float]:
        """From random halves, drawn without replacement: with replacement, covariances and nearest neighbours would be biased."""
        return self._around(value, torch.tensor(self._halves(), dtype=torch.float64))

    def _null(self) -> float:
        """From the real samples, divided at random in the ratio of the sides; unknown with fewer real than generated samples."""
        n_real, n_fake = (len(self.features(real=real)) for real in (True, False))
        return self._divided(round(n_real * n_real / (n_real + n_fake))) if 0 < n_fake <= n_real else math.nan

    # What subclasses use

    def features(self, *, real: bool) -> Tensor:
        """The kept rows of a side in random order, ``(0, 0)`` while there are none."""
        return self._kept("real" if real else "fake")

    def count(self, *, real: bool) -> int:
        """How many samples of a side were seen."""
        return self._seen("real" if real else "fake")

    def _kept(self, side: str) -> Tensor:
        state = getattr(self, f"{side}_reservoir")
        return Reservoir(state).rows if state else torch.empty(0, 0, device=self.device)

    def _seen(self, side: str) -> int:
        return Reservoir(getattr(self, f"{side}_reservoir")).count

    def _measured(self, real: Tensor, fake: Tensor) -> float:
        if len(fake) < self.least or (self.needs_real and len(real) < self.least):
            return math.nan
        return self.measure(real, fake)

    def _halves(self) -> list[float]:
        """Values on random halves of both sides; those of a mean spread by the standard error of the whole."""
        sides = [self.features(real=True), self.features(real=False)]
        generator = torch.Generator().manual_seed(self.seed)
        return [self._measured(*(_part(rows, len(rows) // 2, generator) for rows in sides)) for _ in range(self.resamples)]

    def _divided(self, first: int) -> float:
        """Mean value between two parts of the real samples, the first of ``first`` samples, the second of all others."""
        real, generator = self.features(real=True), torch.Generator().manual_seed(self.seed)
        orders = [torch.randperm(len(real), generator=generator).to(real.device) for _ in range(self.resamples)]
        return math.fsum(self._measured(real[order[:first]], real[order[first:]]) for order in orders) / self.resamples

    def _around(self, value: float, repeated: Tensor) -> tuple[float, float]:
        """The interval around a value, from values whose spread is its standard error."""
        from scipy.special import stdtrit

        spread = float(stdtrit(len(repeated) - 1, 0.5 + self.confidence / 2) * repeated.std())
        return value - spread, value + spread

    # torchmetrics

    def update(self, samples: Batch, *, real: bool) -> None:
        """Take samples ``(N, …)`` of one side, or features ``(N, D)`` where there is no extractor.

        Raises
        ------
        UserError
            For another shape or dtype, for features that are not finite or that float32 does not tell apart, and for dimensions that
            differ from those seen before.
        """
        self._take("real" if real else "fake", samples)

    def _take(self, side: str, samples: Batch, beside: Tensor | None = None) -> None:
        """Take samples of a side, each with further columns ``beside`` its features, ``(N, …)``."""
        with torch.no_grad():
            rows = self._rows(samples).detach().to(self.device)
            finite(f"{side} features", rows)
            for other in self.sides:
                same_shape(f"{side} features", rows.shape[1:], f"{other} features", self._shape(other))
            single(rows, f"{side} features")
            if len(rows):
                self._add(side, rows if beside is None else torch.cat([rows, beside.to(rows)], dim=1))

    def compute(self) -> Tensor:
        """The value, 0-d float64; NaN for too few samples."""
        return torch.tensor(self._value(), dtype=torch.float64, device=self.device)

    def reset_fake(self) -> None:
        """Forget the generated samples and keep the real ones, with what was computed from them."""
        for name in self.summaries:
            getattr(self, f"fake_{name}").clear()
        self._computed = None

    def estimate(self) -> Estimate:
        """The value with its uncertainty, its null and its provenance; across processes as ``compute`` is."""
        with torch.no_grad(), self._synced():
            value = self._value()
            known = math.isfinite(value)
            low, high = self._interval(value) if known else (math.nan, math.nan)
            bottom, top = self.bounds
            return Estimate(
                value=value,
                low=max(bottom, low) if math.isfinite(low) else math.nan,
                high=min(top, high) if math.isfinite(high) else math.nan,
                null=self._null() if known else math.nan,
                n_real=self._used(real=True),
                n_fake=self._used(real=False),
                confidence=self.confidence,
                provenance=self.provenance(),
            )

    def provenance(self) -> dict[str, Any]:
        """What it takes to measure the same again, in plain types."""
        return {
            "metric": type(self).__name__,
            "extractor": None if self.extractor is None else self.extractor.provenance(),
            "seed": self.seed,
            "reservoir": self.reservoir,
            "resamples": self.resamples,
            "seen": {side: self._seen(side) for side in self.sides},
            "versions": versions(),
        }

    def merge_state(self, incoming_state: dict[str, Any] | torchmetrics.Metric) -> None:
        """Take the state of a metric of the same class, which stays as it is."""
        if isinstance(incoming_state, torchmetrics.Metric):
            if type(incoming_state) is not type(self):
                raise UserError(f"incoming_state must be a {type(self).__name__} or its state, got a {type(incoming_state).__name__}")
            incoming_state = incoming_state.metric_state
        self._reduce_states(incoming_state)
        self._update_count += 1
        self._computed = None

    def _synced(self) -> AbstractContextManager[None]:
        """With the state of all processes inside, and this one's own again afterwards."""
        return self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync)

    def _used(self, *, real: bool) -> int:
        return len(self.features(real=real))

    def _shape(self, side: str) -> torch.Size | None:
        return self._shape_of(getattr(self, f"{side}_reservoir"))

    def _shape_of(self, state: list[Tensor]) -> torch.Size | None:
        return state[2][..., : state[2].shape[-1] - self.beside].shape[1:] if state else None

    def _reduce_states(self, incoming_state: dict[str, Any]) -> None:
        mine = next(filter(None, map(self._shape, self.sides)), None)
        for side in self.sides:
            theirs = self._shape_of(incoming_state[f"{side}_reservoir"])
            if theirs is not None:
                same_shape(f"incoming {side} features", theirs, "own features", mine)
        for side in self.sides:
            for name, summary in self.summaries.items():
                state = f"{side}_{name}"
                summary(getattr(self, state)).merge([tensor.to(self.device) for tensor in incoming_state[state]])

    def _sync_dist(self, dist_sync_fn: Callable[..., list[Tensor]] = gather_all_tensors, process_group: Any = None) -> None:
        """Merge the states of all processes in the order of their ranks; a process without data takes part too."""
        group = process_group or self.process_group
        merged: dict[str, list[list[Tensor]]] = {}
        for side in self.sides:
            for name, summary in self.summaries.items():
                mine = getattr(self, f"{side}_{name}")
                summary(mine).compact()
                merged[f"{side}_{name}"] = gathered(mine, summary.DTYPES, self.device, lambda tensor: dist_sync_fn(tensor, group=group))
        shapes = {tensors[2].shape[1:] for side in self.sides for tensors in merged[f"{side}_reservoir"] if tensors}
        if len(shapes) > 1:
            raise UserError(f"features must have the same dimensions in all processes, got {sorted(map(tuple, shapes))}")
        for side in self.sides:
            for name, summary in self.summaries.items():
                state: list[Tensor] = []
                for tensors in merged[f"{side}_{name}"]:
                    summary(state).merge(tensors)
                setattr(self, f"{side}_{name}", state)


def _part(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:size].to(rows.device)]
