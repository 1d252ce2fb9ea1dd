"""The start of a run: a new one, or a further attempt at one that was killed. ``run_end.py`` has the end."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganwatch.core.announce import announce
from ganwatch.core.incidents import Incident
from ganwatch.core.names import name_failure
from ganwatch.core.provenance import collect_provenance, fingerprint, mask_passwords, to_plain
from ganwatch.core.readings import Run

log = logging.getLogger("ganwatch")

AUDIT_SECONDS = 3.0
"""Default time budget of the data audit before the first step, in seconds."""

active_drills: list[dict[str, Any]] = []
"""Drills that are active in this process; a run that starts meanwhile is named a drill."""


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
    """Collect the provenance of a run and claim it in the store.

    Parameters
    ----------
    store : str, Path or None
        Place to look for earlier attempts; None starts a new run.
    name : str
    facts : mapping
        Provenance beyond what is collected here.
    data : dataset or loader, optional
        The training data. Its identity (size, hash of a fixed sample, label shares) is recorded.
    generator_range : (low, high) or None
        Values that the generator can output, for the audit.
    audit_seconds : float
        Time budget of the data audit; with 0 no data are read, not even for their identity. Warnings of the audit are logged and
        its report is recorded.
    resumed : str or None
        The run that a checkpoint belongs to. Without a checkpoint, a run with the same arguments and configuration is continued
        if its process died before it saved one.

    Returns
    -------
    Run, list of Incident
        The run, and the incidents that earlier attempts at it reported.
    """
    if active_drills:
        drills = ", ".join(f"{drill['name']} at step {drill['step']}" for drill in active_drills)
        name = f"drill {drills}: {name}"
        facts = dict(facts) | {"drill": active_drills}
    given = {str(key): value for key, value in facts.items()} | {"name": name}
    collected = collect_provenance(**given)
    collected["fingerprint"] = fingerprint(collected)
    run = Run(uuid.uuid4().hex[:12], name, 1, time.time(), collected)
    claimed, reported = _claim(store, run, resumed)
    about_data = {
        "dataset": _dataset_identity(data, audit_seconds),
        "dataset_size": _count_samples(data),
        "audit": _run_audit(data, generator_range, audit_seconds),
    }
    return dataclasses.replace(claimed, provenance=collected | to_plain(about_data)), reported


def _claim(store: str | Path | None, run: Run, resumed: str | None) -> tuple[Run, list[Incident]]:
    """Write the run to the store. Return it with its id and attempt, and the incidents that earlier attempts reported."""
    if store is None:
        return (run if resumed is None else dataclasses.replace(run, id=resumed)), []
    from ganwatch.store import queries
    from ganwatch.store.attempts import claim_attempt
    from ganwatch.store.database import open_store

    with open_store(str(store)) as opened:
        claimed = claim_attempt(opened, run, resumed=resumed)
        return claimed, [] if claimed is run else [_without_store_fields(record) for record in queries.incidents(opened, claimed.id)]


def abandon_run(store: str | Path | None, run: Run) -> None:
    """Undo the claim of a run that does not start after all; the store is left as it was."""
    if store is not None:
        from ganwatch.store.attempts import release_attempt
        from ganwatch.store.database import open_store

        with suppress(Exception), open_store(str(store)) as opened:  # the first error is the one to report
            release_attempt(opened, run)


def announce_start(run: Run, networks: Mapping[str, str], store: str | Path | None) -> None:
    """Log one line at the start: the watched networks, the run's id, its store and the command that opens it."""
    watched = ", ".join(f"{name} ({kind})" for name, kind in networks.items())
    attempt = f" (attempt {run.attempt})" if run.attempt > 1 else ""
    place = None if store is None else shlex.quote(mask_passwords(str(store)))
    stored = "stored nowhere (store=None)" if place is None else f"stored in {place}; open it with: ganwatch dashboard --store {place}"
    announce("ganwatch: watching %s; run %s%s, %s", watched, run.id, attempt, stored)


def _without_store_fields(record: Incident) -> Incident:
    """Copy the fields of an incident, without those that the store adds."""
    return Incident(**{field.name: getattr(record, field.name) for field in dataclasses.fields(Incident)})


def _run_audit(data: Any, generator_range: tuple[float, float] | None, seconds: float) -> dict[str, Any] | None:
    if data is None or seconds <= 0:
        return None
    from ganwatch.audit import audit
    from ganwatch.audit.report import TITLE

    try:
        report = audit(data, generator_range=generator_range, budget=seconds)
    except Exception as error:  # noqa: BLE001  # a foreign dataset may raise anything, and the training must start all the same
        return {"unknown": f"{type(error).__name__}: {error}"}
    for finding in report.warnings:
        log.warning("%s: %s. %s %s", name_failure(TITLE, finding.code), finding.title, finding.explanation, finding.remedy)
    return report.to_dict()


def _dataset_identity(data: Any, seconds: float) -> dict[str, Any] | None:
    if data is None or seconds <= 0:
        return None
    from ganwatch.audit.identity import dataset_identity

    try:
        return dataset_identity(data)
    except Exception as error:  # noqa: BLE001  # as above
        return {"unknown": f"{type(error).__name__}: {error}"}


def _count_samples(data: Any) -> int | None:
    """Return the number of samples in a data set, or in that of a loader, without reading any; None if it is not known."""
    dataset = getattr(data, "dataset", data)
    if isinstance(dataset, str | tuple | list | dict) or not hasattr(dataset, "__getitem__"):
        return None
    try:
        return len(dataset)
    except Exception:  # noqa: BLE001  # as above
        return None
