"""The files below ``alerts/`` that follow from the detectors: rules, their tests for ``promtool test rules``, and runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganwatch.alerting.alerts import of_detector, operational, sections
from ganwatch.core.errors import UserError
from ganwatch.core.signals import family

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ganwatch.alerting.alerts import Alert
    from ganwatch.core.detector import Detector

RUNBOOKS = "alerts/runbooks"
"""Where runbook links point by default: relative to the checkout."""

RULES, RULE_TESTS = "ganwatch.rules.yml", "ganwatch.rules.test.yml"

_MARK = "Rendered by `ganwatch render` from the detectors: change those, not this file."
_DIAGNOSIS = """\
The run id is in the alert. `ganwatch incidents RUN` shows the evidence: value, threshold, window and onset, and the incident that
explains this one, if any. Then compare the samples pinned to the incident with real ones in the dashboard's gallery."""


def alerts(detectors: Iterable[type[Detector]], scale: float = 1.0) -> list[Alert]:
    """Every alert: the detectors' by code, then the operational ones.

    Raises
    ------
    UserError
        Two detectors would give alerts of one name, or a detector's docstring lacks a section.
    """
    by_code = sorted(detectors, key=lambda detector: detector.code)
    found = [*(of_detector(detector, scale) for detector in by_code), *operational(scale)]
    names = [alert.name for alert in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"detector titles must be unique, got two that give the alert {name}")
    return found


def rules(detectors: Iterable[type[Detector]], *, base: str = RUNBOOKS, scale: float = 1.0) -> str:
    """The rule file.

    Parameters
    ----------
    detectors : iterable of Detector classes
    base : str
        What runbook links start with: a path or a URL.
    scale : float
        Every duration is multiplied by it, so that a rehearsal need not last minutes.

    Raises
    ------
    UserError
        As ``alerts``.
    """
    found = [alert.rule(base, scale) for alert in alerts(detectors, scale)]
    groups = {"ganwatch-incidents": [rule for rule in found if "ganwatch_incident" in rule["expr"]]}
    groups["ganwatch-operation"] = [rule for rule in found if rule not in groups["ganwatch-incidents"]]
    return _yaml({"groups": [{"name": name, "rules": members} for name, members in groups.items()]})


def rule_tests(detectors: Iterable[type[Detector]], *, base: str = RUNBOOKS) -> str:
    """The file for ``promtool test rules``."""
    cases = [case for alert in alerts(detectors) for case in alert.tests(base)]
    return _yaml({"rule_files": [RULES], "evaluation_interval": "15s", "tests": cases})


def runbook(detector: type[Detector]) -> str:
    """The page of one code, in Markdown."""
    guide, alert = sections(detector), of_detector(detector)
    exported = [(name, signal) for name in detector.inputs if (signal := family(name)) is not None]
    table = [f"| `{name}` | `{signal.metric}` | {signal.help} |" for name, signal in exported if signal.exported]
    return "\n\n".join([
        f"<!-- {_MARK} -->",
        f"# {detector.code} {detector.title}",
        f"Alert `{alert.name}`, severity {alert.severity}, owner {alert.owner}.",
        f"## Meaning\n\n{guide['summary']}\n\n{guide['How it is detected']}",
        f"## Impact\n\n{guide['Why it matters']}",
        f"## Diagnosis\n\n{_DIAGNOSIS}",
        "### Likely causes\n\n" + guide["Likely causes"],
        "### Signals\n\n" + "\n".join(["| signal | exported as | meaning |", "|---|---|---|", *table]),
        f"## Mitigation\n\n{guide['What to do']}",
        *(f"## {heading}\n\n{guide[heading]}" for heading in ("Blind spots", "Calibration", "References")),
    ]) + "\n"


def files(detectors: Iterable[type[Detector]], *, base: str = RUNBOOKS) -> dict[str, str]:
    """Every rendered file by its path below ``alerts/``."""
    chosen = list(detectors)
    pages = {f"runbooks/{detector.code}.md": runbook(detector) for detector in chosen}
    return {RULES: rules(chosen, base=base), RULE_TESTS: rule_tests(chosen, base=base), **pages}


def stale(rendered: Mapping[str, str], folder: Path) -> list[str]:
    """Paths below the folder that differ from what is rendered, are missing, or belong to no detector any more."""
    differing = [path for path, text in rendered.items() if not (folder / path).is_file() or (folder / path).read_text("utf-8") != text]
    left = {f"runbooks/{page.name}" for page in (folder / "runbooks").glob("*.md") if _MARK in page.read_text("utf-8")}
    return sorted({*differing, *left - rendered.keys()})


def _yaml(document: Mapping[str, Any]) -> str:
    try:
        import yaml
    except ImportError as error:
        raise UserError("rendering needs PyYAML: pip install 'ganwatch[lightning]'") from error
    return f"# {_MARK}\n" + yaml.safe_dump(document, sort_keys=False, width=2**16, allow_unicode=True)
