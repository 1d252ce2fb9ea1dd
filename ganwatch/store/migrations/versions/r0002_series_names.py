"""New names of five families of series, in readings, rollups, evidence and incidents, and of one key in drift checks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ganwatch.store.migrations.family_names import rename_families

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
    rename_families(NEW_NAMES)
    _rename_in_drift_checks("moved", "changed_columns")


def downgrade() -> None:
    """Write the old names."""
    rename_families({new: old for old, new in NEW_NAMES.items()})
    _rename_in_drift_checks("changed_columns", "moved")


def _rename_in_drift_checks(old_key: str, new_key: str) -> None:
    """Rename a key in the details of drift checks in the audit log."""
    connection = op.get_bind()
    table = sa.table("audit", sa.column("id", sa.Integer), sa.column("action", sa.String), sa.column("detail", sa.JSON))
    renamed = [
        {"old_id": number, "new_detail": {new_key if key == old_key else key: value for key, value in detail.items()}}
        for number, detail in connection.execute(sa.select(table.c.id, table.c.detail).where(table.c.action == "drift checked"))
        if isinstance(detail, dict) and old_key in detail
    ]
    if renamed:
        update = table.update().where(table.c.id == sa.bindparam("old_id")).values(detail=sa.bindparam("new_detail", type_=sa.JSON))
        connection.execute(update, renamed)
