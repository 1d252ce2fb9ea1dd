"""Renames families of series wherever a store names them, for migrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op


def rename_families(names: Mapping[str, str]) -> None:
    """Rename families in readings, rollups, evidence and incidents.

    Parameters
    ----------
    names : mapping of str to str
        Old to new family name.
    """
    connection = op.get_bind()
    for name in ("reading_block", "rollup"):
        _rename_series(connection, name, names)
    for name, key in (("evidence", ("id",)), ("incident", ("run_id", "id"))):
        _rename_in_verdicts(connection, name, key, names)


def _rename_series(connection: sa.Connection, name: str, names: Mapping[str, str]) -> None:
    """Rename by the leading columns of the primary key, so that no statement scans the readings."""
    owner: list[sa.ColumnClause[str]] = [sa.column(column) for column in ("run_id", "attempt", "series")]
    table = sa.table(name, *owner)
    rows = connection.execute(sa.select(*owner).distinct()).all()
    renamed = [
        {"old_run": row.run_id, "old_attempt": row.attempt, "old_series": row.series, "new_series": new}
        for row in rows
        if (new := _new_name(row.series, names)) != row.series
    ]
    if renamed:
        old = [column == sa.bindparam(bind) for column, bind in zip(owner, ("old_run", "old_attempt", "old_series"), strict=True)]
        connection.execute(table.update().where(*old).values(series=sa.bindparam("new_series")), renamed)


def _rename_in_verdicts(connection: sa.Connection, name: str, key: tuple[str, ...], names: Mapping[str, str]) -> None:
    columns: list[sa.ColumnClause[str]] = [sa.column(column) for column in key]
    table = sa.table(name, *columns, sa.column("verdict", sa.JSON))
    renamed = []
    for *values, verdict in connection.execute(sa.select(*columns, table.c.verdict)):
        if not isinstance(verdict, dict):
            continue  # damaged: whoever reads it says so
        new = _new_name(verdict.get("signal", ""), names)
        if new != verdict.get("signal", ""):
            row_key = {f"old_{part}": value for part, value in zip(key, values, strict=True)}
            renamed.append(row_key | {"new_verdict": verdict | {"signal": new}})
    if renamed:
        old = [column == sa.bindparam(f"old_{column.name}") for column in columns]
        connection.execute(table.update().where(*old).values(verdict=sa.bindparam("new_verdict", type_=sa.JSON)), renamed)


def _new_name(series: Any, names: Mapping[str, str]) -> Any:
    """Rename the family of a series and keep its label; a damaged name stays."""
    if not isinstance(series, str):
        return series
    family, slash, label = series.partition("/")
    return names.get(family, family) + slash + label
