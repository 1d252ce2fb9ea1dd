"""SQLite stores: rows written without ganwatch, damaged files, and files with strange cells."""

from __future__ import annotations

import hashlib
import io
import json
import math
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cases import MUTATED, ODD, VALID, Case, Cases, Target
from command_calls import run_command
from hypothesis import strategies as st
from mutations import JSON, PLANS, damage
from PIL import Image

from ganwatch.core.errors import UserError
from ganwatch.store import queries
from ganwatch.store.database import Store, open_store

SEEDS = st.integers(0, 2**32 - 1)
EXTRACTOR = {"name": "identity"}
VERDICT = {"value": 1.5, "threshold": 1.0, "signal": "loss/g", "window": 20, "origin": "the run", "explanation": "It is high.", "onset": 3}
INCIDENT = {"attempt": 1, "updated": 2.0, "code": "GW301", "title": "vanishing", "severity": "page", "onset": 3, "opened": 4, "fired": 5,
    "resolved": None, "seen": 9, "cause": None,
            "likely_causes": "", "remedies": "", "runbook": "alerts/runbooks/GW301.md", "verdict": json.dumps(VERDICT),
            "extras": "{}"}  # fmt: skip
OUTCOME = {"step": 9, "conclusion": "not judged", "incidents": ["GW301"],
    "unjudged": [{"code": "GW401", "title": "regression", "reason": "too early", "last_step": None}],
           "failures": {"probe loss": 2}, "idle": {"g": 60}, "problems": ["no loss"]}  # fmt: skip


@cache
def template() -> bytes:
    """Return an empty store without constraints, so that cells can hold anything."""
    with tempfile.TemporaryDirectory() as folder:
        open_store(folder).close()
        path = Path(folder) / "ganwatch.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '')")
            connection.commit()
        return path.read_bytes()


def rows_of(number: int) -> tuple[dict[str, list[dict[str, Any]]], Any]:
    """Return the rows of one run by table, and what is read of it."""
    rng = np.random.default_rng(number)
    run = f"run-{number}"
    first = int(rng.integers(0, 5)) * 256
    offsets = np.unique(rng.integers(0, 256, 20)).astype(np.uint8)
    special = (math.nan, math.inf, -0.0, 0.25)
    readings = [special[int(rng.integers(4))] if rng.integers(4) == 0 else float(rng.normal()) for _ in offsets]
    state = ("running", "finished", "failed", "stopped")[number % 4]
    times = {"started": 1.7e9 + number % 1000, "ended": None if state == "running" else 1.8e9, "heartbeat": 1.75e9}
    is_firing = number % 2 == 0
    png, pixels = sheet(rng)
    rows = {
        "run": [{"id": run, "name": f"name {number}", "state": state, **times, "fingerprint": "f", "artifact_root": None,
        "provenance": '{"seed": null, "nonfinite": [[["seed"], "nan"]]}',
                 "outcome": json.dumps(OUTCOME)}],
        "attempt": [{"run_id": run, "attempt": 1, "state": state, **times, "first_step": first, "last_step": first + int(offsets[-1]),
        "host": "h", "pid": 1, "process_started": 1.0, "provenance": "{}"}],
        "reading_block": [{"run_id": run, "attempt": 1, "series": series, "block": first // 256, "offsets": offsets.tobytes(),
        "readings": struct.pack(f"<{len(readings)}d", *readings)} for series in ("loss/g", "wall_time")],
        "rollup": [{"run_id": run, "attempt": 1, "series": "loss/g", "width": 256, "bucket": first // 256, "first_step": first,
        "last_step": first + 5, "count": 3, "nonfinite": 0, "low": 0.0, "high": 1.0, "mean": 0.5}],
        "incident": [{"run_id": run, "id": "GW301-1", "state": "firing" if is_firing else "resolved", **INCIDENT}],
        "evidence": [{"id": 1, "run_id": run, "incident_id": "GW301-1", "attempt": 1, "step": 9, "state": "firing", "recorded": 3.0,
        "verdict": json.dumps(VERDICT)}],
        "artifact": [{"id": 1, "run_id": run, "attempt": 1, "step": 9, "kind": "fixed", "path": "a/sheet.png", "thumbnail": None,
        "sha256": hashlib.sha256(png).hexdigest(), "count": pixels.shape[0], "height": 4,
                      "width": 4, "channels": 1, "columns": 2, "incident_id": None, "created": 1.0}],
        "audit": [
            {"id": 1, "created": 1.0, "actor": "a", "action": "drift checked", "subject": run,
                "detail": json.dumps({"verdict": "unchanged", "report": None})},
            {"id": 2, "created": 2.0, "actor": "a", "action": "generator accepted", "subject": run,
                "detail": json.dumps({"path": "a/reference.npy", "sha256": hashlib.sha256(reference()).hexdigest(), "count": 3,
                "extractor": EXTRACTOR})},
        ],
    }  # fmt: skip
    expected = {
        "run": [run, f"name {number}", state, times["started"], 1, first + int(offsets[-1]), int(is_firing)],
        "series": [(offsets.astype(int) + first).tolist(), readings],
        "evidence": VERDICT,
        "samples": pixels.tolist(),
        "drift": ["unchanged"],
        "reference": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]],
        "seed": math.nan,
    }
    return rows, expected


