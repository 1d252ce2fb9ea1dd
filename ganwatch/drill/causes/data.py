"""A data pipeline that delivers something else than before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ganwatch.drill.injection import Injection

if TYPE_CHECKING:
    from torch import Tensor


def mapped(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The nest with every tensor changed.

    >>> import torch
    >>> mapped({"x": (torch.ones(1), 2)}, lambda x: x + 1)
    {'x': (tensor([2.]), 2)}
    """
    from torch import Tensor

    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: mapped(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(mapped(value, change) for value in batch))
    return type(batch)(mapped(value, change) for value in batch) if isinstance(batch, list | tuple) else batch


class RangeMismatch(Injection):
    """Samples are scaled so that the lowest and the highest value of the first batch become 0 and 255."""

    name, label, codes = "range-mismatch", "range-mismatch", ("GW501",)
    cause = "the data pipeline delivers 0…255 where it delivered the generator's own range"

    def __init__(self) -> None:
        self._line: tuple[float, float] | None = None

    def batch(self, batch: Any) -> Any:
        from ganwatch.capture.step import tensors

        dims = max((x.ndim for x in tensors(batch) if x.is_floating_point()), default=0)
        return mapped(batch, lambda x: self._scaled(x) if x.is_floating_point() and x.ndim == dims > 0 else x)

    def _scaled(self, samples: Tensor) -> Tensor:
        if self._line is None:
            low, high = float(samples.min()), float(samples.max())
            self._line = (low, 255.0 / (high - low) if high > low else 255.0)
        low, factor = self._line
        return (samples - low) * factor


class ShrunkenData(Injection):
    """Batches repeat the first few samples that come.

    Parameters
    ----------
    samples : int
        How many different ones are left.
    """

    name, label, codes = "shrunken-data", "memorisation", ("GW103", "GW203", "GW502")
    cause = "the loader delivers the same few samples for ever"

    def __init__(self, *, samples: int = 16) -> None:
        self.samples = int(samples)
        self._kept: Any = None

    def batch(self, batch: Any) -> Any:
        from ganwatch.capture.step import tensors

        size = max((len(x) for x in tensors(batch) if x.ndim), default=0)
        if self._kept is None:
            self._kept = mapped(batch, lambda x: x[: self.samples].clone() if x.ndim and len(x) == size else x)
        return mapped(self._kept, lambda x: _repeated(x, size) if x.ndim else x)


def _repeated(few: Tensor, size: int) -> Tensor:
    times = -(-size // len(few))
    return few.repeat(times, *[1] * (few.ndim - 1))[:size]
