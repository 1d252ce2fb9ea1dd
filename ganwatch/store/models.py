"""Models in the store: versions, aliases, and changes of the version in use, each one transaction with an audit entry. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select
from sqlalchemy.exc import IntegrityError

from ganwatch.core.errors import UserError
from ganwatch.store import tables
from ganwatch.store.audit_log import AuditEntry, insert_entry, read_history
from ganwatch.store.database import Store
from ganwatch.store.rows import read_row
from ganwatch.store.strict_json import encode

CURRENT, CANDIDATE = "current", "candidate"
"""Aliases in the store: the version in use, and the newest one that was registered."""
REGISTERED, PROMOTED, ROLLED_BACK, GATED = "version registered", "version promoted", "version rolled back", "version gated"
DECLARED = "version declared"
"""Actions on a model in the audit log."""
CHANGES = (PROMOTED, ROLLED_BACK)
"""Actions that change the version in use; ``detail`` has ``version``, ``previous``, ``revision`` and ``reason``."""
MAX_COLLISIONS = 20
"""Times that a version is tried again where another process registers one at the same moment."""
_MODEL, _ALIAS, _VERSION = (tables.table(row) for row in (tables.ModelRow, tables.ModelAliasRow, tables.ModelVersionRow))


class RevisionError(UserError):
    """The version in use was changed by somebody else."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model with its aliases: version by name."""

    id: int
    name: str
    created: float
    revision: int
    aliases: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model.

    Attributes
    ----------
    version : int
        Number, from 1.
    sha256 : str
        Hash of its states.
    path : str
        Copy of the checkpoint that belongs to the version, below the artifacts of the store.
    size : int, bytes
    created : float, Unix seconds
    run : str or None
        Id of the run that trained it.
    step : int or None
        Step of the run.
    parent : int or None
        Version that was in use when it was registered.
    scores : mapping
        Latest quality of the run up to its step: ``value`` and ``step`` by series.
    provenance : mapping
        Versions, code and configuration of the run, and the origin of the checkpoint.
    declared : mapping
        What a person has declared: data, rights, intended use.
    """

    version: int
    sha256: str
    path: str
    size: int
    created: float = 0.0
    run: str | None = None
    step: int | None = None
    parent: int | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    declared: Mapping[str, Any] = field(default_factory=dict)


def models(store: Store) -> list[ModelRecord]:
    """Return all models, by name."""
    with store.read() as connection:
        rows = connection.execute(select(_MODEL).order_by(_MODEL.c.name)).mappings().all()
        return [_to_model(connection, row) for row in rows]


def find_model(store: Store, name: str) -> ModelRecord:
    """Return a model.

    Raises
    ------
    UserError
        There is none of this name.
    """
    with store.read() as connection:
        row = connection.execute(select(_MODEL).where(_MODEL.c.name == name)).mappings().first()
        if row is not None:
            return _to_model(connection, row)
        known = ", ".join(connection.execute(select(_MODEL.c.name).order_by(_MODEL.c.name).limit(10)).scalars()) or "no model"
    raise UserError(f"MODEL must be one of the store, {known}, got {name!r}")


def versions(store: Store, model: ModelRecord) -> list[ModelVersion]:
    """Return the versions of a model, oldest first."""
    query = select(_VERSION).where(_VERSION.c.model_id == model.id).order_by(_VERSION.c.version)
    with store.read() as connection:
        return [_to_version(row) for row in connection.execute(query).mappings()]


def changes(store: Store, model: str) -> list[AuditEntry]:
    """Return the changes of the version in use, oldest first."""
    return read_history(store, model, CHANGES)


def add_version(store: Store, model: str, version: ModelVersion, *, actor: str) -> ModelVersion:
    """Add a version, and let ``candidate`` name it. A version with the same states stays, and gets what is declared now.

    Parameters
    ----------
    store : Store
    model : str
        Name of the model, which is created with its first version.
    version : ModelVersion
        Its number and its parent are set here.
    actor : str
        Who or what registers it.
    """
    for attempt in range(MAX_COLLISIONS):
        try:
            with store.begin() as connection:
                return _add_version(connection, model, version, actor)
        except IntegrityError:  # another process has created the model or a version at the same moment
            if attempt == MAX_COLLISIONS - 1:
                raise
    raise AssertionError


def _add_version(connection: Connection, model: str, version: ModelVersion, actor: str) -> ModelVersion:
    model_id = connection.execute(select(_MODEL.c.id).where(_MODEL.c.name == model)).scalar()
    if model_id is None:
        created = {"name": model, "created": time.time(), "revision": 0}
        model_id = connection.execute(_MODEL.insert().returning(_MODEL.c.id), created).scalar_one()
    of_model = select(_VERSION).where(_VERSION.c.model_id == model_id)
    same = connection.execute(of_model.where(_VERSION.c.sha256 == version.sha256)).mappings().first()
    if same is not None:
        _set_alias(connection, model_id, CANDIDATE, same["version"])
        if version.declared and encode(version.declared) != same["declared"]:
            connection.execute(_VERSION.update().where(_VERSION.c.id == same["id"]).values(declared=encode(version.declared)))
            insert_entry(connection, actor, DECLARED, model, {"version": same["version"], "declared": dict(version.declared)})
        return _to_version(connection.execute(of_model.where(_VERSION.c.id == same["id"])).mappings().one())
    number = (connection.execute(select(func.max(_VERSION.c.version)).where(_VERSION.c.model_id == model_id)).scalar() or 0) + 1
    parent = connection.execute(select(_ALIAS.c.version).where(_ALIAS.c.model_id == model_id, _ALIAS.c.alias == CURRENT)).scalar()
    row = {
        "model_id": model_id,
        "version": number,
        "parent": parent,
        "run_id": version.run,
        "created": time.time(),
        **{name: getattr(version, name) for name in ("sha256", "path", "size", "step")},
        **{name: encode(getattr(version, name)) for name in ("scores", "provenance", "declared")},
    }
    connection.execute(_VERSION.insert(), row)
    _set_alias(connection, model_id, CANDIDATE, number)
    facts = {"version": number, "sha256": version.sha256, "run": version.run, "step": version.step}
    insert_entry(connection, actor, REGISTERED, model, facts)
    return _to_version(connection.execute(of_model.where(_VERSION.c.version == number)).mappings().one())


def change_current(
    store: Store, model: ModelRecord, version: int, revision: int, *, action: str, actor: str, reason: str, evidence: Mapping[str, Any]
) -> ModelRecord:
    """Let ``current`` name another version, in one transaction with an audit entry.

    Parameters
    ----------
    store : Store
    model : ModelRecord
    version : int
    revision : int
        Revision of the model that the decision rests on.
    action : str
        One of ``CHANGES``.
    actor, reason : str
    evidence : mapping
        Facts behind the decision.

    Raises
    ------
    RevisionError
        The model has another revision, so somebody else was first.
    """
    with store.begin() as connection:
        is_first = (_MODEL.c.id == model.id) & (_MODEL.c.revision == revision)
        if connection.execute(_MODEL.update().where(is_first).values(revision=revision + 1)).rowcount == 1:
            query = select(_ALIAS.c.version).where(_ALIAS.c.model_id == model.id, _ALIAS.c.alias == CURRENT)
            previous = connection.execute(query).scalar()
            _set_alias(connection, model.id, CURRENT, version)
            detail = {"version": version, "previous": previous, "revision": revision + 1, "reason": reason, "evidence": dict(evidence)}
            insert_entry(connection, actor, action, model.name, detail)
            row = connection.execute(select(_MODEL).where(_MODEL.c.id == model.id)).mappings().one()
            return _to_model(connection, row)
    raise RevisionError(describe_revision(store, model.name, revision))


def describe_revision(store: Store, model: str, named: object) -> str:
    """Return the message for a revision that is not the present one."""
    record, past = find_model(store, model), changes(store, model)
    last = f"; version {past[-1].detail.get('version')} is current since {past[-1].actor} made it so" if past else ""
    return f"revision must be {record.revision}, the present one of model {model}, got {named}{last}"


def _set_alias(connection: Connection, model: int, alias: str, version: int) -> None:
    values = {"version": version, "updated": time.time()}
    row = (_ALIAS.c.model_id == model) & (_ALIAS.c.alias == alias)
    if connection.execute(_ALIAS.update().where(row).values(values)).rowcount == 0:
        connection.execute(_ALIAS.insert(), {"model_id": model, "alias": alias} | values)


def _to_model(connection: Connection, row: RowMapping) -> ModelRecord:
    found = connection.execute(select(_ALIAS.c.alias, _ALIAS.c.version).where(_ALIAS.c.model_id == row["id"]).order_by(_ALIAS.c.alias))
    aliases = {str(one.alias): one.version for one in found}
    return read_row(ModelRecord, "model", row, lambda cells: cells | {"aliases": aliases})


def _to_version(row: RowMapping) -> ModelVersion:
    skipped = ("id", "model", "checkpoint")
    return read_row(ModelVersion, "model_version", row, lambda cells: {name: one for name, one in cells.items() if name not in skipped})
