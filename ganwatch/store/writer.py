"""Writing a run: everything is kept until a transaction that holds it has been committed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psutil
from sqlalchemy import Connection, bindparam, func, select

from ganwatch.core.incidents import Incident
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.store import tables
from ganwatch.store.blocks import WALL_TIME, WIDTH, Block
from ganwatch.store.database import Store
from ganwatch.store.plain import encode

_RUN, _ATTEMPT = tables.table(tables.Run), tables.table(tables.Attempt)
_BLOCK, _ROLLUP = tables.table(tables.ReadingBlock), tables.table(tables.Rollup)
_INCIDENT, _EVIDENCE = tables.table(tables.Incident), tables.table(tables.Evidence)
_ARTIFACT = tables.table(tables.Artifact)
_INSERT = {table: table.insert() for table in (_BLOCK, _ROLLUP)}
_DELETE = {
    table: table.delete().where(*(column == bindparam(f"key_{column.name}") for column in table.primary_key)) for table in (_BLOCK, _ROLLUP)
}


class Writer:
    """Collects the records of one attempt and writes them in one transaction a ``flush``.

    ``add``, ``incident`` and ``samples`` touch memory only. What a failed ``flush`` did not write is kept for the next one: up to
    ``capacity`` readings and ``images`` sets of samples, of which the oldest go first, and of each incident the newest report
    of each state.

    Parameters
    ----------
    store : Store
    run : Run
        Its ``provenance["fingerprint"]``, where there is one, is what ``unfinished`` looks for.
    capacity : int, readings
    images : int, sets of samples
    """

    def __init__(self, store: Store, run: Run, *, capacity: int = 200_000, images: int = 16) -> None:
        self.store, self.run, self.capacity, self.images = store, run, capacity, images
        self.dropped = 0
        """Readings and sets of samples given up because the store could not be written for too long."""
        self._blocks: dict[int, dict[str, Block]] = {}
        self._fresh = 0  # readings that are not committed yet
        self._top: dict[str, int] | None = None  # last committed block of each series
        self._incidents: dict[tuple[str, str], dict[str, Any]] = {}  # the newest of each state, in order of arrival
        self._samples: list[SampleImages] = []
        self._state = "running"
        self._started = run.started or time.time()
        self._ended: float | None = None
        self._steps: tuple[int, int] | None = None
        self._provenance = encode(run.provenance)
        self._introduced = False  # whether the store has the run's own facts

    @property
    def waiting(self) -> int:
        """Readings and sets of samples that are not written yet."""
        return self._fresh + len(self._samples)

    def add(self, readings: Iterable[Readings]) -> None:
        """Take readings; of two of one step and series the later one holds."""
        for reading in readings:
            number, offset = divmod(reading.step, WIDTH)
            low, high = self._steps or (reading.step, reading.step)
            self._steps = min(low, reading.step), max(high, reading.step)
            blocks = self._blocks.setdefault(number, {})
            for series, value in (*reading.values.items(), (WALL_TIME, reading.wall_time)):
                block = blocks.get(series)
                if block is None:
                    block = blocks[series] = Block()
                block.put(offset, value)
            self._fresh += len(reading.values) + 1
        while self._fresh > self.capacity and len(self._blocks) > 1:
            lost = sum(block.fresh for block in self._blocks.pop(min(self._blocks)).values())
            self._fresh -= lost
            self.dropped += lost

    def incident(self, incident: Incident) -> None:
        """Take the present state of an incident."""
        row = asdict(incident)
        evidence = row.pop("evidence")
        row |= {"severity": str(incident.severity), "state": str(incident.state), "extras": encode(incident.extras)}
        row |= {"run_id": self.run.id, "attempt": self.run.attempt, "updated": time.time(), "verdict": encode(evidence or {})}
        key = incident.id, row["state"]
        self._incidents.pop(key, None)
        self._incidents[key] = row

    def samples(self, samples: SampleImages) -> None:
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
        self._ensure()
        with self.store.begin() as connection:
            self._write_run(connection)
            top = self._committed(connection) if self._top is None else self._top
            self._merge(connection, top)
            self._write_blocks(connection)
            for row in self._incidents.values():
                self._write_incident(connection, row)
        self._introduced = True
        self._forget(top)
        self._write_samples()

    def flush_samples(self) -> None:
        """Write images that are new, and the rest where the run is not in the store yet."""
        self._ensure()
        if self._introduced:
            self._write_samples()
        else:
            self.flush()

    def _ensure(self) -> None:
        """Where the database was made anew, everything in memory is new to it."""
        if self.store.ensure():
            self._top, self._introduced = None, False
            for _, _, block in self._all():
                block.fresh = len(block.values)

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
            attempt |= {"started": self._started, "provenance": self._provenance, **process_facts()}
            query = select(_ATTEMPT.c.first_step, _ATTEMPT.c.last_step).where(*self._mine(_ATTEMPT))
            steps = [step for step in (*(connection.execute(query).first() or ()), *(self._steps or ())) if step is not None]
            self._steps = (min(steps), max(steps)) if steps else None
        _upsert(connection, _RUN, ("id",), run)
        if self._steps is not None:
            attempt |= {"first_step": self._steps[0], "last_step": self._steps[1]}
        _upsert(connection, _ATTEMPT, ("run_id", "attempt"), attempt)

    def _committed(self, connection: Connection) -> dict[str, int]:
        query = select(_BLOCK.c.series, func.max(_BLOCK.c.block)).where(*self._mine(_BLOCK)).group_by(_BLOCK.c.series)
        return {row[0]: row[1] for row in connection.execute(query)}

    def _merge(self, connection: Connection, top: Mapping[str, int]) -> None:
        """Complete blocks in memory with what the store holds of them, as a block is written as a whole."""
        for series, number, block in self._all():
            if not block.whole and number <= top.get(series, -1):
                here = *self._mine(_BLOCK), _BLOCK.c.series == series, _BLOCK.c.block == number
                for row in connection.execute(select(_BLOCK.c.offsets, _BLOCK.c.readings).where(*here)):
                    block.complete(*row)
            block.whole = True

    def _write_blocks(self, connection: Connection) -> None:
        """Write blocks with fresh readings; a rollup only where no more are expected, as a query reads the others in full."""
        owner = {"run_id": self.run.id, "attempt": self.run.attempt}
        latest = max(self._blocks, default=0) if self._ended is None else None
        blocks, rollups = [], []
        for series, number, block in self._all():
            if block.fresh:
                offsets, readings = block.pack()
                blocks.append(owner | {"series": series, "block": number, "offsets": offsets, "readings": readings})
            if number != latest:
                rollups.append(owner | {"series": series, "width": WIDTH, "bucket": number} | block.summary(number))
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
            del self._samples[0]

    def _forget(self, top: dict[str, int]) -> None:
        """After a commit only the newest blocks stay in memory."""
        for series, number, block in self._all():
            top[series] = max(number, top.get(series, number))
            block.fresh = 0
        newest = max(self._blocks, default=0)
        self._blocks = {number: blocks for number, blocks in self._blocks.items() if number == newest}
        self._top, self._fresh = top, 0
        self._incidents.clear()

    def _all(self) -> Iterator[tuple[str, int, Block]]:
        for number in sorted(self._blocks):
            for series, block in self._blocks[number].items():
                yield series, number, block

    def _mine(self, table: Any) -> tuple[Any, ...]:
        return table.c.run_id == self.run.id, table.c.attempt == self.run.attempt


def process_facts() -> dict[str, Any]:
    """What tells later whether this process is still there."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": os.getpid(), "process_started": process.create_time()}


def _matches(table: Any, key: Mapping[str, Any]) -> list[Any]:
    return [table.c[name] == value for name, value in key.items()]


def _upsert(connection: Connection, table: Any, key: Sequence[str], row: Mapping[str, Any]) -> None:
    """Update the row of that key, or insert it; written in what every database knows."""
    facts = {name: value for name, value in row.items() if name not in key}
    if not connection.execute(table.update().where(*_matches(table, {name: row[name] for name in key})), facts).rowcount:
        connection.execute(table.insert(), dict(row))


def _replace(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Delete and insert many rows by primary key, two ``executemany`` in all."""
    if rows:
        connection.execute(_DELETE[table], [{f"key_{column.name}": row[column.name] for column in table.primary_key} for row in rows])
        connection.execute(_INSERT[table], list(rows))
