"""Opening and migrating a store: SQLite in a folder by default, any SQLAlchemy URL otherwise."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from ganwatch.core.clean_text import clean_text
from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import check_regular, exists, is_folder
from ganwatch.store.artifacts import ArtifactRoot
from ganwatch.store.places import SQLITE_FILE, SQLITE_SUFFIXES
from ganwatch.store.rows import parse_json, readable

DEFAULT_STORE = "runs"
"""Folder of the store if none is named."""
MAX_CELL_BYTES = 2**24
"""Largest cell of a store that is only read, in bytes."""
STATEMENT_SECONDS, INSTRUCTIONS = 8.0, 10_000
"""Longest time of a statement on a store that is only read, and the number of SQLite's instructions between two looks at the clock."""
_MIGRATION_LOCK = 0x67616E77  # PostgreSQL's advisory lock on the migration: "ganw"


class StoreMissingError(UserError):
    """The store has no database yet. The first training with this store creates it."""


class Store:
    """A database and its artifacts, opened by ``open_store``. Threads may share it; a forked process must not use it."""

    def __init__(self, engine: Engine, artifacts: ArtifactRoot, artifact_root: str | None, file: Path | None) -> None:
        self.engine = engine
        self.artifacts = artifacts
        self.artifact_root = artifact_root
        self.file = file
        self._identity = self._read_from = self._stat()

    def begin(self) -> AbstractContextManager[Connection]:
        """Begin a transaction that writes. The end of the block commits it, an exception rolls it back."""
        return _begin_writing(self.engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Begin a transaction that reads one consistent state of the file that exists now.

        Raises
        ------
        UnreadableStoreError
            From within the block too: the database is damaged, or cannot be read at the moment.
        """
        identity = self._stat()
        if identity != self._read_from:
            self.engine.dispose()  # its connections would keep reading a file that was deleted or replaced
            self._read_from = identity
        with readable(repr(str(self.file)) if self.file else _without_password(self.engine.url)), self.engine.begin() as connection:
            yield connection

    def ensure_exists(self) -> bool:
        """Create the database again if its file was deleted or replaced. Returns True in that case."""
        if self._identity == self._stat() is not None or self.file is None:
            return False
        self.engine.dispose()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        _migrate(self.engine, self.file)
        self._identity = self._stat()
        return True

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stat(self) -> tuple[int, int] | None:
        try:
            stat = self.file.stat() if self.file else None
        except OSError:
            return None
        return (stat.st_dev, stat.st_ino) if stat else None


def open_store(url: str | Path = DEFAULT_STORE, *, create: bool = True, artifacts: str | None = None) -> Store:
    """Open a store.

    Parameters
    ----------
    url : str
        A folder (SQLite in ``<folder>/ganwatch.db``), a file ending in ``.db``, ``.sqlite`` or ``.sqlite3``, or a SQLAlchemy URL such as
        ``postgresql://user@host/ganwatch``.
    create : bool
        Create the store if it does not exist. False opens an existing store for reading only. In both cases a store of an older
        version is migrated first.
    artifacts : str or None
        Folder or fsspec URL for images. None means ``artifacts`` beside the SQLite file, or ``runs/artifacts`` for other databases.

    Raises
    ------
    UserError
        The store cannot be opened. The message never contains a password. ``StoreMissingError`` if a training still has to create it.
    """
    address = _parse(str(url))
    file = _sqlite_file(address)
    root = artifacts or str((file.parent if file else Path(DEFAULT_STORE).absolute()) / "artifacts")
    store_root = ArtifactRoot(root)
    try:
        if file and not create and not (exists(file) and not is_folder(file)):
            kind = UserError if exists(file) else StoreMissingError
            raise kind(f"store must exist, got {show_value(str(url))} without a database in it; a training with this store creates it")
        if file:
            _check_files(file)
        if file and create:
            file.parent.mkdir(parents=True, exist_ok=True)
        engine = _engine(address, file, create=create)
        try:
            if create:
                _migrate(engine, file)
            elif _is_older(engine):
                _migrate_to_read(address, file)
        except BaseException:
            engine.dispose()
            raise
    except ImportError as error:
        hint = "pip install 'ganwatch[postgres]'" if address.get_backend_name() == "postgresql" else f"install {error.name}"
        raise UserError(f"store needs a database driver for {address.drivername!r} that is not installed ({error}); {hint}") from None
    except (OSError, SQLAlchemyError, sqlite3.Error, CommandError) as error:
        shown, reason = _without_password(address), _reason(error, address)
        raise UserError(f"store must be a database that can be opened, got {shown}: {reason}") from None
    return Store(engine, store_root, None if file and not artifacts else store_root.url, file)


def _check_files(file: Path) -> None:
    """Refuse a pipe or a device, on which SQLite may wait for ever, in place of the database or of one of the files beside it.

    Raises
    ------
    UserError
        Names it.
    """
    for name in (file.name, *(f"{file.name}-{suffix}" for suffix in ("wal", "shm", "journal"))):
        path = file.with_name(name)
        if exists(path):
            check_regular(path, "store")


def _parse(url: str) -> URL:
    if not url:
        raise UserError("store must be a folder, a file or a SQLAlchemy URL, got an empty text")
    if "\0" in url:
        raise UserError(f"store must be a folder, a file or a SQLAlchemy URL without a NUL character, got {url!r}")
    if "://" not in url:
        path = Path(url).expanduser().absolute()
        is_file = (exists(path) and not is_folder(path)) or path.suffix in SQLITE_SUFFIXES
        return URL.create("sqlite", database=str(path if is_file else path / SQLITE_FILE))
    try:
        address = make_url(url)
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        scheme = url.partition("://")[0]
        raise UserError(f"store must be a folder, a file or a SQLAlchemy URL, got {scheme!r}:// and a text that is no URL") from None
    except ImportError:
        return make_url(url)
    return address.set(drivername="postgresql+psycopg") if address.drivername == "postgresql" else address


def _sqlite_file(address: URL) -> Path | None:
    if address.get_backend_name() != "sqlite":
        return None
    if not address.database or address.database == ":memory:":
        raise UserError("store must be a file that other processes can read, got a SQLite database in memory")
    return Path(address.database).absolute()


def _engine(address: URL, file: Path | None, *, create: bool) -> Engine:
    options: dict[str, Any] = {"json_serializer": partial(json.dumps, allow_nan=False), "json_deserializer": parse_json}
    if file is None:
        arguments = {"connect_timeout": 10} if address.drivername == "postgresql+psycopg" else {}
        readonly = {"postgresql_readonly": not create} if arguments else {}
        engine = create_engine(address, connect_args=arguments, execution_options=readonly, pool_pre_ping=True, **options)
        event.listen(engine, "before_cursor_execute", _clean_parameters, retval=True)
        return engine
    if not create:
        address = address.set(database=file.as_uri()).update_query_dict({"mode": "ro", "uri": "true"})
    engine = create_engine(address, **options)
    event.listen(engine, "before_cursor_execute", _clean_parameters, retval=True)
    event.listen(engine, "connect", _sqlite_connect)
    if not create:
        event.listen(engine, "connect", _sqlite_bound)
        event.listen(engine, "before_cursor_execute", _set_deadline)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _clean_parameters(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool) -> tuple[str, Any]:
    """Clean every text on its way into any database."""
    return statement, [_clean(row) for row in parameters] if executemany else _clean(parameters)


def _clean(row: Any) -> Any:
    if isinstance(row, Mapping):
        return {name: clean_text(value) if isinstance(value, str) else value for name, value in row.items()}
    return tuple(clean_text(value) if isinstance(value, str) else value for value in row)


def _sqlite_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None  # only _sqlite_begin begins transactions
    with closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")


def _set_deadline(connection: Connection, *_: object) -> None:
    connection.info["deadline"] = time.monotonic() + STATEMENT_SECONDS


def _sqlite_bound(connection: Any, record: Any) -> None:
    """Bound what a store of unknown origin can do to its reader: bytes of a cell, time of a statement, and tables alone."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
    with closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA trusted_schema=OFF")
        cursor.execute("SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE 'CREATE VIRTUAL%' LIMIT 1")
        odd = cursor.fetchone()
    if odd is not None:
        raise UserError(f"store must hold tables and indexes only, got {show_value(odd[0])}")
    connection.set_progress_handler(lambda: time.monotonic() > record.info.get("deadline", math.inf), INSTRUCTIONS)


def _sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("ganwatch_writes") else "BEGIN")


