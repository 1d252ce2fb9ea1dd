"""Sees what a plain loop saves by ``torch.save`` or ``torch.distributed.checkpoint``, and has it read back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ganwatch.capture.taps import saves
from ganwatch.checkpoints.reader import CheckpointReader, identify_file
from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.session.checkpoint_book import CheckpointBook
from ganwatch.session.observer import Observer
from ganwatch.session.stale_parts import find_stale_parts, has_state_of, iterate_mappings


class LoopSaves:
    """Reports the files that hold the state of a watched network.

    Parameters
    ----------
    observer : Observer
    networks : callable
        Returns the watched networks.
    """

    def __init__(self, observer: Observer, networks: Callable[[], list[nn.Module]]) -> None:
        self.observer, self.networks = observer, networks
        self.book: CheckpointBook | None = None
        saves.add_listener(self._on_save)

    def finish(self, state: str) -> None:
        """Stop looking, and wait for what is not read back yet."""
        saves.remove_listener(self._on_save)
        if self.book is not None:
            self.book.finish(state)

    def _on_save(self, states: Any, path: str, fault: str) -> None:
        if not self.observer.is_open or self.observer.ranks.rank or "://" in path:
            return
        if not holds_network(states, self.networks()):
            return
        if self.book is None:
            self.book = CheckpointBook(self.observer, CheckpointReader())
        if not fault and identify_file(path) is None:
            fault = "torch reported success, and the file is not there"
        stale = find_stale_parts(states, self.networks(), self.observer.optimizers.values())
        checkpoint = SavedCheckpoint(str(Path(path).absolute()), self.observer.steps, created=time.time(), fault=fault, stale=stale)
        assert isinstance(self.book.saves, CheckpointReader)
        self.book.saves.submit(checkpoint)


def holds_network(value: Any, networks: list[nn.Module]) -> bool:
    """Return True if a value is one of the networks, has the state of one, or holds such a value.

    Examples
    --------
    >>> g = nn.Linear(1, 1)
    >>> holds_network({"G": g.state_dict(), "step": 3}, [g]), holds_network({"images": g.weight}, [g])
    (True, False)
    """
    values = [value, *(inner for _, mapping in iterate_mappings(value) for inner in [mapping, *mapping.values()])]
    return any(
        value is network or (isinstance(value, Mapping) and has_state_of(network, value)) for value in values for network in networks
    )
