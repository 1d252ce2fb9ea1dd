"""Many processes, one result: who takes which batches, and how what each has seen comes together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def share(items: Iterable[Item]) -> Iterator[Item]:
    """The items that fall to this process, all where there is no process group: samples, batches, indices or paths.

    Of ``n`` items in ``k`` processes, rank ``r`` has the items ``r, r + k, r + 2 k, …``. Each process updates a metric of its own with its
    share; ``compute`` and ``estimate`` then merge them all, in every process.

    >>> list(share(range(3)))
    [0, 1, 2]
    """
    from torch import distributed

    alone = not (distributed.is_available() and distributed.is_initialized())
    rank, size = (0, 1) if alone else (distributed.get_rank(), distributed.get_world_size())
    return itertools.islice(items, rank, None, size)


def gathered(
    tensors: list[Tensor], dtypes: tuple[torch.dtype, ...], device: torch.device, gather: Callable[[Tensor], list[Tensor]]
) -> list[list[Tensor]]:
    """The tensors of every process, of any shapes; an empty list where a process has none."""
    ranks: list[list[Tensor]] = []
    for index, dtype in enumerate(dtypes):
        tensor = tensors[index] if tensors else torch.empty(0, dtype=dtype, device=device)
        shapes = gather(torch.tensor([int(bool(tensors)), *tensor.shape], device=device))
        flat = gather(tensor.flatten())
        ranks = ranks or [[] for _ in shapes]
        for rank, shape, values in zip(ranks, shapes, flat, strict=True):
            if shape[0]:
                rank.append(values.reshape(shape[1:].tolist()))
    return ranks
