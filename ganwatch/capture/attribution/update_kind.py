"""Distinguishes updates that train a network from those that only regularise it, by the events since the previous update.

A main update of the generator follows a call of the discriminator. An update without one regularises, if most updates have one. A main
update of the discriminator follows a call on a plain batch. If it was called on leaves that require a gradient only, its gradient is
penalised, and the update only regularises if others follow a plain call. If gradients are penalised in a minority of updates (lazy
regularisation), those updates regularise too: their loss and gradient compare with nothing else (Karras et al., 2020, arXiv:1912.04958).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ganwatch.capture.attribution.owned_parameters import OwnedParameters

HISTORY_LENGTH = 16
"""Latest updates with which an update is compared."""


@dataclass(frozen=True, slots=True)
class UpdateKind:
    """Purpose of an update."""

    is_main: bool = True
    """True if the update trains the network; steps are counted by such updates."""
    is_comparable: bool = True
    """True if its loss and gradient compare with those of most others."""


MAIN = UpdateKind()
AUXILIARY = UpdateKind(is_main=False, is_comparable=False)
_MAIN_EVENTS = (False, False)


class UpdateKindTracker:
    """Tracks the events since the last update, and those that preceded earlier ones.

    Attributes
    ----------
    has_call : bool
        True if the discriminator was called since the last update.
    has_penalty : bool
        True if it was called on a leaf that requires a gradient since then, or gradients were computed to be differentiated.

    Examples
    --------
    >>> tracker, owned = UpdateKindTracker(), OwnedParameters("g", {})
    >>> tracker.add_discriminator_call(has_grad_leaf=False)
    >>> tracker.classify(owned)
    UpdateKind(is_main=True, is_comparable=True)
    >>> tracker.end_phase([owned])
    >>> tracker.classify(owned)  # without any call of the discriminator
    UpdateKind(is_main=False, is_comparable=False)
    """

    def __init__(self) -> None:
        self.has_call = self._has_plain_call = self.has_penalty = False
        self._history: dict[str, deque[tuple[bool, bool]]] = {}
        """By optimizer and network: for each update, whether it lacked a call and whether it had a penalty."""

    def add_discriminator_call(self, *, has_grad_leaf: bool) -> None:
        """Add a call of the discriminator: on a leaf that requires a gradient, or on other arguments."""
        self.has_call = True
        if has_grad_leaf:
            self.has_penalty = True
        else:
            self._has_plain_call = True

    def add_penalty(self) -> None:
        """Add gradients that were computed in order to be differentiated again."""
        self.has_penalty = True

    def classify(self, owned: OwnedParameters) -> UpdateKind:
        """Return the kind of an update that happens now."""
        if self.has_call and not self.has_penalty:
            return MAIN
        history = self._history.get(owned.key, ())
        lacked_calls = [lacked_call for lacked_call, _ in history]
        has_other = not all(lacked_calls) if owned.role == "d" else _is_rare(lacked_calls)
        is_auxiliary = self._lacks_call(owned) and has_other
        is_penalty = self.has_penalty and _is_rare([had_penalty for _, had_penalty in history])
        return UpdateKind(not is_auxiliary, not is_auxiliary and not is_penalty)

    def end_phase(self, owned: Iterable[OwnedParameters]) -> None:
        """Begin another phase after an update of these parameters."""
        for one in owned:
            history = self._history.get(one.key)
            if history is None:
                history = self._history[one.key] = deque(maxlen=HISTORY_LENGTH)
            history.append(_MAIN_EVENTS if self.has_call and not self.has_penalty else (self._lacks_call(one), self.has_penalty))
        self.has_call = self._has_plain_call = self.has_penalty = False

    def drop_phase(self) -> None:
        """Begin another phase without an update."""
        self.has_call = self._has_plain_call = self.has_penalty = False

    def _lacks_call(self, owned: OwnedParameters) -> bool:
        return not self.has_call if owned.role == "g" else self.has_penalty and not self._has_plain_call

    def state_dict(self) -> dict[str, list[list[bool]]]:
        """Return the history as plain types."""
        return {key: [list(events) for events in history] for key, history in self._history.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[Sequence[bool]]]) -> None:
        """Continue from a saved history."""
        self._history = {
            key: deque(((lacked_call, had_penalty) for lacked_call, had_penalty in history), HISTORY_LENGTH)
            for key, history in state.items()
        }


def _is_rare(history: Sequence[bool]) -> bool:
    """Return True if at most half of the history is true; False for an empty one."""
    return bool(history) and 2 * sum(history) <= len(history)
