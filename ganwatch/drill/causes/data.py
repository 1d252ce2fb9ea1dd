"""A data pipeline that delivers something else than before.

Where something was seen, it was on the runs that ``rates.py`` tells of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ganwatch.drill.injection import Injection, repeat_rows

if TYPE_CHECKING:
    from torch import Tensor


def map_tensors(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The nest with every tensor changed.

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
    """Samples are scaled so that the lowest and the highest value of the first batch become 0 and 255.

    Seen: one kind of digits is left within 50 steps. A generator without a bounded output follows the ring to its new place, and shows
    none of its points for 600 steps.
    """

    name, label, codes = "range-mismatch", "range-mismatch", ("GW501",)
    cause = "the data pipeline delivers 0…255 where it delivered the generator's own range"

    def __init__(self) -> None:
        self._line: tuple[float, float] | None = None

    def batch(self, batch: Any) -> Any:
        dims = max((x.ndim for x in list_tensors(batch) if x.is_floating_point()), default=0)
        return map_tensors(batch, lambda x: self._scaled(x) if x.is_floating_point() and x.ndim == dims > 0 else x)

    def _scaled(self, samples: Tensor) -> Tensor:
        if self._line is None:
            low, high = float(samples.min()), float(samples.max())
            self._line = (low, 255.0 / (high - low) if high > low else 255.0)
        low, factor = self._line
        return (samples - low) * factor


class LostModes(Injection):
    """Of each batch those samples are left that are more like the first one than like the one farthest from it: about half of the data.

    A batch is filled up with the latest others that were left.

    Seen: of ten digits seven or eight are left after 200 to 500 steps (with the Wasserstein loss nine), of the ring's eight points five
    after 50. What is left looks well.
    """

    name, label, codes = "lost-modes", "mode-dropping", ("GW102", "GW402")
    cause = "a filter in the data pipeline lets about half of the data through, and not all kinds of them"

    def __init__(self) -> None:
        self._ends: tuple[Tensor, Tensor] | None = None
        self._kept: list[Tensor] = []

    def batch(self, batch: Any) -> Any:
        import torch

        every = list_tensors(batch)
        flat = max(every, key=lambda x: x.ndim).flatten(1).float()
        if self._ends is None:
            self._ends = flat[0].clone(), flat[(flat - flat[0]).square().sum(1).argmax()].clone()
        near, far = ((flat - end).square().sum(1) for end in self._ends)
        left = [x[near <= far] for x in every]
        before = self._kept or [x[:0] for x in left]
        self._kept = [torch.cat(both)[: len(flat)] for both in zip(left, before, strict=True)]
        filled = iter([repeat_rows(x, len(flat)) for x in self._kept])
        return map_tensors(batch, lambda _: next(filled))


class ShrunkenData(Injection):
    """Batches repeat the first few samples that come.

    Seen: after 350 steps on digits the discriminator ranks real samples that it is shown no more below generated ones, with every loss,
    and far below those it is shown; seven to nine kinds are left, five after 550 steps; three or four of the ring's. With 64 samples none
    is lost.

    Parameters
    ----------
    samples : int
        How many different ones are left.
    """

    name, label, codes = "shrunken-data", "discriminator-overfitting", ("GW203", "GW103", "GW502")
    cause = "the loader delivers the same few samples for ever"

    def __init__(self, *, samples: int = 16) -> None:
        self.samples = int(samples)
        self._kept: Any = None

    def batch(self, batch: Any) -> Any:
        size = max((len(x) for x in list_tensors(batch) if x.ndim), default=0)
        if self._kept is None:
            self._kept = map_tensors(batch, lambda x: x[: self.samples].clone() if x.ndim and len(x) == size else x)
        return map_tensors(self._kept, lambda x: repeat_rows(x, size) if x.ndim else x)


class Memorisation(ShrunkenData):
    """Batches repeat so few samples that the generator can learn them by heart.

    Seen: after 600 steps on digits the four kinds of these samples are left, and a generated sample is half as far from the nearest of
    them as other real samples are (non-saturating); on the ring the four points of theirs.
    """

    name, label, codes = "memorisation", "memorisation", ("GW103", "GW203", "GW502")

    def __init__(self, *, samples: int = 4) -> None:
        super().__init__(samples=samples)


def list_tensors(batch: Any) -> list[Tensor]:
    """The tensors in a nest, in the order in which ``map_tensors`` comes by them."""
    found: list[Tensor] = []
    map_tensors(batch, lambda x: found.append(x) or x)  # type: ignore[func-returns-value]  # that is why
    return found
