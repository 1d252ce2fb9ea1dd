"""Decides which steps are recorded, and for how many steps the recorder need not look at anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ganwatch.capture.discriminator_cadence import DiscriminatorCadence
from ganwatch.capture.schedule import Plan, Schedule
from ganwatch.core.pace import Pace
from ganwatch.core.probe import Probe


class StepPlanner:
    """Plans steps by the cadences of probes, of the discriminator, and of what else needs calls.

    Parameters
    ----------
    probes : sequence of Probe
    guard : callable
        Runs a part of ganwatch so that no error of it goes further.
    is_sampled : callable
        Returns True for the index of a step whose calls something besides the probes needs.
    pace : Pace, optional
        Says at which steps paced probes look rarely, and at which in addition.

    Attributes
    ----------
    cadence : DiscriminatorCadence
        Moves the sampled steps to those at which the discriminator is updated.

    Examples
    --------
    >>> from ganwatch.probes.diversity import Diversity
    >>> planner = StepPlanner([Diversity()], lambda part, action: action(), is_sampled=lambda index: index == 50)
    >>> planner.count_quiet_steps(1, longest=30), planner.count_quiet_steps(41, longest=30), planner.is_recorded(50)
    (19, 9, True)
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        guard: Callable[[str, Callable[[], Any]], Any],
        is_sampled: Callable[[int], bool] = lambda _: False,
        pace: Pace | None = None,
    ) -> None:
        self._schedule, self._is_sampled, self._pace = Schedule(probes, guard), is_sampled, Pace() if pace is None else pace
        self.cadence = DiscriminatorCadence()
        self._latest, self._latest_key = Plan(), (-1, False, False)

    def plan(self, index: int) -> Plan:
        """Return the plan of a step; a probe with a schedule of its own is asked once."""
        key = tick, is_quiet, is_look = index + self.cadence.shift, self._pace.is_quiet(index), self._pace.is_look(index)
        if key != self._latest_key:
            self._latest, self._latest_key = self._schedule.plan(tick, is_quiet=is_quiet, is_look=is_look), key
        return self._latest

    def is_recorded(self, index: int) -> bool:
        """Return True if the calls of a step are recorded."""
        return self.plan(index).needs_calls or self._is_sampled(index) or self.is_soon_sampled(index)

    def is_soon_sampled(self, index: int) -> bool:
        """Return True if the discriminator is called so seldom that calls of this step serve a sampled one that follows."""
        return any(self.plan(index + ahead).needs_calls for ahead in range(1, self.cadence.lead + 1))

    def count_quiet_steps(self, index: int, *, longest: int) -> int:
        """Return the number of steps from this one on, at most ``longest``, that need not be known as they begin."""
        if not self._schedule.is_periodic:
            return 0
        return next((ahead for ahead in range(longest) if self._needs_beginning(index + ahead)), longest)

    def _needs_beginning(self, index: int) -> bool:
        plan = self.plan(index)
        return bool(plan.update_probes) or not plan.deferrable or self.is_recorded(index)
