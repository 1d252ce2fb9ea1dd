"""Exchanges readings between the ranks of a training, and returns merged steps on rank 0."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import torch.distributed

from ganwatch.core.monitor import Gatherer
from ganwatch.distributed.merging import Completed, RankMerger
from ganwatch.distributed.rank_detection import current_rank
from ganwatch.distributed.transport import Address, MessageClient, MessageServer

FLUSH_TIMEOUT = 5.0
"""Longest time that a checkpoint or the end of a training waits for messages of other ranks, in seconds."""
FAILED_RUN_TIMEOUT = 0.5
"""Longest time that a rank waits to send its last message if the training has failed, in seconds."""
CONNECT_TIMEOUT = 60.0
"""Longest time that another rank waits for the address of rank 0, in seconds."""

_sessions = count()
"""Counts the trainings that this process has watched. Every rank counts the same ones, with or without data."""


class RankExchange:
    """A gatherer that returns the merged steps of all ranks on rank 0, and none on other ranks.

    In a training of one process it returns the steps of its own gatherer.

    Parameters
    ----------
    gatherer : Gatherer
        Gatherer of this rank.
    on_values : callable
        Called with a step and this rank's values before they are sent or merged. It may add values.

    Attributes
    ----------
    rank, size : int
        Rank of this process and number of ranks, known after ``connect``.
    has_connected : bool
        True once ``connect`` was called.
    timeout : float, seconds
        Longest time that ``flush`` waits for messages that have not arrived yet.
    """

    def __init__(self, gatherer: Gatherer, on_values: Callable[[int, dict[str, float]], None]) -> None:
        self.gatherer, self._on_values = gatherer, on_values
        self.rank, self.size, self.timeout = current_rank(), 1, FLUSH_TIMEOUT
        self._key = f"ganwatch/{next(_sessions)}"
        self.has_connected = False
        self._merger: RankMerger | None = None
        self._server: MessageServer | None = None
        self._client: MessageClient | None = None

    def connect(self) -> None:
        """Detect the rank of this process and connect to the others. Call it once, after the training has begun."""
        self.has_connected = True
        self.rank = current_rank()
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        self.size = torch.distributed.get_world_size()
        if self.size == 1:
            return
        from torch.distributed.distributed_c10d import _get_default_store  # it has no public name

        store = _get_default_store()
        if self.rank:
            self._client = MessageClient(self.rank, lambda: _wait_for_address(store, self._key))
            return
        merger = RankMerger(range(1, self.size))
        self._server = MessageServer(_host(store) or socket.gethostname(), self.size - 1, merger.add_remote, merger.remove_rank)
        store.set(self._key, json.dumps(self._server.address))
        self._merger = merger

    def put(self, step: int, values: Mapping[str, Any], wall_time: float) -> list[Completed]:
        """Add this rank's values of a step. Return the steps of all ranks that are complete by now."""
        return self._exchange(self.gatherer.put(step, values, wall_time))

    def flush(self) -> list[Completed]:
        """Return all steps that have not been returned yet, in order."""
        complete = self._exchange(self.gatherer.flush())
        return complete if self._merger is None else complete + self._merger.merge_rest(self.timeout)

    def _exchange(self, steps: list[Completed]) -> list[Completed]:
        for step, values, _ in steps:
            self._on_values(step, values)
        if self._client is not None:
            if steps:
                self._client.send([(step, values) for step, values, _ in steps])
            return []
        return steps if self._merger is None else self._merger.add_local(steps)

    def close(self) -> None:
        """Disconnect from the other ranks."""
        if self._client is not None:
            self._client.close(max(self.timeout, FAILED_RUN_TIMEOUT))
        if self._server is not None:
            self._server.close()


def _host(store: Any) -> str | None:
    """Return the host of the process group's store: that of rank 0, or of the launcher on its machine."""
    while hasattr(store, "underlying_store"):
        store = store.underlying_store
    host: str | None = getattr(store, "host", None)
    return host


def _wait_for_address(store: Any, key: str) -> Address:
    """Wait until rank 0 has published its address, and return it."""
    begun, pause = time.monotonic(), 0.01
    while not store.check([key]):
        if time.monotonic() - begun > CONNECT_TIMEOUT:
            raise TimeoutError(f"rank 0 must begin within {CONNECT_TIMEOUT:g} s, got nothing from it")
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
    host, port, token = json.loads(store.get(key))
    return _host(store) or host, port, token
