"""New names of five families of series, in readings, rollups, evidence and incidents, and of one key in drift checks."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEW_NAMES = {
    "kinds": "modes",
    "kinds_missing": "modes_missing",
    "groups_off": "groups_off_target",
    "output_slope": "output_gradient",
    "copies": "copy_share",
}
"""Old to new family name."""


def upgrade() -> None:
    """Write the new names."""
    _rename_everywhere(NEW_NAMES)
    _rename_in_drift_checks("moved", "changed_columns")


def downgrade() -> None:
    """Write the old names."""
    _rename_everywhere({new: old for old, new in NEW_NAMES.items()})
    _rename_in_drift_checks("changed_columns", "moved")


def _rename_everywhere(names: Mapping[str, str]) -> None:
    connection = op.get_bind()
    for name in ("reading_block", "rollup"):
        _rename_series(connection, name, names)
    for name, key in (("evidence", ("id",)), ("incident", ("run_id", "id"))):
        _rename_in_verdicts(connection, name, key, names)


def _rename_in_drift_checks(old_key: str, new_key: str) -> None:
    """Rename a key in the details of drift checks in the audit log."""
    connection = op.get_bind()
    table = sa.table("audit", sa.column("id", sa.Integer), sa.column("action", sa.String), sa.column("detail", sa.JSON))
    renamed = [
        {"old_id": number, "new_detail": {new_key if key == old_key else key: value for key, value in detail.items()}}
        for number, detail in connection.execute(sa.select(table.c.id, table.c.detail).where(table.c.action == "drift checked"))
        if old_key in detail
    ]
    if renamed:
        update = table.update().where(table.c.id == sa.bindparam("old_id")).values(detail=sa.bindparam("new_detail", type_=sa.JSON))
        connection.execute(update, renamed)


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
        new = _new_name(verdict.get("signal", ""), names)
        if new != verdict.get("signal", ""):
            row_key = {f"old_{part}": value for part, value in zip(key, values, strict=True)}
            renamed.append(row_key | {"new_verdict": verdict | {"signal": new}})
    if renamed:
        old = [column == sa.bindparam(f"old_{column.name}") for column in columns]
        connection.execute(table.update().where(*old).values(verdict=sa.bindparam("new_verdict", type_=sa.JSON)), renamed)


def _new_name(series: str, names: Mapping[str, str]) -> str:
    """Rename the family of a series and keep its label."""
    family, slash, label = series.partition("/")
    return names.get(family, family) + slash + label
