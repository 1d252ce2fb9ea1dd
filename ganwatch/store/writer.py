"""Writes a run, one transaction for what came since the last one."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import psutil
from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.exc import OperationalError

from ganwatch.core.incidents import Incident
from ganwatch.core.outcome import Outcome
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.store import tables
from ganwatch.store.blocks import STEPS_PER_BLOCK, WALL_TIME, Block
from ganwatch.store.database import Store
from ganwatch.store.rows import UnreadableStoreError
from ganwatch.store.strict_json import encode

_RUN, _ATTEMPT = tables.table(tables.RunRow), tables.table(tables.AttemptRow)
_BLOCK, _ROLLUP = tables.table(tables.ReadingBlockRow), tables.table(tables.RollupRow)
_INCIDENT, _EVIDENCE = tables.table(tables.IncidentRow), tables.table(tables.EvidenceRow)
_ARTIFACT = tables.table(tables.ArtifactRow)
_INSERT = {table: table.insert() for table in (_BLOCK, _ROLLUP)}
_DELETE = {
    table: table.delete().where(*(column == bindparam(f"key_{column.name}") for column in table.primary_key)) for table in (_BLOCK, _ROLLUP)
}


log = logging.getLogger("ganwatch")


class DamagedStoreError(Exception):
    """The store no longer holds what was written to it."""


class Writer:
    """Collects the records of one attempt and writes them in one transaction per ``flush``.

    ``add_readings``, ``add_incident`` and ``add_samples`` touch memory only. If a ``flush`` fails, its records are forgotten: whoever added
    them keeps them and adds them again, as ``BackgroundSink`` does. Of what is committed only the newest block of each series stays,
    because a block is written as a whole.

    Parameters
    ----------
    store : Store
    run : Run
        ``queries.unfinished`` finds the run by its ``provenance["fingerprint"]``, if there is one.

    Attributes
    ----------
    losses : Counter of str
        Readings and incidents that were written and are no longer in the store, as far as is known.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self.store, self.run = store, run
        self._blocks: dict[int, dict[str, Block]] = {}
        self._last_blocks: dict[str, int] | None = None  # last committed block of each series
        self._incidents: dict[tuple[str, str], dict[str, Any]] = {}  # the newest report of each state, in order of arrival
        self._samples: list[SampleImages] = []
        self._state = "running"
        self._outcome: dict[str, Any] = {}
        self._started = run.started or time.time()
        self._ended: float | None = None
        self._steps: tuple[int, int] | None = None
        self._provenance = encode(run.provenance)
        self._has_run_row = False  # True once the store has the row of the run
        self._written: Counter[str] = Counter()  # readings and blocks in the store
        self._written_incidents: set[str] = set()
        self._written_sheets: set[str] = set()
        self._written_state = ""
        self.losses: Counter[str] = Counter()

    def add_readings(self, readings: Iterable[Readings]) -> None:
        """Add readings. The later of two for one step and series wins."""
        for reading in readings:
            number, offset = divmod(reading.step, STEPS_PER_BLOCK)
            low, high = self._steps or (reading.step, reading.step)
            self._steps = min(low, reading.step), max(high, reading.step)
            blocks = self._blocks.setdefault(number, {})
            for series, value in (*reading.values.items(), (WALL_TIME, reading.wall_time)):
                block = blocks.get(series)
                if block is None:
                    block = blocks[series] = Block()
                block.set_reading(offset, value)

    def add_incident(self, incident: Incident) -> None:
        """Add the present state of an incident."""
        row = asdict(incident)
        evidence = row.pop("evidence")
        row |= {"severity": str(incident.severity), "state": str(incident.state), "extras": encode(incident.extras)}
        row |= {"run_id": self.run.id, "attempt": self.run.attempt, "updated": time.time(), "verdict": encode(evidence or {})}
        key = incident.id, row["state"]
        self._incidents.pop(key, None)
        self._incidents[key] = row

    def add_samples(self, samples: SampleImages) -> None:
        """Add images."""
        self._samples.append(samples)

    def set_outcome(self, outcome: Outcome) -> None:
        """Record what is known about the run."""
        self._outcome = encode(outcome.to_plain())

    def finish(self, state: str) -> None:
        """Record that the attempt has ended."""
        self._state, self._ended = state, time.time()

    def flush(self) -> None:
        """Write everything that is new.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError, OSError
            The store cannot be written now, and nothing of what was added is written.
        """
        with self._forgetting_on_error():
            self._flush()

    def _flush(self) -> None:
        self._restore_deleted_store()
        with self.store.begin() as connection:
            self._write_run(connection)
            last_blocks = self._read_last_blocks(connection) if self._last_blocks is None else self._last_blocks
            self._complete_blocks(connection, last_blocks)
            self._write_blocks(connection)
            for row in self._incidents.values():
                self._write_incident(connection, row)
        self._has_run_row = True
        self._discard_committed(last_blocks)
        self._write_samples()

    def flush_samples(self) -> None:
        """Write new images, and the rest too if the run is not in the store yet; raises what ``flush`` raises."""
        with self._forgetting_on_error():
            self._restore_deleted_store()
            if self._has_run_row:
                self._write_samples()
            else:
                self._flush()

    @contextmanager
    def _forgetting_on_error(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._forget_uncommitted()
            raise

    def _forget_uncommitted(self) -> None:
        self._incidents.clear()
        self._samples.clear()
        for _, _, block in self._iter_blocks():
            block.roll_back()
            if not self._has_run_row:  # the store was made anew, and has nothing
                block.unsaved = len(block.values)
        self._blocks = {number: kept for number, blocks in self._blocks.items() if (kept := _without_empty(blocks))}

    def verify(self) -> None:
        """Compare the store with what was written, through a new connection, which sees the file as other processes do.

        Raises
        ------
        DamagedStoreError
            Blocks, incidents or the end state are missing, or the database cannot be read.
        """
        if not self._has_run_row:
            return
        self.store.close()
        try:
            with self.store.read() as connection:
                stored = connection.execute(select(func.count(), func.sum(func.length(_BLOCK.c.offsets))).where(*self._owner(_BLOCK))).one()
                state = connection.execute(select(_ATTEMPT.c.state).where(*self._owner(_ATTEMPT))).scalar()
                sheets = set(connection.execute(select(_ARTIFACT.c.path).where(_ARTIFACT.c.run_id == self.run.id)).scalars())
                incidents = set(connection.execute(select(_INCIDENT.c.id).where(_INCIDENT.c.run_id == self.run.id)).scalars())
        except UnreadableStoreError as error:
            if isinstance(error.__cause__, OperationalError) and "no such table" not in str(error):
                raise  # locked, or gone for now
            self._count_losses(0, set(), set())
            raise DamagedStoreError(f"the store cannot be read any more: {error}") from error
        sheets &= self._written_sheets - self.store.artifacts.missing(self._written_sheets)
        missing = self._written_incidents - incidents
        readings = int(stored[1] or 0)
        has_readings = stored[0] >= self._written["blocks"] and readings >= self._written["readings"]
        if not (has_readings and not missing and sheets == self._written_sheets and state == self._written_state):
            self._count_losses(readings, incidents, sheets)
            held = f"{readings:,} of {self._written['readings']:,} readings, {len(sheets)} of {len(self._written_sheets)} sets of images"
            held += f", state {state!r}, {len(missing)} incidents less"
            raise DamagedStoreError(f"the store has lost what was written: it holds {held}")

    def _count_losses(self, readings: int, incidents: set[str], sheets: set[str]) -> None:
        """Count what was written, less the readings, incidents and contact sheets that are still there."""
        self.losses["readings"] += max(0, self._written["readings"] - readings)
        self.losses["sets of images"] += len(self._written_sheets - sheets)
        self.losses["incidents"] += len(self._written_incidents - incidents)
        self.losses = +self.losses  # without zeros

    def _restore_deleted_store(self) -> None:
        """Create a deleted database again and mark everything in memory as new to it."""
        if self.store.ensure_exists():
            held = sum(len(block.values) - block.unsaved for _, _, block in self._iter_blocks())
            self._count_losses(held, set(), set())
            if self.losses:
                log.warning("the store was deleted or replaced, and is made anew; lost: %s", dict(self.losses))
            self._written.clear()
            self._written_incidents.clear()
            self._written_sheets.clear()
            self._last_blocks, self._has_run_row = None, False
            for _, _, block in self._iter_blocks():
                block.unsaved, block.counted = len(block.values), 0

    def _write_run(self, connection: Connection) -> None:
        status = {"state": self._state, "ended": self._ended, "heartbeat": time.time()}
        run: dict[str, Any] = {"id": self.run.id, **status} | ({"outcome": self._outcome} if self._outcome else {})
        attempt: dict[str, Any] = {"run_id": self.run.id, "attempt": self.run.attempt, **status}
        if not self._has_run_row:
            fingerprint = self.run.provenance.get("fingerprint")
            stored = connection.execute(select(_RUN.c.started, _RUN.c.provenance).where(_RUN.c.id == self.run.id)).first()
            run |= {"name": self.run.name, "started": stored.started if stored else self._started}
            run |= {"fingerprint": None if fingerprint is None else str(fingerprint), "artifact_root": self.store.artifact_root}
            run.setdefault("outcome", {})
            run["provenance"] = self._provenance or (stored.provenance if stored else {})
            attempt |= {"started": self._started, "provenance": self._provenance, **process_identity()}
            query = select(_ATTEMPT.c.first_step, _ATTEMPT.c.last_step).where(*self._owner(_ATTEMPT))
            steps = [step for step in (*(connection.execute(query).first() or ()), *(self._steps or ())) if step is not None]
            self._steps = (min(steps), max(steps)) if steps else None
        _upsert(connection, _RUN, ("id",), run)
        if self._steps is not None:
            attempt |= {"first_step": self._steps[0], "last_step": self._steps[1]}
        _upsert(connection, _ATTEMPT, ("run_id", "attempt"), attempt)

    def _read_last_blocks(self, connection: Connection) -> dict[str, int]:
        query = select(_BLOCK.c.series, func.max(_BLOCK.c.block)).where(*self._owner(_BLOCK)).group_by(_BLOCK.c.series)
        return {row[0]: row[1] for row in connection.execute(query)}

    def _complete_blocks(self, connection: Connection, last_blocks: Mapping[str, int]) -> None:
        """Add the stored readings of each block in memory, because a block is written as a whole."""
        for series, number, block in self._iter_blocks():
            if not block.is_complete and number <= last_blocks.get(series, -1):
                same_block = *self._owner(_BLOCK), _BLOCK.c.series == series, _BLOCK.c.block == number
                for row in connection.execute(select(_BLOCK.c.offsets, _BLOCK.c.readings).where(*same_block)):
                    block.add_stored(*row)
            block.is_complete = True

    def _write_blocks(self, connection: Connection) -> None:
        """Write blocks with new readings. The latest block gets no rollup, because more readings follow; a query reads it in full."""
        owner = {"run_id": self.run.id, "attempt": self.run.attempt}
        latest = max(self._blocks, default=0) if self._ended is None else None
        blocks, rollups = [], []
        for series, number, block in self._iter_blocks():
            if block.unsaved:
                offsets, readings = block.pack()
                blocks.append(owner | {"series": series, "block": number, "offsets": offsets, "readings": readings})
            if number != latest:
                rollups.append(owner | {"series": series, "width": STEPS_PER_BLOCK, "bucket": number} | block.rollup(number))
        _replace(connection, _BLOCK, blocks)
        _replace(connection, _ROLLUP, rollups)

    def _write_incident(self, connection: Connection, row: dict[str, Any]) -> None:
        _upsert(connection, _INCIDENT, ("run_id", "id"), row)
        key = {"run_id": self.run.id, "incident_id": row["id"], "attempt": self.run.attempt, "step": row["seen"], "state": row["state"]}
        if connection.execute(select(_EVIDENCE.c.id).where(*_matches(_EVIDENCE, key))).first() is None:
            connection.execute(_EVIDENCE.insert(), key | {"recorded": row["updated"], "verdict": row["verdict"]})

    def _write_samples(self) -> None:
        while self._samples:
            samples = self._samples[0]
            sheet = self.store.artifacts.save(self.run.id, samples)
            count, height, width, channels = sheet.shape
            row = {"run_id": self.run.id, "attempt": self.run.attempt, "step": samples.step, "kind": samples.kind}
            row |= {"path": sheet.path, "thumbnail": sheet.thumbnail, "sha256": sheet.sha256, "columns": sheet.columns}
            row |= {"count": count, "height": height, "width": width, "channels": channels}
            row |= {"incident_id": samples.incident, "created": time.time()}
            with self.store.begin() as connection:
                _upsert(connection, _ARTIFACT, ("run_id", "path"), row)
            self._written_sheets.add(sheet.path)
            del self._samples[0]

    def _discard_committed(self, last_blocks: dict[str, int]) -> None:
        """Remove everything but the newest blocks from memory after a commit."""
        for series, number, block in self._iter_blocks():
            self._written["readings"] += len(block.values) - block.counted
            block.counted = len(block.values)
            self._written["blocks"] += number > last_blocks.get(series, -1)
            last_blocks[series] = max(number, last_blocks.get(series, number))
            block.commit()
        self._written_incidents |= {incident for incident, _ in self._incidents}
        self._written_state = self._state
        newest = max(self._blocks, default=0)
        self._blocks = {number: blocks for number, blocks in self._blocks.items() if number == newest}
        self._last_blocks = last_blocks
        self._incidents.clear()

    def _iter_blocks(self) -> Iterator[tuple[str, int, Block]]:
        for number in sorted(self._blocks):
            for series, block in self._blocks[number].items():
                yield series, number, block

    def _owner(self, table: Any) -> tuple[Any, ...]:
        return table.c.run_id == self.run.id, table.c.attempt == self.run.attempt


def _without_empty(blocks: Mapping[str, Block]) -> dict[str, Block]:
    return {series: block for series, block in blocks.items() if block.values}


def process_identity() -> dict[str, Any]:
    """Return host, process id and start time, by which a later start can see if this process is still alive."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": os.getpid(), "process_started": process.create_time()}


def _matches(table: Any, key: Mapping[str, Any]) -> list[Any]:
    return [table.c[name] == value for name, value in key.items()]


def _upsert(connection: Connection, table: Any, key: Sequence[str], row: Mapping[str, Any]) -> None:
    """Update the row of that key or insert it, in SQL that every database knows."""
    facts = {name: value for name, value in row.items() if name not in key}
    if not connection.execute(table.update().where(*_matches(table, {name: row[name] for name in key})), facts).rowcount:
        connection.execute(table.insert(), dict(row))


def _replace(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Delete and insert many rows by primary key, with two ``executemany``."""
    if rows:
        connection.execute(_DELETE[table], [{f"key_{column.name}": row[column.name] for column in table.primary_key} for row in rows])
        connection.execute(_INSERT[table], list(rows))
