"""Who looks at which step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ganwatch.core.probe import Probe

PERIOD = 1000
"""Longest common period of cadences, in steps, whose plans are kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One step's."""

    due: tuple[Probe, ...] = ()
    watching: tuple[Probe, ...] = ()
    """Those of them that see updates as they happen."""
    needs_calls: bool = False
    needs_output_grads: bool = False
    needs_arguments: bool = False
    deferrable: bool = True


class Schedule:
    """Plans by step; found out once where they repeat.

    Examples
    --------
    >>> from ganwatch.probes.gradients import Gradients
    >>> from ganwatch.probes.losses import Losses
    >>> schedule = Schedule([Losses(), Gradients()], guard=lambda part, action: action())
    >>> [[probe.name for probe in schedule.plan(step).due] for step in (9, 10)]
    [['losses'], ['losses', 'gradients']]
    """

    def __init__(self, probes: Sequence[Probe], guard: Callable[[str, Callable[[], Any]], Any]) -> None:
        self.probes, self.guard = probes, guard
        regular = all(_inherits(probe, "due") for probe in probes)
        self._period = math.lcm(*(probe.every for probe in probes)) if regular else 0
        self._plans: dict[int, Plan] = {}
        self._watching = [probe for probe in probes if not (_inherits(probe, "before_update") and _inherits(probe, "after_update"))]

    def plan(self, step: int) -> Plan:
        """Who is due at a step, and what they want."""
        if not 0 < self._period <= PERIOD:
            return self._make(step)
        plan = self._plans.get(step % self._period)
        if plan is None:
            plan = self._plans[step % self._period] = self._make(step)
        return plan

    def _make(self, step: int) -> Plan:
        due = tuple(probe for probe in self.probes if self.guard(f"probe {probe.name}", partial(probe.due, step)))
        return Plan(
            due=due,
            watching=tuple(probe for probe in self._watching if probe in due),
            needs_calls=any(probe.needs_calls for probe in due),
            needs_output_grads=any(probe.needs_output_grads for probe in due),
            needs_arguments=any(probe.needs_arguments for probe in due),
            deferrable=all(probe.deferrable for probe in due),
        )


def _inherits(probe: Probe, method: str) -> bool:
    return getattr(getattr(probe, method), "__func__", None) is getattr(Probe, method)
