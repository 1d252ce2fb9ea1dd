"""The generated tables of docs/how-often-it-is-right.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus.figures import Facts, failures, fired, summary
from corpus.report import Report

from ganwatch.calibration.judged import Judged
from ganwatch.core.detector import Detector

DOCUMENT = Path(__file__).parents[3] / "docs" / "how-often-it-is-right.md"


def publish(found: Report) -> None:
    """Write the tables between their marks in the document."""
    text = DOCUMENT.read_text()
    for mark, block in {"detections": detections(found.own, found.facts), "rules": rules(found)}.items():
        begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
        before, rest = text.split(begin)
        text = before + begin + block + "\n" + end + rest.split(end)[1]
    DOCUMENT.write_text(text)


def detections(own: Sequence[Judged], facts: Facts) -> str:
    """Failure by failure, and what is no matter of one."""
    return "\n".join([pipes(*failures(own)), "", *(f"- {line}" for line in summary(own, facts))])


def rules(found: Report) -> str:
    """Each rule in one row, by any alarm, and what the scale of losses and gradients does."""
    head, rows = found.rules
    return "\n".join([pipes(_any_alarm(head), [_any_alarm(row) for row in rows if row[0]]), "", *(f"- {line}" for line in found.scale)])


def calibration(cls: type[Detector], own: Sequence[Judged]) -> str:
    """What the docstring of a detector says; empty where no run gave it anything to judge by."""
    right, false = fired(cls, own)
    healthy = f"on {false.count} of {false.of} healthy ones (`make corpus-table`)."
    if right.of:
        return f"On the final part of the corpus it fired on {right.count} of the {right.of} runs whose failure it names, and {healthy}"
    return f"No failure of the corpus is named by it. Of the runs of the final part it fired {healthy}" if false.of else ""


def pipes(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as Markdown has it.

    >>> print(pipes(["RUN", "STEP"], [["a", 12]]))
    | run | step |
    |---|---|
    | a | 12 |
    """
    lines = [[one.lower() for one in head], *([str(one) for one in row] for row in rows)]
    first, *rest = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([first, "|---" * len(head) + "|", *rest])


def _any_alarm(row: Sequence[Any]) -> list[Any]:
    return [row[0], *row[2:]]