def sheet(rng: Any) -> tuple[bytes, Any]:
    """Return a contact sheet of three tiles, and the tiles."""
    tiles = rng.integers(0, 256, (3, 4, 4, 1)).astype(np.uint8)
    grid = np.zeros((8, 8), np.uint8)
    for index, tile in enumerate(tiles):
        grid[index // 2 * 4 : index // 2 * 4 + 4, index % 2 * 4 : index % 2 * 4 + 4] = tile[..., 0]
    file = io.BytesIO()
    Image.fromarray(grid).save(file, "png")
    return file.getvalue(), tiles


@cache
def reference() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(6, dtype=np.float32).reshape(3, 2))
    return file.getvalue()


def write(folder: Path, rows: dict[str, list[dict[str, Any]]], changes: Sequence[tuple[str, str, Any]] = ()) -> Path:
    """Write a store with these rows and changes of cells, and its artifacts."""
    path = folder / "ganwatch.db"
    path.write_bytes(template())
    with closing(sqlite3.connect(path)) as connection:
        for table, ones in rows.items():
            for one in ones:
                names = ", ".join(f'"{name}"' for name in one)
                statement = f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(one))})'  # noqa: S608  # names of this module
                connection.execute(statement, list(one.values()))
        for table, column, value in changes:
            place = "CAST(? AS TEXT)" if isinstance(value, tuple) else "?"
            statement = f'UPDATE OR REPLACE "{table}" SET "{column}" = {place}'  # noqa: S608  # names of this module
            with suppress(sqlite3.IntegrityError):  # the key of a row cannot be anything
                connection.execute(statement, [value[0] if isinstance(value, tuple) else value])
        connection.commit()
    return path


def lay_artifacts(folder: Path, number: int) -> None:
    """Write the contact sheet and the accepted reference of a run."""
    rng = np.random.default_rng(number)
    rows, expected = rows_of(number)
    del rows, rng
    grid = np.zeros((8, 8), np.uint8)
    for index, tile in enumerate(np.array(expected["samples"], np.uint8)):
        grid[index // 2 * 4 : index // 2 * 4 + 4, index % 2 * 4 : index % 2 * 4 + 4] = tile[..., 0]
    (folder / "artifacts/a").mkdir(parents=True)
    Image.fromarray(grid).save(folder / "artifacts/a/sheet.png")
    (folder / "artifacts/a/reference.npy").write_bytes(reference())


def read_store(folder: Path) -> dict[str, Any]:
    """Read all that a store holds, through commands and queries; of several ``UserError`` the first is raised at the end."""
    refused: list[UserError] = []
    found: dict[str, Any] = {}

    def attempt(action: Callable[[], Any]) -> Any:
        try:
            return action()
        except UserError as error:
            refused.append(error)

    for words in (("runs",), ("runs", "--json"), ("incidents", "latest"), ("incidents", "latest", "--json"), ("replay", "latest"),
        ("replay", "latest", "--json")):
        attempt(lambda words=words: run_command(*words, "--store", str(folder)))
    store = attempt(lambda: open_store(folder, create=False))
    if store is not None:
        with store:
            attempt(lambda: _query(store, found, attempt))
    if refused:
        raise refused[0]
    return found


def _query(store: Store, found: dict[str, Any], attempt: Callable[[Callable[[], Any]], Any]) -> None:
    for record in queries.runs(store):
        _query_run(store, record, found, attempt)


def _query_run(store: Store, record: Any, found: dict[str, Any], attempt: Callable[[Callable[[], Any]], Any]) -> None:
    from ganwatch.drift.record import read_reference, recorded_checks
    from ganwatch.store.audit_log import DRIFT_CHECKED, latest_entries
    from ganwatch.store.series import last_values, series, series_names

    run = record.id
    found["run"] = [run, record.name, record.state, record.started, record.attempts, record.last_step, record.open_incidents]
    found["seed"] = record.provenance.get("seed")
    for action in (
        lambda: queries.attempts(store, run),
        lambda: queries.evidence(store, run, "GW301-1"),
        lambda: last_values(store, run),
        lambda: [series(store, run, name, max_points=4, start=1) for name in series_names(store, run)],
        lambda: latest_entries(store, DRIFT_CHECKED),
        lambda: queries.heartbeat(store, run),
        lambda: queries.find_run(store, run[:3]),
        lambda: found.update(series=[column.tolist() for column in series(store, run, "loss/g")]),
        lambda: [found.update(evidence=_verdict(one.evidence)) for one in queries.incidents(store, run)],
        lambda: [found.update(samples=_samples(store, one)) for one in queries.artifacts(store, run)],
        lambda: found.update(drift=[one.detail.get("verdict") for one in recorded_checks(store, run)]),
        lambda: found.update(reference=getattr(read_reference(store, run, EXTRACTOR), "features", np.empty(0)).tolist()),
    ):
        attempt(action)


def _verdict(verdict: Any) -> dict[str, Any]:
    return {} if verdict is None else {name: getattr(verdict, name) for name in VERDICT}


def _samples(store: Store, artifact: Any) -> Any:
    try:
        return queries.read_samples(store, artifact).tolist()
    except FileNotFoundError:  # as documented
        return None


class StoreTarget(Target):
    """Base of targets that read a store."""

    def prepare(self) -> None:
        import ganwatch.drift.record  # noqa: F401

        template()

    def read(self, case: Case, folder: Path) -> Any:
        number, content, changes = case.value
        if content is not None:
            (folder / "ganwatch.db").write_bytes(content)
        else:
            write(folder, rows_of(number)[0], changes)
        lay_artifacts(folder, number)
        return read_store(folder)


VALID_STORES = SEEDS.map(lambda number: Case(VALID, (number, None, []), rows_of(number)[1]))


@cache
def _content(number: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder), rows_of(number)[0]).read_bytes()