@contextmanager
def _begin_writing(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(ganwatch_writes=True) as connection, connection.begin():
        yield connection


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrate(engine: Engine, file: Path | None) -> None:
    """Bring the schema up to date, one process at a time."""
    if file:
        _use_wal(file)
    with _begin_writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if not _is_current(connection):
            command.upgrade(_config(connection), "head")


def _is_older(engine: Engine) -> bool:
    """Return True if the schema is that of an older version. Raises where there is none, or a newer one."""
    with engine.begin() as connection:
        if MigrationContext.configure(connection).get_current_revision() is None:
            raise UserError("store must have a schema, got a database without one; a training with this store creates it")
        return not _is_current(connection)


def _migrate_to_read(address: URL, file: Path | None) -> None:
    """Bring the schema up to date through an engine that writes, which is closed again."""
    engine = _engine(address, file, create=True)
    try:
        _migrate(engine, file)
    except (OSError, SQLAlchemyError, sqlite3.Error, CommandError) as error:
        reason = _reason(error, address)
        raise UserError(
            f"store must have this version's schema, got an older one that cannot be migrated here ({reason}); a training migrates it"
        ) from None
    finally:
        engine.dispose()


def _is_current(connection: Connection) -> bool:
    """Return True if the schema is this version's. Raises where it is a newer one."""
    scripts = ScriptDirectory.from_config(_config())
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        got = f"revision {show_value(current)}; update ganwatch"
        raise UserError(f"store must have a schema that this version of ganwatch knows, got {got}")
    return current == scripts.get_current_head()


def _use_wal(file: Path, timeout: float = 10.0) -> None:
    """Switch to a write-ahead log. SQLite does not always wait for another process that does the same, so this function does."""
    deadline = time.monotonic() + timeout
    with closing(sqlite3.connect(file, timeout=0)) as connection:
        connection.execute("PRAGMA page_size=8192")  # holds three blocks of readings, 4096 only one; no effect on a file with content
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def _without_password(address: URL) -> str:
    if address.get_backend_name() == "sqlite":
        return repr(address.database)
    return str(URL.create(address.drivername, host=address.host, port=address.port, database=address.database))


def _reason(error: Exception, address: URL) -> str:
    lines = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    for secret in (str(address.password or ""), str(address.query.get("password", ""))):
        reason = reason.replace(secret, "***") if secret else reason
    return reason
