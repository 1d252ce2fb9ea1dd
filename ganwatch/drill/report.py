"""Result of a drill: was the failure found, under the right name, after how many steps, and who gets the alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganwatch.alerting.alerts import detector_alert
from ganwatch.core.detector_settings import discover_detectors, failure_names
from ganwatch.core.incidents import Incident
from ganwatch.core.names import name_failure
from ganwatch.core.package_data import packaged_folder
from ganwatch.drill.injection import Injection


def evaluate_drill(injection: Injection, injected: int | None, incidents: Sequence[Incident]) -> dict[str, Any]:
    """Compare the incidents that fired from the injection on with those that the injection should cause.

    The first incident is the one that no other explains; if there are several, the earliest.

    Parameters
    ----------
    injection : Injection
    injected : int or None
        First step that was changed; None if the training ended before.
    incidents : sequence of Incident
        All incidents of the run.

    Returns
    -------
    dict
        Plain types: ``failure``, ``label``, ``cause``, ``codes`` and ``injected`` as given; ``right``, True if the first incident has one
        of the codes; ``incidents``, each with ``code``, ``title``, ``onset``, ``fired``, ``delay`` in steps, and the ``alert`` that is
        sent; ``before``, codes that fired before the injection.
    """
    fired = sorted((one for one in incidents if one.fired is not None), key=lambda one: (one.cause is not None, one.fired))
    since = [one for one in fired if injected is not None and (one.fired or 0) >= injected]
    rows = [_incident_facts(one, (one.fired or 0) - (injected or 0), {other.id: other.code for other in incidents}) for one in since]
    return {
        "failure": injection.name,
        "label": injection.label,
        "cause": injection.cause,
        "codes": list(injection.codes),
        "injected": injected,
        "right": bool(since) and since[0].cause is None and since[0].code in injection.codes,
        "incidents": rows,
        "before": [one.code for one in fired if one not in since],
    }


def format_report(result: Mapping[str, Any]) -> list[str]:
    """Format the result of a drill in lines, for people."""
    names = failure_names() | {one["code"]: name_failure(one["title"], one["code"]) for one in result["incidents"]}
    lines = [f"Drill {result['failure']}: {result['cause']}.", ""]
    facts = [("injected", "never: the training ended before that step" if result["injected"] is None else f"step {result['injected']}")]
    if result["before"]:
        facts.append(("before", f"{', '.join(names.get(code, code) for code in result['before'])} had fired already"))
    expected = " or ".join(names.get(code, code) for code in result["codes"])
    first = next(iter(result["incidents"]), None)
    if first is None:
        facts.append(("found", f"nothing; expected {expected}"))
    else:
        facts.append(("found", f"{names[first['code']]} at step {first['fired']}, {first['delay']} steps later"))
        facts.append(("right", "yes" if result["right"] else f"no; expected {expected}"))
        for one in result["incidents"][1:]:
            because = f", explained by {names.get(one['because'], one['because'])}" if one["because"] else ""
            facts.append(("also", f"{names[one['code']]} at step {one['fired']}{because}"))
        alert = first["alert"]
        facts.append(("alert", f"{alert['name']}, a {alert['severity']} for the owner {alert['owner']}, goes to {alert['receiver']}"))
        facts.append(("runbook", alert["runbook"]))
        facts.append(("to do", first["remedies"]))
    return lines + [f"  {name:<9} {text}" for name, text in facts]


def _incident_facts(incident: Incident, delay: int, codes: Mapping[str, str]) -> dict[str, Any]:
    detector = next(cls for cls in discover_detectors() if cls.code == incident.code)
    alert = detector_alert(detector)
    return {
        "code": incident.code,
        "title": incident.title,
        "onset": incident.onset,
        "fired": incident.fired,
        "delay": delay,
        "because": codes[incident.cause] if incident.cause else None,
        "alert": {
            "name": alert.name,
            "severity": str(alert.severity),
            "owner": alert.owner,
            "receiver": find_receiver({"severity": str(alert.severity), "owner": alert.owner}),
            "runbook": incident.runbook,
        },
        "remedies": " ".join(incident.remedies.split()),
    }


def find_receiver(labels: Mapping[str, str]) -> str:
    """Find the receiver of an alert with these labels, by the routes in ``alerts/alertmanager.yml``.

    >>> find_receiver({"owner": "model", "severity": "page"})
    'model-page'
    """
    import yaml

    route: dict[str, Any] = yaml.safe_load((packaged_folder("alerts") / "alertmanager.yml").read_text("utf-8"))["route"]
    matchers = {f'{name}="{value}"' for name, value in labels.items()}
    return str(next((child["receiver"] for child in route["routes"] if matchers.issuperset(child["matchers"])), route["receiver"]))
