from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from ganwatch.store.database import Store, open_store

BINARIES = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The socket folder of a PostgreSQL of our own, which refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="ganwatch-pg-"))
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")

    def call(program: str, *words: str) -> None:
        subprocess.run([*user, BINARIES / program, "-D", folder / "data", *words], check=True, stdout=subprocess.DEVNULL, cwd="/")

    call("initdb", "-U", "postgres", "--auth", "trust", "--no-sync")
    call("pg_ctl", "-o", f"-k {folder} -c listen_addresses= -c fsync=off", "-l", str(folder / "log"), "-w", "start")
    try:
        yield str(folder)
    finally:
        call("pg_ctl", "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


numbers = count()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that does not exist yet, once on each database."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        return str(tmp_path / "runs")
    socket = request.getfixturevalue("postgres")
    name = f"ganwatch_{next(numbers)}"
    with psycopg.connect(f"host={socket} user=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://postgres@/{name}?host={socket}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened
