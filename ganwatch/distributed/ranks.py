"""Data parallel: every rank reads, rank 0 alone judges and writes, on readings that are reduced across ranks.

Nothing here is a collective. The other ranks send what they have read from a background thread, rank 0 merges what has arrived,
at most ``LAG`` steps later, and goes on without those that say nothing.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ganwatch.core.monitor import Gatherer
from ganwatch.core.signals import Reduction, family
from ganwatch.distributed.transport import Address, Inlet, Outlet

LAG = 100
"""Steps for which rank 0 waits for the others' values of a step at most."""
PATIENCE = 5.0
"""Seconds for which the end of a training, or a checkpoint, waits for what is still on its way at most."""
FAILED = 0.5
"""The same where the training has failed, for a rank's last message."""
MEETING = 60.0
"""Seconds in which rank 0 has to begin once another rank has begun."""
DISTRIBUTED = ("torch.distributed.", "torch.nn.parallel.", "deepspeed.")
"""Where modules and parameters come from that talk to other ranks."""
AHEAD = 1000
"""Steps of a rank that are kept while rank 0 has not come to them."""

Completed = tuple[int, dict[str, float], float]

_sessions = count()
"""Trainings that this process has watched; every rank counts the same, whether it has data or not."""


def rank() -> int:
    """The place of this process in a data-parallel training, as far as is known yet; 0 in any other."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    said = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
    return int(said) if said.isdecimal() else 0


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself where DistributedDataParallel or Fabric has wrapped it.

    >>> network = nn.Linear(2, 1)
    >>> unwrapped(network) is network
    True
    """
    while isinstance(network, DistributedDataParallel) or type(network).__name__ == "_FabricModule":
        wrapped: Any = network.module
        network = wrapped
    return network


def communicates(network: nn.Module) -> bool:
    """Whether a call of it on one rank alone may wait for the others: some part of it is wrapped, sharded or distributed.

    >>> communicates(nn.Linear(2, 1))
    False
    """
    kinds = {type(part) for part in (*network.modules(), *network.parameters())}
    return any(cls.__module__.startswith(DISTRIBUTED) for kind in kinds for cls in kind.__mro__)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)] or [math.nan]


REDUCTIONS: dict[Reduction, Callable[[Sequence[float]], float]] = {
    "mean": _mean,
    "rms": lambda values: math.sqrt(_mean([value * value for value in values])),
    "sum": sum,
    "min": lambda values: min(_known(values)),
    "max": lambda values: max(_known(values)),
}


