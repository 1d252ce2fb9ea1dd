"""Metrics over several processes: each takes its shard of the batches, and their states are gathered."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def local_shard(items: Iterable[Item]) -> Iterator[Item]:
    """Return this process's shard of the items (samples, batches, indices or paths); all of them without a process group.

    Of ``n`` items in ``k`` processes, rank ``r`` has the items ``r, r + k, r + 2 k, …``. Each process updates its own metric with its
    shard; ``compute`` and ``estimate`` then merge the states of all, in every process.

    >>> list(local_shard(range(3)))
    [0, 1, 2]
    """
    from torch import distributed

    alone = not (distributed.is_available() and distributed.is_initialized())
    rank, size = (0, 1) if alone else (distributed.get_rank(), distributed.get_world_size())
    return itertools.islice(items, rank, None, size)


def gather_states(
    tensors: list[Tensor], dtypes: tuple[torch.dtype, ...], device: torch.device, gather: Callable[[Tensor], list[Tensor]]
) -> list[list[Tensor]]:
    """Return the tensors of every process, of any shapes; an empty list for a process that has none."""
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
