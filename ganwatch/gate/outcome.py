"""Outcome of a gate: not worse, worse or inconclusive, from the outcome of each of its checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class GateOutcome(StrEnum):
    """Answer of a gate, or of one of its checks."""

    NOT_WORSE = "not_worse"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    NOT_CHECKED = "not_checked"

    @property
    def exit_code(self) -> int:
        """Exit code of ``ganwatch gate``: 0, 20 or 3."""
        return {GateOutcome.NOT_WORSE: 0, GateOutcome.WORSE: 20}.get(self, 3)

    def __str__(self) -> str:
        """Return the name in words."""
        return self.value.replace("_", " ")


SUCCESS_CONDITION = f'result.outcome == "{GateOutcome.NOT_WORSE.value}"'
FAILURE_CONDITION = f'result.outcome == "{GateOutcome.WORSE.value}"'
"""Conditions of Argo Rollouts' web metric on the JSON of a gate; if neither holds, its measurement is inconclusive too."""


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check of a gate.

    Attributes
    ----------
    name : str
        Name of the check, such as ``kernel``.
    outcome : GateOutcome
    reason : str
        A sentence with the figures behind the outcome.
    detail : mapping
        The figures, as plain types.
    """

    name: str
    outcome: GateOutcome
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {"name": self.name, "outcome": self.outcome.value, "reason": self.reason, "detail": dict(self.detail)}


def combine_outcomes(checks: Sequence[GateCheck]) -> GateOutcome:
    """Return *worse* if one check says so, *not worse* if every check that could be made says so, and else *inconclusive*.

    >>> combine_outcomes([GateCheck("kernel", GateOutcome.NOT_WORSE, ""), GateCheck("copies", GateOutcome.NOT_CHECKED, "")])
    <GateOutcome.NOT_WORSE: 'not_worse'>
    """
    outcomes = {check.outcome for check in checks} - {GateOutcome.NOT_CHECKED}
    if GateOutcome.WORSE in outcomes:
        return GateOutcome.WORSE
    return GateOutcome.NOT_WORSE if outcomes == {GateOutcome.NOT_WORSE} else GateOutcome.INCONCLUSIVE
