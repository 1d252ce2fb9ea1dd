"""Keeps steps going when the generator is no longer updated: they then follow whatever still happens in the loop.

A step is an update of the primary generator (``step_clock.py``). A frozen generator, detached fakes or a scaler that skips every update
would otherwise end the record while the training goes on, and silence looks like health.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Activity(IntEnum):
    """Something that happens in a loop again and again; the first one that happens gives the steps."""

    GENERATOR_UPDATES = 0
    GENERATOR_ATTEMPTS = 1
    """Steps of an optimizer of the generator, also those that a scaler skipped or that found no gradient."""
    DISCRIMINATOR_ATTEMPTS = 2
    """The same of the discriminator."""
    DISCRIMINATOR_CALLS = 3
    """Calls of the discriminator that can be differentiated, each after another backward pass."""

    def __str__(self) -> str:
        return _NAMES[self]


GENERATOR_UPDATES, GENERATOR_ATTEMPTS, DISCRIMINATOR_ATTEMPTS, DISCRIMINATOR_CALLS = Activity
"""The members by names of the module, because looking one up in the class runs Python code."""
_NAMES = {
    GENERATOR_UPDATES: "updates of the generator",
    GENERATOR_ATTEMPTS: "attempted updates of the generator",
    DISCRIMINATOR_ATTEMPTS: "attempted updates of the discriminator",
    DISCRIMINATOR_CALLS: "calls of the discriminator",
}
N_ACTIVITIES = len(Activity)
PATIENCE = (0, 20, 128, 512)
"""By activity: times that it happens without any preferred one before it gives the steps. A scaler that searches its scale skips up to
twenty updates; WGAN updates the discriminator a hundred times before each of the first updates of the generator (arXiv:1701.07875)."""
USUAL_FACTOR = 4
"""The same, as a multiple of the most that have been seen within one step."""


class ActivityClock:
    """Ends steps by the activity that goes on.

    An activity gives the steps once it has happened often enough without any preferred one. A step is then as many of them as the
    generator's steps had on average, so that steps before and after compare. A preferred activity takes the clock back at once.

    Attributes
    ----------
    source : Activity
        Activity that gives the steps now.

    Examples
    --------
    >>> clock = ActivityClock()
    >>> for _ in range(3):  # three steps with five updates of the discriminator each
    ...     ended = [clock.add(Activity.DISCRIMINATOR_ATTEMPTS) for _ in range(5)], clock.add(Activity.GENERATOR_UPDATES)
    >>> ended
    ([False, False, False, False, False], True)
    >>> sum(clock.add(Activity.DISCRIMINATOR_ATTEMPTS) for _ in range(129 + 50)), str(clock.source)
    (11, 'attempted updates of the discriminator')
    >>> clock.add(Activity.GENERATOR_UPDATES), str(clock.source)
    (True, 'updates of the generator')
    """

    def __init__(self) -> None:
        self.source = GENERATOR_UPDATES
        self._since_step = [0] * N_ACTIVITIES
        """Number of times that each activity has happened in the current step."""
        self._since_generator = [0] * N_ACTIVITIES
        """The same since the generator's last step."""
        self._most = [0] * N_ACTIVITIES
        """The most of it between two steps of the generator."""
        self._total = [0] * N_ACTIVITIES
        """The sum of it over the generator's steps."""
        self._generator_steps = 0

    def add(self, activity: Activity) -> bool:
        """Add something that happened; return True if it ends a step."""
        if activity is GENERATOR_UPDATES:
            self._end_generator_step()
            return True
        self._since_step[activity] += 1
        self._since_generator[activity] += 1
        if activity > self.source and self._since_step[activity] <= max(PATIENCE[activity], USUAL_FACTOR * self._most[activity]):
            return False
        if activity is self.source and self._since_step[activity] < self._usual(activity):
            return False
        self.source = activity
        self._since_step = [0] * N_ACTIVITIES
        return True

    @property
    def is_regular(self) -> bool:
        """True while the generator gives the steps, and nothing has happened more often since its last one than it has before."""
        return self.source is GENERATOR_UPDATES and all(map(operator.le, self._since_generator, self._most))

    def drop_calls(self) -> None:
        """Forget the calls of the current step, because another network is trained with them, such as latents that are searched."""
        self._since_step[DISCRIMINATOR_CALLS] = 0

    def _end_generator_step(self) -> None:
        if self.source is GENERATOR_UPDATES:
            self._generator_steps += 1
        for activity, count in enumerate(self._since_generator):
            if count:
                self._most[activity] = max(self._most[activity], count)
                self._total[activity] += count if self.source is GENERATOR_UPDATES else 0
                self._since_generator[activity] = 0
        self.source = GENERATOR_UPDATES
        self._since_step = [0] * N_ACTIVITIES

    def _usual(self, activity: Activity) -> int:
        return max(1, round(self._total[activity] / self._generator_steps)) if self._generator_steps else 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain types."""
        return {
            "source": int(self.source),
            "generator_steps": self._generator_steps,
            "most": list(self._most),
            "total": list(self._total),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state, with the step that begins now."""
        self.source, self._generator_steps = Activity(state["source"]), state["generator_steps"]
        self._most, self._total = list(state["most"]), list(state["total"])
        self._since_step, self._since_generator = [0] * N_ACTIVITIES, [0] * N_ACTIVITIES
