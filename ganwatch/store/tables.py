"""The schema, as SQLModel tables. A change here needs a migration in ``migrations/versions``.

Times are Unix seconds. JSON columns hold what ``ganwatch.store.strict_json.encode`` returns: a non-finite number is null, and a flag
names it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, ForeignKeyConstraint, Index, MetaData, Table, UniqueConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """Base of all tables. It has its own metadata, so that a user's SQLModel classes stay apart.

    Every constraint has a name, because a later migration can only change a constraint that has one.
    """


def _json() -> Any:
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


def _run_id(**options: Any) -> Any:
    return Field(foreign_key="run.id", **options)


class RunRow(Base, table=True):
    """One training, which may have several attempts.

    ``artifact_root`` is null if artifacts lie in the folder of the database. That folder can then be moved as a whole. ``outcome`` holds
    ``Outcome.to_plain``, empty until there is one.
    """

    __tablename__ = "run"
    id: str = Field(primary_key=True)
    name: str = Field(index=True)
    state: str
    started: float
    ended: float | None = None
    heartbeat: float
    fingerprint: str | None = Field(default=None, index=True)
    artifact_root: str | None = None
    provenance: dict[str, Any] = _json()
    outcome: dict[str, Any] = _json()


class AttemptRow(Base, table=True):
    """One start of the process. ``host``, ``pid`` and ``process_started`` tell a later start if it is still alive."""

    __tablename__ = "attempt"
    run_id: str = _run_id(primary_key=True)
    attempt: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    state: str
    started: float
    ended: float | None = None
    heartbeat: float
    first_step: int | None = None
    last_step: int | None = None
    host: str
    pid: int
    process_started: float
    provenance: dict[str, Any] = _json()


class ReadingBlockRow(Base, table=True):
    """The readings of one series in steps ``block * 256`` to ``block * 256 + 255``.

    ``offsets`` holds one byte per reading (step minus the first step of the block), ``readings`` one little-endian float64 each. The
    wall time is a separate series, because all series of a step share it.
    """

    __tablename__ = "reading_block"
    run_id: str = _run_id(primary_key=True)
    attempt: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    series: str = Field(primary_key=True)
    block: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    offsets: bytes
    readings: bytes


class RollupRow(Base, table=True):
    """Summary of ``width`` steps of a series over its finite values. ``low``, ``high`` and ``mean`` are null if there is none."""

    __tablename__ = "rollup"
    run_id: str = _run_id(primary_key=True)
    attempt: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    series: str = Field(primary_key=True)
    width: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    bucket: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    first_step: int
    last_step: int
    count: int
    nonfinite: int
    low: float | None = None
    high: float | None = None
    mean: float | None = None


class IncidentRow(Base, table=True):
    """The latest state of an incident. ``attempt`` is the last one that reported it."""

    __tablename__ = "incident"
    run_id: str = _run_id(primary_key=True)
    id: str = Field(primary_key=True)
    attempt: int
    updated: float
    code: str = Field(index=True)
    title: str
    severity: str
    state: str = Field(index=True)
    onset: int
    opened: int
    fired: int | None = None
    resolved: int | None = None
    seen: int
    cause: str | None = None
    likely_causes: str
    remedies: str
    runbook: str
    verdict: dict[str, Any] = _json()
    extras: dict[str, Any] = _json()


class EvidenceRow(Base, table=True):
    """Append-only history of an incident: one row per reported state, step and attempt."""

    __tablename__ = "evidence"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "incident_id"], ["incident.run_id", "incident.id"]),
        UniqueConstraint("run_id", "incident_id", "attempt", "step", "state"),
    )
    id: int | None = Field(default=None, primary_key=True)
    run_id: str
    incident_id: str
    attempt: int
    step: int
    state: str
    recorded: float
    verdict: dict[str, Any] = _json()


class ArtifactRow(Base, table=True):
    """A file under the artifact root: a contact sheet of ``count`` tiles in rows of ``columns``, without gaps."""

    __tablename__ = "artifact"
    __table_args__ = (UniqueConstraint("run_id", "path"), Index(None, "run_id", "kind", "step"))
    id: int | None = Field(default=None, primary_key=True)
    run_id: str = _run_id()
    attempt: int
    step: int
    kind: str
    path: str
    thumbnail: str | None = None
    sha256: str
    count: int
    height: int
    width: int
    channels: int
    columns: int
    incident_id: str | None = None
    created: float


class AnnotationRow(Base, table=True):
    """Append-only list of a person's remarks on a run, an incident, an artifact or one tile of it."""

    __tablename__ = "annotation"
    id: int | None = Field(default=None, primary_key=True)
    run_id: str = _run_id(index=True)
    incident_id: str | None = None
    artifact_id: int | None = Field(default=None, foreign_key="artifact.id")
    tile: int | None = None
    step: int | None = None
    author: str
    created: float
    kind: str
    label: str
    note: str = ""
    extras: dict[str, Any] = _json()


class ModelRow(Base, table=True):
    """A model whose versions serve. ``revision`` counts the changes of the version in use."""

    __tablename__ = "model"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    created: float
    revision: int = 0


class ModelAliasRow(Base, table=True):
    """A name of one version of a model, such as ``current``."""

    __tablename__ = "model_alias"
    model_id: int = Field(foreign_key="model.id", primary_key=True, sa_column_kwargs={"autoincrement": False})
    alias: str = Field(primary_key=True)
    version: int
    updated: float


class CheckpointRow(Base, table=True):
    """A saved state of a run. ``fault`` says why it cannot be used, and is empty for one that was read back."""

    __tablename__ = "checkpoint"
    __table_args__ = (UniqueConstraint("run_id", "path", "sha256", "step"),)
    id: int | None = Field(default=None, primary_key=True)
    run_id: str = _run_id()
    attempt: int
    step: int
    path: str
    sha256: str
    size: int
    fault: str
    created: float
    removed: float | None = None
    extras: dict[str, Any] = _json()


class CheckpointVerdictRow(Base, table=True):
    """Append-only verdicts on a checkpoint, ``good``, ``bad`` or ``unknown``; the last one counts."""

    __tablename__ = "checkpoint_verdict"
    id: int | None = Field(default=None, primary_key=True)
    checkpoint_id: int = Field(foreign_key="checkpoint.id", index=True)
    quality: str
    reason: str
    incident_id: str | None = None
    created: float


class ModelVersionRow(Base, table=True):
    """One version of a model: a copy of a checkpoint, with its origin, its scores, and what was declared about it."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model_id", "version"), UniqueConstraint("model_id", "sha256"))
    id: int | None = Field(default=None, primary_key=True)
    model_id: int = Field(foreign_key="model.id")
    version: int
    run_id: str | None = Field(default=None, foreign_key="run.id")
    checkpoint_id: int | None = Field(default=None, foreign_key="checkpoint.id")
    created: float
    sha256: str
    path: str
    size: int
    step: int | None = None
    parent: int | None = None
    scores: dict[str, Any] = _json()
    provenance: dict[str, Any] = _json()
    declared: dict[str, Any] = _json()


class AuditRow(Base, table=True):
    """Append-only audit log: actor, action, subject and reason."""

    __tablename__ = "audit"
    id: int | None = Field(default=None, primary_key=True)
    created: float
    actor: str
    action: str
    subject: str
    detail: dict[str, Any] = _json()


def table(row_class: type[Base]) -> Table:
    """Return the table behind a row class, for statements that write many rows."""
    return Base.metadata.tables[str(row_class.__tablename__)]
