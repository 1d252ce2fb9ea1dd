"""Which run this is: a new one, or a further attempt at one that was killed."""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.contracts import Incident
from ganwatch.provenance import fingerprint, provenance
from ganwatch.records import Run

log = logging.getLogger("ganwatch")

AUDIT_SECONDS = 3.0
"""Time that the audit of the data takes at most before the first step."""

if TYPE_CHECKING:
    from ganwatch.sinks.prometheus import PrometheusSink


def start_run(
    store: str | Path | None,
    name: str,
    facts: Mapping[str, Any],
    *,
    data: Any = None,
    generator_range: tuple[float, float] | None = None,
    audit_seconds: float = AUDIT_SECONDS,
    resumed: str | None = None,
) -> tuple[Run, list[Incident]]:
    """Describe the run that begins now.

    Parameters
    ----------
    store : str, Path or None
        Where earlier attempts are looked up.
    name : str
    facts : mapping
        Provenance beyond what is gathered here.
    data : dataset or loader, optional
        Its identity (size, hash of a fixed sample, label shares) is recorded.
    generator_range : (low, high) or None
        What the generator can put out, for the audit.
    audit_seconds : float
        Time budget of the audit of the data; 0 reads nothing of it, not even for its identity. Its warnings are logged and its
        report is recorded.
    resumed : str or None
        The run that a checkpoint belongs to. Without a checkpoint a run with the same arguments and configuration whose process
        died before it could save one is continued.

    Returns
    -------
    Run, list of Incident
        The second is what earlier attempts have reported.
    """
    seen = {"dataset": _identity(data, audit_seconds), "audit": _audited(data, generator_range, audit_seconds)}
    gathered = provenance(**{str(key): value for key, value in facts.items()} | seen | {"name": name})
    gathered["fingerprint"] = fingerprint(gathered)
    run_id, attempt, reported = resumed, 1, []
    if store is not None:
        from ganwatch.store import queries
        from ganwatch.store.database import open_store

        with open_store(str(store)) as opened:
            run_id = run_id or queries.find_unfinished(opened, gathered["fingerprint"])
            if run_id is not None:
                attempt = queries.last_attempt(opened, run_id) + 1
                reported = [_plain(record) for record in queries.incidents(opened, run_id)]
    return Run(run_id or uuid.uuid4().hex[:12], name, attempt, time.time(), gathered), reported


def exporter(port: int | None) -> PrometheusSink | None:
    """A Prometheus exporter on that port of 127.0.0.1, or None where none is asked for."""
    if port is None:
        return None
    from ganwatch.sinks.prometheus import PrometheusSink

    return PrometheusSink(port)


def _plain(record: Incident) -> Incident:
    """Without what the store adds."""
    return Incident(**{field.name: getattr(record, field.name) for field in dataclasses.fields(Incident)})


def _audited(data: Any, generator_range: tuple[float, float] | None, seconds: float) -> dict[str, Any] | None:
    if data is None or seconds <= 0:
        return None
    from ganwatch.audit import audit

    try:
        report = audit(data, generator_range=generator_range, budget=seconds)
    except Exception as error:  # noqa: BLE001  # somebody else's dataset may raise anything, and the training is to begin all the same
        return {"unknown": f"{type(error).__name__}: {error}"}
    for finding in report.warnings:
        log.warning("%s %s: %s %s", finding.code, finding.title, finding.explanation, finding.remedy)
    return report.to_dict()


def _identity(data: Any, seconds: float) -> dict[str, Any] | None:
    if data is None or seconds <= 0:
        return None
    from ganwatch.audit.identity import dataset_identity

    try:
        return dataset_identity(data)
    except Exception as error:  # noqa: BLE001  # as above
        return {"unknown": f"{type(error).__name__}: {error}"}
