"""Tells the updates that train a network from those that only regularise it, by what happened since the update before.

A main update of the generator follows a call of the discriminator; one that does not, where most do, regularises. A main update of
the discriminator follows a call on a plain batch; where it was called on leaves that want a gradient alone, its slope is penalised.
And where slopes are penalised now and then (lazy regularisation), those updates are regularising ones too: their loss and gradient
compare with nothing else (Karras et al., 2020, arXiv:1912.04958).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganwatch.capture.attribution.parameter_ownership import OwnedParameters

MEMORY = 16
"""Updates by which the usual is known."""


@dataclass(frozen=True, slots=True)
class UpdateKind:
    """What an update is for."""

    counts: bool = True
    """Whether it is one of the main ones, by which steps are counted."""
    plain: bool = True
    """Whether its loss and gradient compare with those of most others."""


USUAL = UpdateKind()
"""Of most updates."""
AUXILIARY = UpdateKind(counts=False, plain=False)
_MAIN = (False, False)


class UpdateKindTracker:
    """What happened since the last update, and what usually did before others.

    Examples
    --------
    >>> phases, share = UpdateKindTracker(), OwnedParameters("g", {})
    >>> phases.judged([])
    >>> phases.kind(share)
    Kind(counts=True, plain=True)
    >>> phases.end([share])
    >>> phases.kind(share)  # without any call of the discriminator
    Kind(counts=False, plain=False)
    """

    def __init__(self) -> None:
        self._judged = self._plainly = self._penalised = False
        self._known: dict[str, deque[tuple[bool, bool]]] = {}

    @property
    def called(self) -> bool:
        """Whether the discriminator was called since the last update."""
        return self._judged

    def judged(self, given: Iterable[Any]) -> None:
        """The discriminator was called; on a leaf that wants a gradient, or on anything else."""
        self._judged = True
        for x in given:
            if isinstance(x, Tensor) and x.requires_grad and x.is_leaf:
                self._penalised = True
                return
        self._plainly = True

    def penalised(self) -> None:
        """Slopes were computed to be differentiated once more."""
        self._penalised = True

    def kind(self, share: OwnedParameters) -> UpdateKind:
        """What an update now is for."""
        if self._judged and not self._penalised:
            return USUAL
        known = self._known.get(share.key, ())
        auxiliary = self._lacks(share) and _seldom([lacked for lacked, _ in known])
        return UpdateKind(not auxiliary, not auxiliary and not (self._penalised and _seldom([penalised for _, penalised in known])))

    def end(self, shares: Iterable[OwnedParameters]) -> None:
        """The update of these is over, and another phase begins."""
        for share in shares:
            known = self._known.get(share.key)
            if known is None:
                known = self._known[share.key] = deque(maxlen=MEMORY)
            known.append(_MAIN if self._judged and not self._penalised else (self._lacks(share), self._penalised))
        self._judged = self._plainly = self._penalised = False

    def drop(self) -> None:
        """Another phase begins without an update."""
        self._judged = self._plainly = self._penalised = False

    def _lacks(self, share: OwnedParameters) -> bool:
        return not self._judged if share.role == "g" else self._penalised and not self._plainly

    def state_dict(self) -> dict[str, list[list[bool]]]:
        """Plain types only."""
        return {key: [list(phase) for phase in known] for key, known in self._known.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[Sequence[bool]]]) -> None:
        """Go on from a saved state."""
        self._known = {key: deque(((lacked, penalised) for lacked, penalised in known), MEMORY) for key, known in state.items()}


def _seldom(history: Sequence[bool]) -> bool:
    """Whether at most half were so; False where nothing is known."""
    return bool(history) and 2 * sum(history) <= len(history)
