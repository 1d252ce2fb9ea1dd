"""The generated tables of docs/how-often-it-is-right.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.figures import Facts, alarm_proportions, failure_table, summary_lines
from corpus.left_out import LeftOut
from corpus.report import Report

from ganwatch.calibration.rates import Proportion, count_false_alarms, is_failing
from ganwatch.calibration.replayed_runs import ReplayedRun
from ganwatch.core.detector import Detector

DOCUMENT = Path(__file__).parents[3] / "docs" / "how-often-it-is-right.md"


def publish(report: Report) -> None:
    """Write the tables of the designed part into the document."""
    write_blocks({"detections": format_detections(report.own, report.facts), "rules": format_rules(report)})


def publish_left_out(left_out: LeftOut) -> None:
    """Write the tables of the wild part into the document."""
    lines = [f"- {line}" for line in left_out.undetermined_lines()]
    write_blocks({
        "left-out": "\n".join([format_markdown(*left_out.rates()), "", *lines]), "confusion": format_markdown(*left_out.confusion())
    })  # fmt: skip


def write_blocks(blocks: Mapping[str, str]) -> None:
    """Write blocks between their marks in the document."""
    text = DOCUMENT.read_text()
    for mark, block in blocks.items():
        begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
        before, rest = text.split(begin)
        text = before + begin + block + "\n" + end + rest.split(end)[1]
    DOCUMENT.write_text(text)


def format_detections(own: Sequence[ReplayedRun], facts: Facts) -> str:
    """Format the table of failures and the figures that concern more than one failure."""
    return "\n".join([format_markdown(*failure_table(own)), "", *(f"- {line}" for line in summary_lines(own, facts))])


def format_rules(report: Report) -> str:
    """Format the table of rules, each in one row by any alarm, and the effect of the scale of losses and gradients."""
    head, rows = report.rules
    table = format_markdown(_drop_failure(head), [_drop_failure(row) for row in rows if row[0]])
    return "\n".join([table, "", *(f"- {line}" for line in report.scale)])


def calibration_sentence(cls: type[Detector], own: Sequence[ReplayedRun]) -> str:
    """Return the sentence on calibration in a detector's docstring, empty if it could evaluate no run."""
    correct, false = alarm_proportions(cls, own)
    healthy = f"on {false.count} of {false.total} healthy ones (`make corpus-table`)."
    if correct.total:
        named = f"{correct.count} of the {correct.total} runs whose failure it names"
        return f"On the final part of the corpus it fired on {named}, and {healthy}"
    return f"No failure of the corpus is named by it. Of the runs of the final part it fired {healthy}" if false.total else ""


def fresh_sentence(own: Sequence[ReplayedRun]) -> str:
    """Return the sentence of the documents on the fresh part of the wild corpus."""
    failed = [run for run in own if is_failing(run)]
    found, root = (Proportion(sum(map(holds, failed)), len(failed)) for holds in (_is_found, lambda run: run.has_correct_root))
    (low, high), healthy = found.interval, count_false_alarms(own)
    alarms = f"{healthy.alarms} alarms in {healthy.steps:,} steps"
    facts = f"{found.count} of {found.total} failures found ({low:.2f} to {high:.2f}), {root.count} with the right code at the root"
    return f"{facts}, {healthy.flagged.count} of {healthy.flagged.total} healthy trainings flagged, {alarms}"


def _is_found(run: ReplayedRun) -> bool:
    return run.detection is not None


def format_markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Format a table as Markdown.

    >>> print(format_markdown(["RUN", "STEP"], [["a", 12]]))
    | run | step |
    |---|---|
    | a | 12 |
    """
    lines = [[one.lower() for one in head], *([str(one) for one in row] for row in rows)]
    first, *rest = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([first, "|---" * len(head) + "|", *rest])


def _drop_failure(row: Sequence[Any]) -> list[Any]:
    return [row[0], *row[2:]]
