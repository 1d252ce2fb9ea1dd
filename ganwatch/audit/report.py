"""Report of an audit: findings, and the result of each check."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ganwatch.core.clean_text import terminal_text
from ganwatch.core.names import name_failure

CODE, TITLE = "GW503", "finding of the data audit"


class Level(StrEnum):
    """Severity of a finding. An audit warns; it never stops a training."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of the data.

    Parameters
    ----------
    check : str
        Name of the check, such as ``duplicates``.
    title : str
        The fault in a few words.
    severity : Level
        ``info`` or ``warning``.
    explanation : str
        Evidence, with counts and shares.
    remedy : str
        Action to take.
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
    """Progress of a check that found nothing before the time budget was spent."""

    count: int
    total: int

    def __str__(self) -> str:
        return f"not finished within budget: examined {self.count:,} of {self.total:,}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an audit.

    Parameters
    ----------
    data : str
        Name of the data.
    size : int
        Items in the data.
    read_count : int
        Items that were read.
    findings : tuple of Finding
        Warnings first.
    results : mapping of str to str
        By check: ``passed``, ``finding``, ``not applicable: …``, ``not finished within budget: …`` or ``failed: …``.
    """

    data: str
    size: int
    read_count: int
    findings: tuple[Finding, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are warnings."""
        return tuple(finding for finding in self.findings if finding.severity is Level.WARNING)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain types that JSON can hold."""
        findings = [asdict(finding) | {"severity": str(finding.severity), "examples": list(finding.examples)} for finding in self.findings]
        return {"data": self.data, "size": self.size, "read_count": self.read_count, "findings": findings, "results": dict(self.results)}

    def lines(self) -> list[str]:
        """Return the report in lines, for people."""
        lines = [f"{self.data}: {self.size:,} items, {self.read_count:,} read, {len(self.warnings)} warning(s)"]
        for finding in self.findings:
            lines += ["", f"{finding.severity.upper()} {name_failure(TITLE, finding.code)}, {finding.check}: {finding.title}"]
            lines += textwrap.wrap(finding.explanation, 110, initial_indent="  ", subsequent_indent="  ")
            if finding.examples:
                lines.append("  examples: " + ", ".join(map(str, finding.examples)))
            lines += textwrap.wrap(f"do: {finding.remedy}", 110, initial_indent="  ", subsequent_indent="  ")
        width = max(map(len, self.results), default=0)
        return [*lines, "", *(f"  {name:<{width}}  {outcome}" for name, outcome in self.results.items())]

    def __str__(self) -> str:
        return "\n".join(map(terminal_text, self.lines()))
