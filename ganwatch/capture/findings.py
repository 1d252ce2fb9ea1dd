"""What has been recognised about a loop as a whole, for people rather than for probes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ganwatch.capture.recognition import place
from ganwatch.capture.step import Call, tensors


class Findings:
    """Facts about a loop.

    Attributes
    ----------
    updates : Counter of str
        Updates so far, by network.
    seen : Counter of str
        Kinds of batches that the discriminator was shown in its own phase at the last look.
    swapped : bool
        Whether what was given as discriminator feeds what was given as generator.
    reconstructs : bool
        Whether the discriminator returns what it is shown.
    """

    def __init__(self) -> None:
        self.updates: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.swapped = self.reconstructs = False
        self._judged: set[int] = set()

    def generated(self, call: Call) -> None:
        """A call of the generator."""
        self.swapped |= any(place(x) in self._judged for x in call.inputs)

    def judged(self, calls: Sequence[Call], output: Any) -> None:
        """A call of the discriminator."""
        self._judged = {place(x) for x in tensors(output)}
        for call in calls:
            self.reconstructs = call.inputs[0].shape == call.output.shape and call.output[0].numel() > 1

    def looked(self, calls: Sequence[Call]) -> None:
        """The discriminator's phase of a step that was looked at."""
        self.seen = Counter(call.batch for call in calls)
