"""Faults of the data pipeline: it delivers other data than before.

Observations were made on the runs that ``rates.py`` describes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ganwatch.drill.injection import Injection, repeat_rows

if TYPE_CHECKING:
    from torch import Tensor


def map_tensors(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply ``change`` to every tensor of a nest.

    >>> import torch
    >>> map_tensors({"x": (torch.ones(1), 2)}, lambda x: x + 1)
    {'x': (tensor([2.]), 2)}
    """
    from torch import Tensor

    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: map_tensors(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(value, change) for value in batch))
    return type(batch)(map_tensors(value, change) for value in batch) if isinstance(batch, list | tuple) else batch


class RangeMismatch(Injection):
    """Scales samples so that the lowest and the highest value of the first batch become 0 and 255.

    Observed: one digit remains within 50 steps. A generator without a bounded output follows the ring to its new place, and covers none
    of its points for 600 steps.
    """

    name, label, codes = "range-mismatch", "range-mismatch", ("GW501",)
    cause = "the data pipeline delivers 0…255 where it delivered the generator's own range"

    def __init__(self) -> None:
        self._scaling: tuple[float, float] | None = None

    def change_batch(self, batch: Any) -> Any:
        dims = max((x.ndim for x in list_tensors(batch) if x.is_floating_point()), default=0)
        return map_tensors(batch, lambda x: self._scaled(x) if x.is_floating_point() and x.ndim == dims > 0 else x)

    def _scaled(self, samples: Tensor) -> Tensor:
        if self._scaling is None:
            low, high = float(samples.min()), float(samples.max())
            self._scaling = (low, 255.0 / (high - low) if high > low else 255.0)
        low, factor = self._scaling
        return (samples - low) * factor


class LostModes(Injection):
    """Filters each batch: only samples nearer to the first sample than to the one farthest from it remain, about half of the data.

    A batch is filled up with the latest samples that passed before.

    Observed: of ten digits seven or eight remain after 200 to 500 steps (with the Wasserstein loss nine), of the ring's eight points five
    after 50. The samples that remain look good.
    """

    name, label, codes = "lost-modes", "mode-dropping", ("GW102", "GW402")
    cause = "a filter in the data pipeline lets about half of the data through, and not all of their modes"

    def __init__(self) -> None:
        self._ends: tuple[Tensor, Tensor] | None = None
        self._passed: list[Tensor] = []

    def change_batch(self, batch: Any) -> Any:
        import torch

        tensors = list_tensors(batch)
        flat = max(tensors, key=lambda x: x.ndim).flatten(1).float()
        if self._ends is None:
            self._ends = flat[0].clone(), flat[(flat - flat[0]).square().sum(1).argmax()].clone()
        near, far = ((flat - end).square().sum(1) for end in self._ends)
        passed = [x[near <= far] for x in tensors]
        earlier = self._passed or [x[:0] for x in passed]
        self._passed = [torch.cat(both)[: len(flat)] for both in zip(passed, earlier, strict=True)]
        filled = iter([repeat_rows(x, len(flat)) for x in self._passed])
        return map_tensors(batch, lambda _: next(filled))


class ShrunkenData(Injection):
    """Repeats the first few samples in every batch.

    Observed: after 350 steps on digits, with every loss, the discriminator scores real samples that it no longer gets below generated ones,
    and far below those it gets. Seven to nine digits remain, five after 550 steps; three or four points of the ring. With 64 samples none
    is lost.

    Parameters
    ----------
    samples : int
        Number of different samples that remain.
    """

    name, label, codes = "shrunken-data", "discriminator-overfitting", ("GW203", "GW103", "GW502")
    cause = "the loader delivers the same few samples for ever"

    def __init__(self, *, samples: int = 16) -> None:
        self.samples = int(samples)
        self._first: Any = None

    def change_batch(self, batch: Any) -> Any:
        size = max((len(x) for x in list_tensors(batch) if x.ndim), default=0)
        if self._first is None:
            self._first = map_tensors(batch, lambda x: x[: self.samples].clone() if x.ndim and len(x) == size else x)
        return map_tensors(self._first, lambda x: repeat_rows(x, size) if x.ndim else x)


class Memorisation(ShrunkenData):
    """Repeats so few samples in every batch that the generator can memorise them.

    Observed: after 600 steps on digits the four digits of these samples remain, and a generated sample is half as far from the nearest of
    them as other real samples are (non-saturating); on the ring their four points remain.
    """

    name, label, codes = "memorisation", "memorisation", ("GW103", "GW203", "GW502")

    def __init__(self, *, samples: int = 4) -> None:
        super().__init__(samples=samples)


def list_tensors(batch: Any) -> list[Tensor]:
    """List the tensors of a nest, in the order of ``map_tensors``."""
    tensors: list[Tensor] = []
    map_tensors(batch, lambda x: tensors.append(x) or x)  # type: ignore[func-returns-value]  # append returns None
    return tensors
