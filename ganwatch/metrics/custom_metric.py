"""Custom metric: any function of samples, with uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch
from ganwatch.metrics.base import QualityMetric


class CustomMetric(QualityMetric):
    """Mean of a function over generated samples; the null is its mean over real ones.

    Parameters
    ----------
    function : callable
        Takes samples ``(N, …)`` and returns one value each, ``(N,)`` or ``(N, 1)``: a score, 0 or 1 for a share, the error of a
        downstream task.
    name : str
        Name in readings and on screens.
    higher_is_better : bool, optional
        None if neither is better.
    reservoir : int, values
        Maximum number of values of each set that are stored.

    Examples
    --------
    >>> brightness = CustomMetric(lambda images: images.flatten(1).mean(1), name="brightness")
    >>> brightness.update(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), real=False)
    >>> brightness.compute()
    tensor(0.7500, dtype=torch.float64)
    """

    needs_real = False

    def __init__(
        self,
        function: Callable[[Any], Tensor],
        *,
        name: str,
        higher_is_better: bool | None = None,
        reservoir: int = 100_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(reservoir=reservoir, **kwargs)
        if not callable(function):
            raise TypeError(f"function must be callable, got a {type(function).__name__}")
        self.function, self.name = function, name
        self._better = higher_is_better

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]  # differs between instances
        return self._better

    def measure(self, real: Tensor, fake: Tensor) -> float:  # noqa: ARG002  # real samples do not enter
        return float(fake.double().mean())

    def _rows(self, samples: Batch) -> Tensor:
        values = torch.as_tensor(self.function(samples))
        rows = values[:, None] if values.ndim == 1 else values
        if rows.shape != (len(samples), 1):
            raise UserError(f"{self.name} must give one value for each of {len(samples)} samples, got shape {tuple(values.shape)}")
        return rows.float()

    def _interval(self, value: float) -> tuple[float, float]:
        from scipy.special import stdtrit

        values = self.features(real=False).double()
        half = float(stdtrit(len(values) - 1, 0.5 + self.confidence / 2.0)) * float(values.std()) / math.sqrt(len(values))
        return value - half, value + half

    def _null(self) -> float:
        real = self.features(real=True)
        return float(real.double().mean()) if len(real) else math.nan

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"name": self.name}
