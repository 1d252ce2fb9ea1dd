"""Decides which step is sampled: the probes that are due at a step, and what they need of it.

A probe is due at every multiple of its cadence ``every`` (``Probe.is_due``). A step is sampled if a due probe needs the networks' calls.
The recorder counts by ``Step.tick``, the index plus the shift of ``discriminator_cadence``, and samples a step in three more cases
(``StepPlanner``): it is the first one, the sampled step before it lacked a network or a phase, or the discriminator is called so
seldom that steps before the sampled one are needed too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ganwatch.core.pace import QUIET_FACTOR
from ganwatch.core.probe import Probe

MAX_PERIOD = 1000
"""Longest common period of cadences, in steps, for which plans are cached."""


EARLY_UNTIL = 100
"""Last step at which ``Probe.early_every`` counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Probes that are due at one step, and what they need."""

    due: tuple[Probe, ...] = ()
    update_probes: tuple[Probe, ...] = ()
    """Due probes that see updates as they happen."""
    needs_calls: bool = False
    needs_fakes: bool = False
    needs_output_grads: bool = False
    needs_arguments: bool = False
    deferrable: bool = True
    watches_updates: bool = True
    """False in quiet times where no paced probe is due: what the loop does between updates is not looked at."""


class Schedule:
    """Plans by step, computed once where they repeat.

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
        is_periodic = all(_uses_default(probe, "is_due") for probe in probes)
        cadences = (probe.every * QUIET_FACTOR if probe.is_paced else probe.every for probe in probes)
        self._period = math.lcm(*cadences) if is_periodic else 0
        self.is_periodic = 0 < self._period <= MAX_PERIOD
        """True if plans repeat, so that looking at one ahead of its step asks no probe."""
        self._plans: dict[tuple[int, bool, bool], Plan] = {}
        self._update_probes = [
            probe for probe in probes if not (_uses_default(probe, "before_update") and _uses_default(probe, "after_update"))
        ]

    def plan(self, step: int, *, is_quiet: bool = False, is_look: bool = False) -> Plan:
        """Return the plan of a step: with few of the paced probes in quiet times, and with all of them at an extra look."""
        if not self.is_periodic:
            return self._build_plan(step, is_quiet, is_look)
        is_early = step <= EARLY_UNTIL
        key = (step if is_early else step % self._period + EARLY_UNTIL + 1, is_quiet, is_look)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._build_plan(step, is_quiet, is_look)
        return plan

    def _build_plan(self, step: int, is_quiet: bool, is_look: bool) -> Plan:
        def is_due(probe: Probe) -> bool:
            if step <= EARLY_UNTIL and probe.early_every and step % probe.early_every == 0:
                return True
            if probe.is_paced and (is_look or is_quiet):
                return is_look or step % (probe.every * QUIET_FACTOR) in probe.offsets
            return probe.is_due(step)

        due = tuple(probe for probe in self.probes if self.guard(f"probe {probe.name}", partial(is_due, probe)))
        return Plan(
            due=due,
            update_probes=tuple(probe for probe in self._update_probes if probe in due),
            needs_calls=any(probe.needs_calls for probe in due),
            needs_fakes=any(probe.needs_fakes for probe in due),
            needs_output_grads=any(probe.needs_output_grads for probe in due),
            needs_arguments=any(probe.needs_arguments for probe in due),
            deferrable=all(probe.deferrable for probe in due),
            watches_updates=not is_quiet or is_look or any(probe.is_paced for probe in due),
        )


def _uses_default(probe: Probe, method: str) -> bool:
    """Return True if the probe does not override a method."""
    return getattr(getattr(probe, method), "__func__", None) is getattr(Probe, method)
