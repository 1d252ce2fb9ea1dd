"""Writes runs, readings, incidents and images to the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.incidents import Incident
from ganwatch.core.outcome import Outcome
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink
from ganwatch.store.audit_log import append_drift_check
from ganwatch.store.checkpoints import append_checkpoint
from ganwatch.store.database import DEFAULT_STORE, Store, open_store
from ganwatch.store.writer import Writer


class SqlSink(Sink):
    """Write to a SQL database, one transaction per call.

    A call that fails raises and has written nothing; it may be made again.

    Parameters
    ----------
    store : str, Path or Store
        Argument of ``open_store``, or an open store. ``close`` closes it.

    Raises
    ------
    UserError
        The store cannot be opened.
    """

    name: ClassVar[str] = "sql"
    retry_on = OperationalError, InterfaceError, InternalError, OSError

    def __init__(self, store: str | Path | Store = DEFAULT_STORE) -> None:
        self.store = store if isinstance(store, Store) else open_store(store)
        self._writer: Writer | None = None

    def start(self, run: Run) -> None:
        """Write the run and its attempt."""
        self._writer = Writer(self.store, run)
        self._writer.flush()

    def readings(self, readings: Sequence[Readings]) -> None:
        """Write readings."""
        self._open_writer().add_readings(readings)
        self._open_writer().flush()

    def incident(self, incident: Incident) -> None:
        """Write a report and add it to the evidence."""
        self._open_writer().add_incident(incident)
        self._open_writer().flush()

    def samples(self, samples: SampleImages) -> None:
        """Write images as files, and their paths to the database."""
        self._open_writer().add_samples(samples)
        self._open_writer().flush_samples()

    def outcome(self, outcome: Outcome) -> None:
        """Write what is known about the run."""
        self._open_writer().set_outcome(outcome)
        self._open_writer().flush()

    def drift(self, verdict: Mapping[str, Any]) -> None:
        """Write the verdict of a drift check to the audit log."""
        append_drift_check(self.store, self._open_writer().run.id, verdict)

    def checkpoint(self, checkpoint: SavedCheckpoint) -> None:
        """Write a checkpoint and add the verdict on it."""
        run = self._open_writer().run
        append_checkpoint(self.store, run.id, run.attempt, checkpoint)

    def finish(self, state: str) -> None:
        """Write the final state of the run."""
        self._open_writer().finish(state)
        self._open_writer().flush()

    def describe_losses(self) -> str:
        """Describe what was written and is no longer there."""
        losses = {} if self._writer is None else self._writer.losses
        return ", ".join(f"{count:,} written {kind}" for kind, count in losses.items())

    def close(self) -> None:
        """Compare what the store holds with what was written, and close it.

        Raises
        ------
        DamagedStoreError
            The store has lost something, as when its file was overwritten meanwhile.
        """
        try:
            if self._writer is not None:
                self._writer.verify()
        finally:
            self.store.close()

    @property
    def dropped(self) -> int:  # type: ignore[override]  # counted by the writer
        """Number of readings and incidents that were written and are no longer in the store, as far as is known."""
        return 0 if self._writer is None else self._writer.losses.total()

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("start(run) must come before records")
        return self._writer
