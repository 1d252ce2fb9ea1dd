"""Writing a run: everything is kept until a transaction that holds it has been committed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psutil
from sqlalchemy import Connection, and_, bindparam, func, select

from ganwatch.contracts import Incident
from ganwatch.records import Readings, Run, Samples
from ganwatch.store import tables
from ganwatch.store.blocks import WALL_TIME, WIDTH, pack, summarise, unpack
from ganwatch.store.database import Store
from ganwatch.store.plain import encode

Key = tuple[str, int]  # series, block
_RUN, _ATTEMPT = tables.table(tables.Run), tables.table(tables.Attempt)
_BLOCK, _ROLLUP = tables.table(tables.ReadingBlock), tables.table(tables.Rollup)
_INCIDENT, _EVIDENCE = tables.table(tables.Incident), tables.table(tables.Evidence)
_ARTIFACT = tables.table(tables.Artifact)


class Writer:
    """Collects the records of one attempt and writes them in one transaction a ``flush``.

    ``add``, ``incident`` and ``samples`` touch memory only. What a failed ``flush`` did not write is kept for the next one: up to
    ``capacity`` readings and ``images`` sets of samples, of which the oldest go first, and of each incident the newest report
    of each state.

    Parameters
    ----------
    store : Store
    run : Run
        Its ``provenance["fingerprint"]``, where there is one, is what ``find_unfinished`` looks for.
    capacity : int, readings
    images : int, sets of samples
    """

    def __init__(self, store: Store, run: Run, *, capacity: int = 200_000, images: int = 16) -> None:
        self.store, self.run, self.capacity, self.images = store, run, capacity, images
        self.dropped = 0
        """Readings and sets of samples given up because the store could not be written for too long."""
        self._blocks: dict[Key, dict[int, float]] = {}
        self._dirty: dict[Key, int] = {}  # readings that are not committed yet
        self._partial: set[Key] = set()  # blocks of which the store may hold more than memory does
        self._top: dict[str, int] | None = None  # last committed block of each series
        self._incidents: dict[tuple[str, str], dict[str, Any]] = {}  # the newest of each state, in order of arrival
        self._samples: list[Samples] = []
        self._state = "running"
        self._started = run.started or time.time()
        self._ended: float | None = None
        self._steps: tuple[int, int] | None = None
        self._provenance = encode(run.provenance)
        self._introduced = False  # whether the store has the run's own facts

    def add(self, readings: Iterable[Readings]) -> None:
        """Take readings; of two of one step and series the later one holds."""
        for reading in readings:
            block, offset = divmod(reading.step, WIDTH)
            low, high = self._steps or (reading.step, reading.step)
            self._steps = min(low, reading.step), max(high, reading.step)
            for series, value in (*reading.values.items(), (WALL_TIME, reading.wall_time)):
                key = series, block
                if key not in self._blocks:
                    self._blocks[key] = {}
                    self._partial.add(key)
                self._blocks[key][offset] = float(value)
                self._dirty[key] = self._dirty.get(key, 0) + 1
        self._shed()

    def incident(self, incident: Incident) -> None:
        """Take the present state of an incident."""
        row = asdict(incident)
        evidence = row.pop("evidence")
        row |= {"severity": str(incident.severity), "state": str(incident.state), "extras": encode(incident.extras)}
        row |= {"run_id": self.run.id, "attempt": self.run.attempt, "updated": time.time(), "verdict": encode(evidence or {})}
        key = incident.id, row["state"]
        self._incidents.pop(key, None)
        self._incidents[key] = row

    def samples(self, samples: Samples) -> None:
        """Take images."""
        self._samples.append(samples)
        excess = len(self._samples) - self.images
        if excess > 0:
            del self._samples[:excess]
            self.dropped += excess

    def finish(self, state: str) -> None:
        """The attempt has ended."""
        self._state, self._ended = state, time.time()

    def flush(self) -> None:
        """Write all that is new.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError, OSError
            The store cannot be written now; nothing is lost, call again.
        """
        if self.store.ensure():
            self._top, self._introduced = None, False
            self._dirty = {key: len(block) for key, block in self._blocks.items()}
        with self.store.begin() as connection:
            self._write_run(connection)
            top = self._committed(connection) if self._top is None else self._top
            self._merge(connection, top)
            self._write_blocks(connection)
            for row in self._incidents.values():
                self._write_incident(connection, row)
        self._top, self._introduced = top, True
        self._forget()
        self._write_samples()

    def _write_run(self, connection: Connection) -> None:
        life = {"state": self._state, "ended": self._ended, "heartbeat": time.time()}
        run: dict[str, Any] = {"id": self.run.id, **life}
        attempt: dict[str, Any] = {"run_id": self.run.id, "attempt": self.run.attempt, **life}
        if not self._introduced:
            fingerprint = self.run.provenance.get("fingerprint")
            known = connection.execute(select(_RUN.c.started, _RUN.c.provenance).where(_RUN.c.id == self.run.id)).first()
            run |= {"name": self.run.name, "started": known.started if known else self._started}
            run |= {"fingerprint": None if fingerprint is None else str(fingerprint), "artifact_root": self.store.artifact_root}
            run["provenance"] = self._provenance or (known.provenance if known else {})
            attempt |= {"started": self._started, "provenance": self._provenance, **_process()}
        _upsert(connection, _RUN, ("id",), run)
        if self._steps is not None:
            query = select(_ATTEMPT.c.first_step, _ATTEMPT.c.last_step).where(*self._mine(_ATTEMPT))
            steps = [step for step in (*(connection.execute(query).first() or ()), *self._steps) if step is not None]
            attempt |= {"first_step": min(steps), "last_step": max(steps)}
        _upsert(connection, _ATTEMPT, ("run_id", "attempt"), attempt)

    def _committed(self, connection: Connection) -> dict[str, int]:
        query = select(_BLOCK.c.series, func.max(_BLOCK.c.block)).where(*self._mine(_BLOCK)).group_by(_BLOCK.c.series)
        return {row[0]: row[1] for row in connection.execute(query)}

    def _merge(self, connection: Connection, top: Mapping[str, int]) -> None:
        """Complete blocks in memory with what the store holds of them, as a block is written as a whole."""
        for key in sorted(self._partial):
            series, block = key
            if block <= top.get(series, -1):
                here = _BLOCK.c.series == series, _BLOCK.c.block == block
                for offsets, readings in connection.execute(select(_BLOCK.c.offsets, _BLOCK.c.readings).where(*self._mine(_BLOCK), *here)):
                    steps, values = unpack(0, offsets, readings)
                    self._blocks[key] = dict(zip(steps.tolist(), values.tolist(), strict=True)) | self._blocks[key]
        self._partial.clear()

    def _write_blocks(self, connection: Connection) -> None:
        owner = {"run_id": self.run.id, "attempt": self.run.attempt}
        blocks, rollups = [], []
        for series, block in self._dirty:
            readings = self._blocks[series, block]
            offsets, values = pack(readings)
            blocks.append(owner | {"series": series, "block": block, "offsets": offsets, "readings": values})
            rollups.append(owner | {"series": series, "width": WIDTH, "bucket": block} | summarise(block, readings))
        _replace(connection, _BLOCK, ("run_id", "attempt", "series", "block"), blocks)
        _replace(connection, _ROLLUP, ("run_id", "attempt", "series", "width", "bucket"), rollups)

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
            del self._samples[0]

    def _forget(self) -> None:
        """After a commit only the newest blocks stay in memory."""
        top = self._top or {}
        self._top = top | {series: max(block, top.get(series, block)) for series, block in sorted(self._dirty)}
        latest = max((block for _, block in self._blocks), default=0)
        self._blocks = {key: readings for key, readings in self._blocks.items() if key[1] == latest}
        self._dirty.clear()
        self._incidents.clear()

    def _shed(self) -> None:
        if sum(self._dirty.values()) <= self.capacity:
            return
        for key in sorted(self._dirty, key=lambda key: key[1]):
            self.dropped += self._dirty.pop(key)
            del self._blocks[key]
            self._partial.discard(key)
            if sum(self._dirty.values()) <= self.capacity:
                return

    def _mine(self, table: Any) -> tuple[Any, ...]:
        return table.c.run_id == self.run.id, table.c.attempt == self.run.attempt


def _process() -> dict[str, Any]:
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": os.getpid(), "process_started": process.create_time()}


def _matches(table: Any, key: Mapping[str, Any]) -> list[Any]:
    return [table.c[name] == value for name, value in key.items()]


def _upsert(connection: Connection, table: Any, key: Sequence[str], row: Mapping[str, Any]) -> None:
    """Update the row of that key, or insert it; written in what every database knows."""
    facts = {name: value for name, value in row.items() if name not in key}
    if not connection.execute(table.update().where(*_matches(table, {name: row[name] for name in key})), facts).rowcount:
        connection.execute(table.insert(), dict(row))


def _replace(connection: Connection, table: Any, key: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Delete and insert many rows, two ``executemany`` in all."""
    if rows:
        gone = table.delete().where(and_(*(table.c[name] == bindparam(f"key_{name}") for name in key)))
        connection.execute(gone, [{f"key_{name}": row[name] for name in key} for row in rows])
        connection.execute(table.insert(), list(rows))