class DamagedStore(StoreTarget):
    """A store whose file is damaged."""

    name = "store-bytes"

    def cases(self) -> Cases:
        number = st.integers(0, 7)
        mutated = st.builds(lambda one, plan, other: Case(MUTATED, (one, damage(_content(one), plan, _content(other)), [])), number, PLANS,
            number)

        def damage_page(one: int, page: int, plan: Any) -> Case:
            content = _content(one)
            start = page % (len(content) // 8192) * 8192
            return Case(MUTATED, (one, content[:start] + damage(content[start : start + 8192], plan)[:8192].ljust(8192,
                b"\0") + content[start + 8192 :], []))

        return Cases(VALID_STORES, mutated | st.builds(damage_page, number, st.integers(0, 60), PLANS))


CELLS: Any = st.sampled_from((
    None, b"", b"\xff", b"\0" * 7, b"\0" * 4096, 0, -1, 5, 256, 10**9, 2**31, 2**62, 2**63 - 1, -(2**63), 1.5, math.inf, -math.inf, -1e300,
        1e300, "", "x", "\0", "a\nb", "\x1b[31m", "9" * 400, "x" * 300_000, "true",
    (b"\xff\xfe",), (b"\xed\xa0\x80",), "[" * 100_000, '{"a": ' * 50_000, '{"a": ' * 300 + "1" + "}" * 300,
    '{"a": ' * 900 + "1" + "}" * 900, "{", "null", "[]", "3", "NaN", '{"nonfinite": 3}', '{"nonfinite": [[["a"], "nan"]]}',
    '{"nonfinite": [[[], "nan"]]}', '{"nonfinite": [[["value"], "x"]], "value": 1}', '{"conclusion": "odd"}', '{"value": 1}',
    '{"value": 1' + "0" * 400 + "}", '{"value": 1' + "0" * 5000 + "}",
    '{"value": "x", "threshold": [], "signal": 3, "window": "y", "origin": null, "explanation": {}, "onset": "z"}', '{"a": "\\ud800"}',
    '{"a": 1e999}', '{"\\u0000": 1}', "firing", "resolved", "pending", "../../../etc/passwd",
    "/etc/passwd", "0001", "0002", "http://127.0.0.1:9/x", "nosuch://x", "memory://a", "file:///dev", "GW301-1",
))  # fmt: skip
COLUMNS = [(table, name) for table, rows in rows_of(0)[0].items() for name in rows[0]] + [("alembic_version", "version_num")]


class StrangeCells(StoreTarget):
    """A store with strange cells."""

    name = "store-cells"

    def cases(self) -> Cases:
        json_cells = JSON.map(json.dumps)
        typed = st.builds(
            lambda base, name, value: json.dumps(dict(base) | {name: value}),
            st.sampled_from((VERDICT, OUTCOME)),
            st.sampled_from([*VERDICT, *OUTCOME, "nonfinite"]),
            JSON,
        )
        cells = CELLS | json_cells | typed
        change = st.tuples(st.sampled_from(COLUMNS), cells).map(lambda pair: (*pair[0], pair[1]))
        plain = st.tuples(st.sampled_from([one for one in COLUMNS if one[1] in {"verdict", "outcome", "provenance", "extras", "detail"}]),
            json_cells | typed).map(lambda pair: (*pair[0], pair[1]))
        odd = st.builds(lambda number, changes: Case(ODD, (number, None, changes)), st.integers(0, 3),
            st.lists(change | plain, min_size=1, max_size=2))
        return Cases(VALID_STORES, odd)


TARGETS = [DamagedStore(), StrangeCells()]