def reduced(ranks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """One value a series from those of several ranks, as the catalogue says; a rank that has none does not count.

    >>> reduced([{"loss/g": 1.0, "batch_size/real": 8.0}, {"loss/g": 3.0, "batch_size/real": 8.0, "data_min/real": -1.0}])
    {'loss/g': 2.0, 'batch_size/real': 16.0, 'data_min/real': -1.0}
    """
    gathered: dict[str, list[float]] = {}
    for values in ranks:
        for series, value in values.items():
            gathered.setdefault(series, []).append(value)
    signals = {series: family(series) for series in gathered}
    return {series: REDUCTIONS[signal.reduce if (signal := signals[series]) else "mean"](values) for series, values in gathered.items()}


class Merging:
    """What rank 0 has read and what the others say, step by step.

    Parameters
    ----------
    others : sequence of int
        The other ranks.
    lag : int, steps
        A step waits for ranks that are behind until so many further ones wait too. A rank that was behind then is no longer waited
        for, until it says something.

    Examples
    --------
    >>> merging = Merging([1])
    >>> merging.put([(1, {"loss/g": 1.0}, 0.0)])
    []
    >>> merging.hear(1, [[1, {"loss/g": 3.0}]])
    >>> merging.put([(2, {"loss/g": 1.0}, 0.0)])
    [(1, {'loss/g': 2.0, 'ranks': 2.0}, 0.0)]
    >>> merging.settle(patience=0.0)
    [(2, {'loss/g': 1.0, 'ranks': 1.0}, 0.0)]
    """

    def __init__(self, others: Sequence[int], lag: int = LAG) -> None:
        self.lag = lag
        self._heard: dict[int, dict[int, dict[str, float]]] = {rank: {} for rank in others}
        self._newest = dict.fromkeys(others, 0)
        self._awaited = set(others)
        self._waiting: deque[Completed] = deque()
        self._changed = threading.Condition()

    def hear(self, rank: int, steps: Sequence[tuple[int, dict[str, float]]]) -> None:
        """Take what another rank has read."""
        with self._changed:
            said = self._heard[rank]
            for step, values in steps:
                said[step] = values
                self._newest[rank] = step
                if len(said) > AHEAD:
                    del said[next(iter(said))]
            self._awaited.add(rank)
            self._changed.notify_all()

    def leave(self, rank: int) -> None:
        """Another rank will say no more."""
        with self._changed:
            self._awaited.discard(rank)
            self._changed.notify_all()

    def put(self, steps: Sequence[Completed]) -> list[Completed]:
        """Take what rank 0 has read; the steps that are merged by now, in order."""
        with self._changed:
            self._waiting.extend(steps)
            return self._take(self.lag)

    def settle(self, patience: float) -> list[Completed]:
        """The steps that are left, once all is there or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting and self._behind(self._waiting[-1][0])), timeout=patience)
            return self._take(0)

    def _behind(self, step: int) -> set[int]:
        return {rank for rank in self._awaited if self._newest[rank] < step}

    def _take(self, lag: int) -> list[Completed]:
        taken = []
        while self._waiting:
            step, values, wall_time = self._waiting[0]
            behind = self._behind(step)
            if behind and len(self._waiting) <= lag:
                break
            self._awaited -= behind
            self._waiting.popleft()
            ranks = [values, *self._said(step)]
            taken.append((step, reduced(ranks) | {"ranks": float(len(ranks))}, wall_time))
        return taken

    def _said(self, step: int) -> list[dict[str, float]]:
        """The other ranks' values of a step; what is older is forgotten."""
        found = []
        for said in self._heard.values():
            while said and next(iter(said)) < step:
                del said[next(iter(said))]
            if step in said:
                found.append(said.pop(step))
        return found


class Ranks:
    """A gatherer whose steps are those of all ranks: on rank 0 merged ones, on the others none. Of one process it is any gatherer.

    Parameters
    ----------
    gatherer : Gatherer
        Of this rank.
    complete : callable
        Called with a step and this rank's values before they go anywhere; it may add to them.

    Attributes
    ----------
    rank, size : int
        This process's place, and how many there are; known from ``join`` on.
    joined : bool
        Whether that has been.
    patience : float, seconds
        For what is still on its way when everything is flushed.
    """

    def __init__(self, gatherer: Gatherer, complete: Callable[[int, dict[str, float]], None]) -> None:
        self.gatherer, self._complete = gatherer, complete
        self.rank, self.size, self.patience = rank(), 1, PATIENCE
        self._key = f"ganwatch/{next(_sessions)}"
        self.joined = False
        self._merging: Merging | None = None
        self._inlet: Inlet | None = None
        self._outlet: Outlet | None = None

    def join(self) -> None:
        """Find out which rank this is and meet the others; to be called once, when the training is under way."""
        self.joined = True
        self.rank = rank()
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        self.size = torch.distributed.get_world_size()
        if self.size == 1:
            return
        from torch.distributed.distributed_c10d import _get_default_store  # it has no public name

        store = _get_default_store()
        if self.rank:
            self._outlet = Outlet(self.rank, lambda: _find(store, self._key))
            return
        merging = Merging(range(1, self.size))
        self._inlet = Inlet(_host(store) or socket.gethostname(), self.size - 1, merging.hear, merging.leave)
        store.set(self._key, json.dumps(self._inlet.address))
        self._merging = merging

    def put(self, step: int, values: Mapping[str, Any], wall_time: float) -> list[Completed]:
        """Hand in this rank's values of a step; the steps of all ranks that are complete by now."""
        return self._exchange(self.gatherer.put(step, values, wall_time))

    def flush(self) -> list[Completed]:
        """Give back everything that is in flight, in order."""
        complete = self._exchange(self.gatherer.flush())
        return complete if self._merging is None else complete + self._merging.settle(self.patience)

    def _exchange(self, steps: list[Completed]) -> list[Completed]:
        for step, values, _ in steps:
            self._complete(step, values)
        if self._outlet is not None:
            if steps:
                self._outlet.send([(step, values) for step, values, _ in steps])
            return []
        return steps if self._merging is None else self._merging.put(steps)

    def close(self) -> None:
        """Leave the others."""
        if self._outlet is not None:
            self._outlet.close(max(self.patience, FAILED))
        if self._inlet is not None:
            self._inlet.close()


def _host(store: Any) -> str | None:
    """The host by which the process group's store is reached: rank 0's own, or that of the launcher on its machine."""
    while hasattr(store, "underlying_store"):
        store = store.underlying_store
    host: str | None = getattr(store, "host", None)
    return host


def _find(store: Any, key: str) -> Address:
    """Where rank 0 listens, once it has said so."""
    begun, pause = time.monotonic(), 0.01
    while not store.check([key]):
        if time.monotonic() - begun > MEETING:
            raise TimeoutError(f"rank 0 must begin within {MEETING:g} s, got nothing from it")
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
    host, port, word = json.loads(store.get(key))
    return _host(store) or host, port, word
