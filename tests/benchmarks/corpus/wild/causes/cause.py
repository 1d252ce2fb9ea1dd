"""The base of all causes: a loop that differs from a step on."""

from __future__ import annotations

import re
from typing import ClassVar

from corpus.wild.loop import Loop

KINDS = {"objective": "wiring", "repeats": "wiring", "labels": "data"}
"""Kind of the causes of a module, if it is not the module's name."""


class Cause(Loop):
    """A loop with one fault.

    Attributes
    ----------
    codes : tuple of str
        Codes that are right as the root, by the meaning of the codes in the runbooks.
    fact : bool
        The run fails by construction from the step of the cause. Otherwise it fails if the truth shows harm.
    starts, sets_in : bool
        The cause may be there from the start; it may set in later.
    worlds, losses, networks, styles : tuple of str or None
        Choices on which the cause makes sense; None for all.
    more_steps : int
        Steps that the cause needs beyond the usual ones until its harm can be seen.
    without : tuple of str
        Worlds, losses, networks, styles and optimizers on which it does not.
    """

    codes: ClassVar[tuple[str, ...]] = ()
    fact: ClassVar[bool] = True
    starts: ClassVar[bool] = True
    sets_in: ClassVar[bool] = True
    worlds: ClassVar[tuple[str, ...] | None] = None
    losses: ClassVar[tuple[str, ...] | None] = None
    networks: ClassVar[tuple[str, ...] | None] = None
    styles: ClassVar[tuple[str, ...] | None] = None
    more_steps: ClassVar[int] = 0
    without: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def label(cls) -> str:
        """Return the name in words with hyphens."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def kind(cls) -> str:
        """Return the kind of the cause: wiring, data, numerics, balance or diversity."""
        module = cls.__module__.rpartition(".")[2]
        return KINDS.get(module, module)

    @property
    def begins(self) -> bool:
        """True at the step of the cause."""
        return self.step == max(1, self.plan.at)
