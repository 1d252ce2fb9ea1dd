"""Run by Alembic for every command, with the connection that ``ganwatch.store.database`` passes."""

from __future__ import annotations

from alembic import context

from ganwatch.store.tables import Base

if __name__ == "env_py":  # the name under which Alembic loads this file, as opposed to a plain import
    context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
    context.run_migrations()
