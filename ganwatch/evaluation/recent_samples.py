"""Generated batches of the past, denser the more recent, so that an incident has samples from before its onset."""

from __future__ import annotations

from torch import Tensor

INTERVAL = 20
"""Steps between two batches that are remembered."""
MAX_EVIDENCE = 6
"""Batches that are shown for an incident."""


class RecentSamples:
    """The first batch, and the oldest one of each span of ages; each span is twice as long as the one before it.

    Examples
    --------
    >>> import torch
    >>> samples = RecentSamples()
    >>> for step in (1, *range(20, 2001, 20)):
    ...     samples.add(step, torch.zeros(1))
    >>> samples.steps
    [1, 20, 1300, 1620, 1780, 1860, 1940, 1980, 2000]
    >>> [step for step, _ in samples.around(onset=1700)]
    [1620, 1780, 1860, 1940, 1980, 2000]
    """

    def __init__(self) -> None:
        self._batches: dict[int, Tensor] = {}

    @property
    def steps(self) -> list[int]:
        """Steps of the remembered batches."""
        return list(self._batches)

    def add(self, step: int, batch: Tensor) -> None:
        """Remember a batch of a later step than the ones so far, and forget what has come too close to others."""
        self._batches[step] = batch
        first, *others = self._batches
        kept: dict[int, int] = {}
        for earlier in others:
            kept.setdefault(((step - earlier) // INTERVAL).bit_length(), earlier)
        chosen = {first, *kept.values()}
        self._batches = {each: samples for each, samples in self._batches.items() if each in chosen}

    def around(self, onset: int) -> list[tuple[int, Tensor]]:
        """Return the last batch before an onset and the latest ones after it, in order."""
        before = [(step, batch) for step, batch in self._batches.items() if step < onset]
        after = [(step, batch) for step, batch in self._batches.items() if step >= onset]
        return before[-1:] + after[len(before[-1:]) - MAX_EVIDENCE :]
