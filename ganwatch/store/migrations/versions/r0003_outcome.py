"""Outcome of a run, and the name of the number of updates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ganwatch.store.migrations.family_names import rename_families

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the outcome, empty for the runs that are there, and write the new name."""
    op.add_column("run", sa.Column("outcome", sa.JSON(), nullable=False, server_default="{}"))
    rename_families({"updates": "updates_performed"})


def downgrade() -> None:
    """Drop the outcome and write the old name."""
    op.drop_column("run", "outcome")
    rename_families({"updates_performed": "updates"})
