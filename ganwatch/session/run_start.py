"""Which run this is: a new one, or a further attempt at one that was killed."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.core.incidents import Incident
from ganwatch.core.provenance import fingerprint, masked, provenance
from ganwatch.core.readings import Run

log = logging.getLogger("ganwatch")

AUDIT_SECONDS = 3.0
"""Time that the audit of the data takes at most before the first step."""

if TYPE_CHECKING:
    from ganwatch.core.monitor import Monitor
    from ganwatch.sinks.prometheus import PrometheusSink

rehearsed: list[dict[str, Any]] = []
"""Drills that are going on in this process: a run that begins meanwhile is called one."""


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
    if rehearsed:
        what = ", ".join(f"{drill['name']} at step {drill['step']}" for drill in rehearsed)
        name = f"drill {what}: {name}"
        facts = dict(facts) | {"drill": rehearsed}
    seen = {"dataset": _identity(data, audit_seconds), "audit": _audited(data, generator_range, audit_seconds)}
    gathered = provenance(**{str(key): value for key, value in facts.items()} | seen | {"name": name})
    gathered["fingerprint"] = fingerprint(gathered)
    run = Run(uuid.uuid4().hex[:12], name, 1, time.time(), gathered)
    if store is None:
        return (run if resumed is None else dataclasses.replace(run, id=resumed)), []
    from ganwatch.store import queries
    from ganwatch.store.claims import claim
    from ganwatch.store.database import open_store

    with open_store(str(store)) as opened:
        claimed = claim(opened, run, resumed=resumed)
        return claimed, [] if claimed is run else [_plain(record) for record in queries.incidents(opened, claimed.id)]


def call_off(store: str | Path | None, run: Run) -> None:
    """The run does not begin after all: leave the store as it was."""
    if store is not None:
        from ganwatch.store.claims import release
        from ganwatch.store.database import open_store

        with suppress(Exception), open_store(str(store)) as opened:  # what went wrong before is what people need to hear
            release(opened, run)


def say(text: str, *values: object) -> None:
    """Log at INFO; where nobody has configured logging, print to standard error all the same, as Python does with warnings."""
    if log.hasHandlers() or log.level > logging.INFO:
        log.info(text, *values)
    elif log.manager.disable < logging.INFO:
        logging.StreamHandler().handle(log.makeRecord(log.name, logging.INFO, __file__, 0, text, values, None))


def say_begun(run: Run, networks: Mapping[str, str], store: str | Path | None) -> None:
    """One line at the start: what is watched, by which name, where it is kept and how to look at it."""
    watched = ", ".join(f"{name} ({kind})" for name, kind in networks.items())
    attempt = f" (attempt {run.attempt})" if run.attempt > 1 else ""
    shown = None if store is None else shlex.quote(masked(str(store)))
    kept = "kept nowhere (store=None)" if shown is None else f"store {shown}, see it with: ganwatch dashboard --store {shown}"
    say("ganwatch watches %s; run %s%s; %s", watched, run.id, attempt, kept)


def say_ended(run: Run, state: str, steps: int, monitor: Monitor) -> None:
    """One line at the end: how, after how many steps, what was found, and what could not be kept."""
    incidents = monitor.incidents.known
    codes = ", ".join(sorted({incident.code for incident in incidents}))
    found = f"{len(incidents)} incident{'s' if len(incidents) > 1 else ''} ({codes})" if incidents else "no incident"
    lost = "".join(f"; sink {sink.name} did not keep {sink.dropped:,} readings or images" for sink in monitor.sinks if sink.dropped)
    say("ganwatch: run %s %s after %d steps, %s%s", run.id, state, steps, found, lost)


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
