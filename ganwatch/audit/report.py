"""What an audit says: findings, and for each check how it ended."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

CODE = "GW503"


class Level(StrEnum):
    """How serious a finding is. An audit warns; it never refuses."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of the data.

    Parameters
    ----------
    check : str
        Name of the check that speaks, such as ``duplicates``.
    title : str
        The fault in a few words.
    severity : Level
        ``info`` or ``warning``.
    explanation : str
        What was seen, with counts and shares.
    remedy : str
        What to do.
    examples : tuple of int or str
        Up to 8 indices, or paths for a folder.
    """

    check: str
    title: str
    severity: Level
    explanation: str
    remedy: str
    examples: tuple[int | str, ...] = ()
    code: str = CODE


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The time budget ended before the check did, and nothing was found so far."""

    looked: int
    of: int

    def __str__(self) -> str:
        return f"not finished within budget: looked at {self.looked:,} of {self.of:,}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an audit.

    Parameters
    ----------
    data : str
        What was audited.
    size, looked : int
        Items there are and items read.
    findings : tuple of Finding
        Warnings first.
    outcomes : mapping of str to str
        For each check ``passed``, ``finding``, ``not applicable: …``, ``not finished within budget: …`` or ``failed: …``.
    """

    data: str
    size: int
    looked: int
    findings: tuple[Finding, ...] = ()
    outcomes: Mapping[str, str] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are warnings."""
        return tuple(finding for finding in self.findings if finding.severity is Level.WARNING)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain types that JSON can hold."""
        findings = [asdict(finding) | {"severity": str(finding.severity), "examples": list(finding.examples)} for finding in self.findings]
        return {"data": self.data, "size": self.size, "looked": self.looked, "findings": findings, "outcomes": dict(self.outcomes)}

    def __str__(self) -> str:
        lines = [f"{self.data}: {self.size:,} items, {self.looked:,} read, {len(self.warnings)} warning(s)"]
        for finding in self.findings:
            lines += ["", f"{finding.severity.upper()} {finding.code} {finding.check}: {finding.title}"]
            lines += textwrap.wrap(finding.explanation, 110, initial_indent="  ", subsequent_indent="  ")
            if finding.examples:
                lines.append("  examples: " + ", ".join(map(str, finding.examples)))
            lines += textwrap.wrap(f"do: {finding.remedy}", 110, initial_indent="  ", subsequent_indent="  ")
        width = max(map(len, self.outcomes), default=0)
        return "\n".join([*lines, "", *(f"  {name:<{width}}  {outcome}" for name, outcome in self.outcomes.items())])
