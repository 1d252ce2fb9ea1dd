"""Which run this is: a new one, or a further attempt at one that was killed."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ganwatch.contracts import Incident
from ganwatch.errors import UserError
from ganwatch.provenance import fingerprint, masked, provenance
from ganwatch.records import Run

log = logging.getLogger("ganwatch")

AUDIT_SECONDS = 3.0
"""Time that the audit of the data takes at most before the first step."""

if TYPE_CHECKING:
    from torch import nn

    from ganwatch.monitor import Monitor
    from ganwatch.sinks.prometheus import PrometheusSink

HIGHEST_PORT = 65535
rehearsed: list[dict[str, Any]] = []
"""Drills that are going on in this process: a run that begins meanwhile is called one."""
Part = TypeVar("Part")


def checked_settings(*, store: Any, prometheus_port: Any, facts: Any, audit_seconds: Any) -> None:
    """Refuse what no front end can work with.

    Raises
    ------
    UserError
        An argument is of another type, or out of its range.
    """
    if store is not None and not isinstance(store, str | Path):
        raise UserError(f"store must be a folder (str or Path), a SQLAlchemy URL (str) or None, got {_shown(store)}")
    whole = isinstance(prometheus_port, int) and not isinstance(prometheus_port, bool)
    if prometheus_port is not None and not (whole and 0 <= prometheus_port <= HIGHEST_PORT):
        rule = f"prometheus_port must be an integer from 0 to {HIGHEST_PORT} (0 takes a free one) or None"
        raise UserError(f"{rule}, got {_shown(prometheus_port)}")
    if facts is not None and not isinstance(facts, Mapping):
        raise UserError(f"facts must be a mapping or None, got {_shown(facts)}")
    if isinstance(audit_seconds, bool) or not isinstance(audit_seconds, Real) or not float(audit_seconds) >= 0:
        raise UserError(f"audit_seconds must be a number >= 0 (seconds, 0 for no audit), got {_shown(audit_seconds)}")


def checked_parts(argument: str, parts: Any, kind: type[Part]) -> list[Part]:
    """The parts as a list.

    Raises
    ------
    UserError
        They are no sequence, or one of them is not of that kind.
    """
    if not isinstance(parts, Iterable) or isinstance(parts, str | Mapping):
        raise UserError(f"{argument} must be a sequence of {kind.__name__} instances, got {_shown(parts)}")
    listed = list(parts)
    rule = f"must be an instance of {kind.__name__}"
    for place, part in enumerate(listed):
        if isinstance(part, type) and issubclass(part, kind):
            raise UserError(f"{argument}[{place}] {rule}, got the class {part.__name__}: write {part.__name__}()")
        if not isinstance(part, kind):
            raise UserError(f"{argument}[{place}] {rule}, got {_shown(part)}")
    return listed


def checked_network(argument: str, network: nn.Module, described: str) -> None:
    """Refuse a network that cannot be watched.

    Raises
    ------
    UserError
        It has no parameters, or some that have no shape yet.
    """
    from torch.nn.parameter import is_lazy

    parameters = dict(network.named_parameters())
    if not parameters:
        raise UserError(f"{argument} must have parameters, got {described} without any")
    lazy = [name for name, parameter in parameters.items() if is_lazy(parameter)]
    if lazy:
        rule = f"{argument} must have parameters of known shapes: run one batch through it first"
        raise UserError(f"{rule}, got {described}, whose {lazy[0]!r} has none")


def checked_real(real: Any) -> None:
    """Refuse real data that cannot be read; what can only be iterated is left alone.

    Raises
    ------
    UserError
        They are empty, or no data.
    """
    if real is None:
        return
    from ganwatch.randomness import preserved_random_state
    from ganwatch.samples.opening import open_source
    from ganwatch.samples.source import NotIndexableError

    with suppress(NotIndexableError), preserved_random_state():
        open_source(real, "real")


def _shown(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__} {value!r}"


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
