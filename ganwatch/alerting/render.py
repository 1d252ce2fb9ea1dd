"""Renders the files in ``alerts/`` from the detectors: rules, their tests for ``promtool test rules``, and runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganwatch.alerting.alerts import detector_alert, operational_alerts, runbook_sections
from ganwatch.core.errors import UserError
from ganwatch.core.signals import find_signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ganwatch.alerting.alerts import Alert
    from ganwatch.core.detector import Detector

RUNBOOK_BASE = "alerts/runbooks"
"""Default prefix of runbook links, relative to the checkout."""

RULES, RULE_TESTS = "ganwatch.rules.yml", "ganwatch.rules.test.yml"

_MARKER = "Rendered by `ganwatch render` from the detectors: change those, not this file."
_DIAGNOSIS = """\
The alert contains the run id. `ganwatch incidents RUN` prints the evidence (value, threshold, window and onset) and the incident that
explains this one, if any. Then compare the samples pinned to the incident with real ones in the gallery of the dashboard."""


def all_alerts(detectors: Iterable[type[Detector]], scale: float = 1.0) -> list[Alert]:
    """Build every alert: those of the detectors by code, then the operational ones.

    Raises
    ------
    UserError
        Two detectors have alerts of the same name, or a detector's docstring lacks a section.
    """
    by_code = sorted(detectors, key=lambda detector: detector.code)
    alerts = [*(detector_alert(detector, scale) for detector in by_code), *operational_alerts(scale)]
    names = [alert.name for alert in alerts]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"detector titles must be unique, got two that give the alert {name}")
    return alerts


def render_rules(detectors: Iterable[type[Detector]], *, base: str = RUNBOOK_BASE, scale: float = 1.0) -> str:
    """Render the rule file.

    Parameters
    ----------
    detectors : iterable of Detector classes
    base : str
        Prefix of runbook links: a path or a URL.
    scale : float
        Factor of every duration, so that a rehearsal takes less than minutes.

    Raises
    ------
    UserError
        Same cases as in ``all_alerts``.
    """
    rules = [alert.as_rule(base, scale) for alert in all_alerts(detectors, scale)]
    groups = {"ganwatch-incidents": [rule for rule in rules if "ganwatch_incident" in rule["expr"]]}
    groups["ganwatch-operation"] = [rule for rule in rules if rule not in groups["ganwatch-incidents"]]
    return _yaml({"groups": [{"name": name, "rules": members} for name, members in groups.items()]})


def render_rule_tests(detectors: Iterable[type[Detector]], *, base: str = RUNBOOK_BASE) -> str:
    """Render the file for ``promtool test rules``."""
    cases = [case for alert in all_alerts(detectors) for case in alert.as_tests(base)]
    return _yaml({"rule_files": [RULES], "evaluation_interval": "1m", "tests": cases})


def render_runbook(detector: type[Detector]) -> str:
    """Render the page of one code, in Markdown."""
    sections, alert = runbook_sections(detector), detector_alert(detector)
    exported = [(name, signal) for name in detector.inputs if (signal := find_signal(name)) is not None]
    table = [f"| `{name}` | `{signal.exported_name}` | {signal.help} |" for name, signal in exported if signal.exported]
    return "\n\n".join([
        f"<!-- {_MARKER} -->",
        f"# {detector.code} {detector.title}",
        f"Alert `{alert.name}`, severity {alert.severity}, owner {alert.owner}.",
        f"## Meaning\n\n{sections['summary']}\n\n{sections['How it is detected']}",
        f"## Impact\n\n{sections['Why it matters']}",
        f"## Diagnosis\n\n{_DIAGNOSIS}",
        "### Likely causes\n\n" + sections["Likely causes"],
        "### Signals\n\n" + "\n".join(["| signal | exported as | meaning |", "|---|---|---|", *table]),
        f"## Mitigation\n\n{sections['What to do']}",
        *(f"## {heading}\n\n{sections[heading]}" for heading in ("Blind spots", "Calibration", "References")),
    ]) + "\n"


def render_files(detectors: Iterable[type[Detector]], *, base: str = RUNBOOK_BASE) -> dict[str, str]:
    """Render every file. Returns texts by path in ``alerts/``."""
    chosen = list(detectors)
    pages = {f"runbooks/{detector.code}.md": render_runbook(detector) for detector in chosen}
    return {RULES: render_rules(chosen, base=base), RULE_TESTS: render_rule_tests(chosen, base=base), **pages}


def outdated_files(rendered: Mapping[str, str], folder: Path) -> list[str]:
    """List the paths in the folder that differ from the rendered texts, are missing, or belong to no detector any more."""
    differing = [path for path, text in rendered.items() if not (folder / path).is_file() or (folder / path).read_text("utf-8") != text]
    orphaned = {f"runbooks/{page.name}" for page in (folder / "runbooks").glob("*.md") if _MARKER in page.read_text("utf-8")}
    return sorted({*differing, *orphaned - rendered.keys()})


def _yaml(document: Mapping[str, Any]) -> str:
    try:
        import yaml
    except ImportError as error:
        raise UserError("rendering needs PyYAML: pip install 'ganwatch[lightning]'") from error
    return f"# {_MARKER}\n" + yaml.safe_dump(document, sort_keys=False, width=2**16, allow_unicode=True)
