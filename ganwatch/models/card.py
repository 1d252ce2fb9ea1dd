"""Model card of a version in the format of the Hugging Face Hub: YAML with metadata, then Markdown, both from the record alone."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import Any

from ganwatch.core.clean_text import html_text
from ganwatch.core.incidents import Incident
from ganwatch.core.names import name_failure
from ganwatch.models.registry import JudgedVersion
from ganwatch.store.audit_log import AuditEntry

_MARKUP = re.compile(r"([\\`*_\[\]|#~])")
QUANTILE = 1.96
"""Standard errors in half of a 95 % interval."""
NOT_DECLARED = "Not declared."
DECLARATIONS = {
    "license": "licence of the model, as the Hub names it",
    "datasets": "list of the data sets it was trained on",
    "data_rights": "rights under which the data may be used so",
    "intended_use": "use that it is meant for",
    "out_of_scope_use": "use that it is not meant for",
    "limitations": "known limits and biases",
    "contact": "person or team to ask",
}
"""Fields of a declaration and their meaning."""
SECTIONS = {
    "intended_use": "Intended use",
    "out_of_scope_use": "Out-of-scope use",
    "datasets": "Training data",
    "data_rights": "Rights in the data",
    "limitations": "Limitations",
    "contact": "Contact",
}
"""Heading of each declared section."""


def render_card(model: str, one: JudgedVersion, incidents: list[Incident], gates: list[AuditEntry], changes: list[AuditEntry]) -> str:
    """Return the card.

    Parameters
    ----------
    model : str
    one : JudgedVersion
    incidents : list of Incident
        Incidents of its run.
    gates, changes : list of AuditEntry
        Entries of the audit log on the version.
    """
    import yaml

    version, declared = one.version, one.version.declared
    scores = {name: score for name, score in version.scores.items() if _is_score(score)}
    metadata: dict[str, Any] = {"library_name": "pytorch", "tags": ["gan", "image-generation", "ganwatch"]}
    metadata |= {name: _plain(declared[name]) for name in ("license", "datasets") if name in declared}
    if scores:
        metadata["model-index"] = [{"name": model, "results": [_result(scores, _first(declared.get("datasets")))]}]
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    sections = [
        f"# {_text(model)}, version {version.version}",
        f"Verdict of today: **{one.verdict.quality}** ({_text(one.verdict.reason)}).",
        *(f"## {title}\n\n{_declared(declared, name)}" for name, title in SECTIONS.items()),
        "## Quality\n\n" + _scores(scores),
        "## Comparisons with the version in use\n\n" + _gates(gates),
        "## Known failures\n\n" + _incidents(incidents, version.step),
        "## History\n\n" + _history(changes),
        "## Provenance\n\n" + _provenance(one),
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(sections) + "\n"


def _text(value: object) -> str:
    """Return a text for Markdown: one line without markup."""
    return _MARKUP.sub(r"\\\1", html_text(value))


def _declared(declared: Mapping[str, Any], name: str) -> str:
    value = _plain(declared.get(name))
    if isinstance(value, list):
        return "\n".join(f"- {_text(one)}" for one in value)
    return _text(value) if value else NOT_DECLARED


def _plain(value: Any) -> Any:
    return [str(one) for one in value] if isinstance(value, list | tuple) else None if value is None else str(value)


def _is_score(score: Any) -> bool:
    numbers = [score.get("value"), score.get("step"), score.get("error", 0.0)] if isinstance(score, Mapping) else [None]
    return all(isinstance(number, int | float) for number in numbers)


def _first(value: Any) -> str | None:
    names = _plain(value)
    return (names[0] if names else None) if isinstance(names, list) else names


def _result(scores: Mapping[str, Any], dataset: str | None) -> dict[str, Any]:
    metrics = [{"type": name, "value": score["value"], "name": f"{name} at step {score['step']}"} for name, score in scores.items()]
    trained_on = {"type": "not-declared", "name": dataset or "not declared"}
    return {"task": {"type": "unconditional-image-generation"}, "dataset": trained_on, "metrics": metrics}


def _scores(scores: Mapping[str, Any]) -> str:
    if not scores:
        return "Not measured in training."
    rows = []
    for name, score in scores.items():
        low, high = (score["value"] + sign * QUANTILE * score.get("error", math.nan) for sign in (-1, 1))
        interval = "" if math.isnan(low) else f"{low:.4g} to {high:.4g}"
        rows.append(f"| {_text(name)} | {score['value']:.4g} | {interval} | {score['step']} |")
    return "\n".join(["| measure | value | 95 % interval | step |", "|---|---|---|---|", *rows])


def _gates(gates: list[AuditEntry]) -> str:
    lines = []
    for entry in gates:
        outcome = str(entry.detail.get("outcome", "unknown")).replace("_", " ")
        lines.append(f"- {_text(outcome)}, against version {_text(entry.detail.get('baseline'))}, {_day(entry.created)}")
    return "\n".join(map(html_text, lines)) or "None."


def _incidents(incidents: list[Incident], step: int | None) -> str:
    fired = [one for one in incidents if one.fired is not None and (step is None or one.onset <= step)]
    lines = []
    for one in fired:
        end = "" if one.resolved is None else f", ended at step {one.resolved}"
        lines.append(f"- {_text(name_failure(one.title, one.code))} from step {one.onset}{end}")
    return "\n".join(map(html_text, lines)) or "No incident up to this step."


def _history(changes: list[AuditEntry]) -> str:
    lines = []
    for entry in changes:
        why = f": {_text(entry.detail['reason'])}" if entry.detail.get("reason") else ""
        lines.append(f"- {_day(entry.created)}: {_text(entry.action)} by {_text(entry.actor)}{why}")
    return "\n".join(map(html_text, lines)) or "Never in use."


def _provenance(one: JudgedVersion) -> str:
    version = one.version
    facts = {
        "SHA-256 of the states": version.sha256,
        "run": version.run or "unknown",
        "step": version.step,
        "registered": _day(version.created),
        "made from version": version.parent,
    }
    packages = version.provenance.get("packages")
    facts |= {f"version of {name}": text for name, text in packages.items()} if isinstance(packages, Mapping) else {}
    return "\n".join(f"- {_text(name)}: {_text('none' if value is None else value)}" for name, value in facts.items())


def _day(created: float) -> str:
    try:
        return dt.datetime.fromtimestamp(created, dt.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "unknown day"
