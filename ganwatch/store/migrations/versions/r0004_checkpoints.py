"""Checkpoints with their fault, and verdicts on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the table of checkpoints, which nothing has written to before, and add that of verdicts."""
    with op.batch_alter_table("checkpoint") as table:
        table.drop_column("verdict")
        table.add_column(sa.Column("fault", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("removed", sa.Float(), nullable=True))
        table.drop_constraint("uq_checkpoint_run_id_path_sha256", type_="unique")
        table.create_unique_constraint("uq_checkpoint_run_id_path_sha256_step", ["run_id", "path", "sha256", "step"])
    op.create_table(
        "checkpoint_verdict",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("quality", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_checkpoint_verdict_checkpoint_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoint_verdict")),
    )
    op.create_index(op.f("ix_checkpoint_verdict_checkpoint_id"), "checkpoint_verdict", ["checkpoint_id"], unique=False)


def downgrade() -> None:
    """Drop the table of verdicts and restore that of checkpoints."""
    op.drop_index(op.f("ix_checkpoint_verdict_checkpoint_id"), table_name="checkpoint_verdict")
    op.drop_table("checkpoint_verdict")
    with op.batch_alter_table("checkpoint") as table:
        table.drop_constraint("uq_checkpoint_run_id_path_sha256_step", type_="unique")
        table.create_unique_constraint("uq_checkpoint_run_id_path_sha256", ["run_id", "path", "sha256"])
        table.drop_column("removed")
        table.drop_column("fault")
        table.add_column(sa.Column("verdict", sa.String(), nullable=False, server_default="unknown"))
