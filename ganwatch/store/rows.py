"""Rows of a store as records: what another program wrote there, or what is damaged, is refused with its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.plain_records import read_record
from ganwatch.store.strict_json import decode

MAX_JSON = 2**21
"""Longest JSON of a cell, in characters."""
_KEYS = ("run_id", "id", "attempt", "series", "block")
_JSON_COLUMNS = ("provenance", "outcome", "extras", "detail", "verdict", "scores", "declared")

T = TypeVar("T")


class UnreadableStoreError(UserError):
    """The database cannot be read, now or because it is damaged."""


class MalformedRowError(UserError):
    """A row of the store holds what ganwatch does not write."""


@contextmanager
def readable(store: str) -> Iterator[None]:
    """Turn errors of the database within the block into ``UnreadableStoreError``."""
    try:
        yield
    except SQLAlchemyError as error:
        raise UnreadableStoreError(f"store must be a database that can be read, got {store}: {_reason(error)}") from error


@contextmanager
def writable(store: str) -> Iterator[None]:
    """Turn errors of the database within the block into a ``UserError``, for what a person has asked to be written."""
    try:
        yield
    except SQLAlchemyError as error:
        raise UserError(f"store must be a database that can be written, got {show_value(store)}: {_reason(error)}") from error


def _reason(error: SQLAlchemyError) -> str:
    lines = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def row_of(table: str, row: Mapping[Any, Any]) -> Iterator[None]:
    """Name the table and the row in errors of the block."""
    try:
        yield
    except UserError as error:
        key = ", ".join(f"{name} {show_value(row[name])}" for name in row if name in _KEYS)
        raise MalformedRowError(f"store must hold rows as ganwatch writes them, got one of {table} ({key}) in which {error}") from error


def read_row(cls: type[T], table: str, row: Mapping[Any, Any], change: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> T:
    """Create a record from a row.

    Parameters
    ----------
    cls : dataclass
    table : str
        Name of the table in errors.
    row : mapping
        Cells by column. JSON cells are decoded, ``run_id`` becomes ``run``, and so on.
    change : callable
        Returns the fields of the record for those of the row.

    Raises
    ------
    MalformedRowError
        A cell has another type.
    """
    with row_of(table, row):
        cells = {str(name).removesuffix("_id"): decode(value) if name in _JSON_COLUMNS else value for name, value in row.items()}
        return read_record(cls, change(cells))


def parse_json(text: Any) -> Any:
    """Return the value of a JSON cell; the text itself if it is none, so that one malformed record does not hide all others."""
    try:
        return json.loads(text) if len(text) <= MAX_JSON else text
    except (ValueError, RecursionError, TypeError):
        return text
