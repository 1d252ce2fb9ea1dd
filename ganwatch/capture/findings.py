"""What has been recognised about a loop as a whole, for people rather than for probes."""

from __future__ import annotations

import weakref
from collections import Counter, deque
from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from ganwatch.capture.attribution import loss_family
from ganwatch.capture.attribution.batch_origin import place
from ganwatch.capture.attribution.parameter_ownership import OwnedParameters
from ganwatch.capture.step import Call, tensors

LOOKS = 4
"""Looks whose slopes are kept."""
SELDOM = 8
"""Of later looks, one of so many takes the place of the oldest."""


class Findings:
    """Facts about a loop.

    Attributes
    ----------
    steps : int
        Optimizer steps so far, of whatever.
    updates : Counter of str
        Updates so far, by network.
    auxiliary : Counter of str
        Those of them that only regularise, or serve a third network.
    together : int
        Steps of optimizers that trained both networks at once.
    idle : Counter of str
        Steps of a network's optimizer that found no gradient since its last update.
    doubles : Counter of str
        Steps of optimizers whose parameters are shaped like a network's but are not its own, since its last update.
    uncalled : Counter of str
        Looks in a row at which a network was updated and not called.
    seen, seen_by_g : Counter of str
        Kinds of batches that the discriminator was shown at the last look, in its own phase and in the generator's.
    called : Counter of str
        Calls noted so far, by network.
    swapped : bool
        Whether what was given as discriminator feeds what was given as generator.
    reconstructs : bool
        Whether the discriminator returns what it is shown.
    """

    def __init__(self) -> None:
        self.steps = self.together = 0
        self.updates: Counter[str] = Counter()
        self.auxiliary: Counter[str] = Counter()
        self.idle: Counter[str] = Counter()
        self.doubles: Counter[str] = Counter()
        self.uncalled: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.seen_by_g: Counter[str] = Counter()
        self.called: Counter[str] = Counter()
        self._called_before: Counter[str] = Counter()
        self._looks = 0
        self._slopes: deque[list[Call]] = deque(maxlen=LOOKS)
        self.swapped = self.reconstructs = False
        self._judged: list[weakref.ref[Tensor]] = []

    @property
    def fakes_known(self) -> bool:
        """Whether some batch at the last look was known to be fake."""
        return bool(self.seen["fake"] or self.seen_by_g["fake"])

    @property
    def gathering(self) -> bool:
        """Whether the next look is evidence of the loss."""
        return len(self._slopes) < LOOKS or self._looks % SELDOM == 0

    def stepped(self, moved: Sequence[str], shares: Sequence[OwnedParameters], resembled: Sequence[str], *, together: bool) -> None:
        """An optimizer stepped: the networks it moved, what it has, and, where that is nothing, the networks its parameters look like.

        ``together`` is whether it trained several networks.
        """
        self.steps += 1
        self.together += together
        for role in moved:
            self.updates[role] += 1
            if self.idle or self.doubles:
                self.idle[role] = self.doubles[role] = 0
        if len(shares) > len(moved):
            self.idle.update({share.role for share in shares}.difference(moved))
        for role in resembled:
            self.doubles[role] += 1

    def generated(self, call: Call) -> None:
        """A call of the generator."""
        self.called["g"] += 1
        judged = {place(output) for known in self._judged if (output := known()) is not None}  # memory that was freed is used again
        self.swapped |= any(place(x) in judged for x in call.inputs)

    def judged(self, calls: Sequence[Call], output: Any) -> None:
        """A call of the discriminator."""
        self._judged = [weakref.ref(x) for x in tensors(output)]
        for call in calls:
            self.reconstructs = call.inputs[0].shape == call.output.shape and call.output[0].numel() > 1

    def looked(self, calls: Sequence[Call], updated: Collection[str]) -> None:
        """The calls of a step that was looked at, and the networks that were updated in it."""
        for role in ("g", "d"):
            if self.called[role] > self._called_before[role]:
                self.uncalled[role] = 0
            elif role in updated:
                self.uncalled[role] += 1
        self._called_before = self.called.copy()
        judged = [call for call in calls if call.network == "d"]
        if not any(not call.attached for call in judged):
            return
        self.seen = Counter(call.batch for call in judged if not call.attached)
        self.seen_by_g = Counter(call.batch for call in judged if call.attached)
        sloped = loss_family.evidence(judged) if self.gathering else []
        self._looks += 1
        if sloped:
            self._slopes.append(sloped)

    def loss(self) -> loss_family.LossFamily:
        """What the discriminator is trained with, by the last looks; found out when asked for."""
        return loss_family.loss_family(self._slopes)
