"""Versions of models with their files, aliases, and a revision that every change of the version in use counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables of models and versions, which nothing has written to before, and add that of aliases."""
    with op.batch_alter_table("model") as table:
        table.drop_column("current_version")
        table.drop_column("last_good_version")
        table.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("model_version") as table:
        table.add_column(sa.Column("sha256", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("path", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("size", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("step", sa.Integer(), nullable=True))
        table.add_column(sa.Column("parent", sa.Integer(), nullable=True))
        table.add_column(sa.Column("declared", sa.JSON(), nullable=False, server_default="{}"))
        table.create_unique_constraint("uq_model_version_model_id_sha256", ["model_id", "sha256"])
    op.create_table(
        "model_alias",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_model_alias_model_id")),
        sa.PrimaryKeyConstraint("model_id", "alias", name=op.f("pk_model_alias")),
    )


def downgrade() -> None:
    """Drop the table of aliases and restore the others."""
    op.drop_table("model_alias")
    with op.batch_alter_table("model_version") as table:
        table.drop_constraint("uq_model_version_model_id_sha256", type_="unique")
        for name in ("declared", "parent", "step", "size", "path", "sha256"):
            table.drop_column(name)
    with op.batch_alter_table("model") as table:
        table.drop_column("revision")
        table.add_column(sa.Column("last_good_version", sa.Integer(), nullable=True))
        table.add_column(sa.Column("current_version", sa.Integer(), nullable=True))
