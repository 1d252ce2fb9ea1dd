"""Summary of a finished run, for programs and for people."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.core.names import name_failure
from ganwatch.core.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ganwatch.core.incidents import Incident
    from ganwatch.session.lightning import GanWatch


def summary(watch: GanWatch) -> dict[str, Any]:
    """Return the output of ``ganwatch demo --json``: run, steps, last value of each signal, incidents. Non-finite numbers are None."""
    assert watch.observer is not None
    observer = watch.observer
    codes = {incident.id: incident.code for incident in observer.incidents}
    return {
        "run": observer.run.id,
        "steps": observer.steps,
        "outcome": observer.outcome().to_plain(),
        "signals": {name: value if math.isfinite(value) else None for name, value in sorted(observer.latest.items())},
        "incidents": [_incident_facts(incident, codes) for incident in observer.incidents],
    }


def _incident_facts(incident: Incident, codes: dict[str, str]) -> dict[str, Any]:
    evidence = incident.evidence
    return {
        "id": incident.id,
        "code": incident.code,
        "title": incident.title,
        "state": str(incident.state),
        "onset": incident.onset,
        "opened": incident.opened,
        "resolved": incident.resolved,
        "cause": codes.get(incident.cause) if incident.cause else None,
        "explanation": evidence.explanation if evidence else None,
    }


def report(result: Mapping[str, Any], store: str, *, stopped: bool = False) -> list[str]:
    """Describe a finished run in lines: its id, its steps, its incidents, and the commands that show more.

    Parameters
    ----------
    result : mapping
        From ``summary``.
    store : str
        Folder or URL of the run's store.
    stopped : bool
        True if a person ended it before its last step.
    """
    from ganwatch.core.provenance import mask_passwords

    incidents, outcome = result["incidents"], Outcome.from_plain(result["outcome"])
    names = {incident["code"]: name_failure(incident["title"], incident["code"]) for incident in incidents}
    lines = [f"Run {result['run']}{' was stopped' * stopped}: {result['steps']} steps, {outcome.headline}."]
    lines += [f"  not judged: {outcome.unjudged_text}"] if outcome.unjudged else []
    for incident in incidents:
        over = "open at the end" if incident["resolved"] is None else f"over at step {incident['resolved']}"
        because = f", explained by {names[incident['cause']]}" if incident["cause"] else ""
        lines += [f"  {names[incident['code']]}: onset at step {incident['onset']}, {over}{because}"]
        lines += [f"    {incident['explanation']}"] * (incident["explanation"] is not None)
    option = "" if store == "runs" else f" --store {mask_passwords(store)}"
    program = ".venv/bin/ganwatch" if Path(".venv/bin/ganwatch").is_file() else "ganwatch"
    lines += ["", f"Look at it:  {program} dashboard{option}"]
    if incidents:
        lines.append(f"In short:    {program} incidents {result['run']}{option}")
    return lines
