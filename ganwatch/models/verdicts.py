"""Verdicts of today on versions: by the incidents of their runs, and by rollbacks."""

from __future__ import annotations

from collections.abc import Sequence

from ganwatch.core.checkpoints import CheckpointVerdict, Quality, SavedCheckpoint
from ganwatch.core.errors import UserError
from ganwatch.store import models, queries
from ganwatch.store.checkpoints import judge_checkpoints
from ganwatch.store.database import Store
from ganwatch.store.models import ROLLED_BACK, ModelVersion


class VersionJudge:
    """Judges the versions of one model by what the store holds when it is created.

    Parameters
    ----------
    store : Store
    model : str
        Name of the model.
    """

    def __init__(self, store: Store, model: str) -> None:
        self._store, self._changes = store, models.changes(store, model)
        self._checkpoints: dict[str, Sequence[SavedCheckpoint] | UserError] = {}
        """Judged checkpoints by run, or why they cannot be read."""

    def was_in_use(self, number: int) -> bool:
        """Return True if a version has been the current one."""
        return any(change.detail.get("version") == number for change in self._changes)

    def judge(self, version: ModelVersion) -> CheckpointVerdict:
        """Judge a version by its run, and by a rollback that nobody has taken back."""
        verdict = self.judge_by_run(version)
        concerning = [one for one in self._changes if version.version in {one.detail.get("version"), one.detail.get("previous")}]
        last = concerning[-1] if concerning else None
        if verdict.quality is Quality.BAD or last is None or last.action != ROLLED_BACK or last.detail.get("previous") != version.version:
            return verdict
        why = last.detail.get("reason")
        return CheckpointVerdict(Quality.BAD, f"rolled back by {last.actor}" + (f": {why}" if why else ""))

    def judge_by_run(self, version: ModelVersion) -> CheckpointVerdict:
        """Judge a version by the incidents of its run alone."""
        if version.run is None:
            return CheckpointVerdict(Quality.UNKNOWN, "no run is known that trained it")
        found = self._judge_run(version.run)
        if isinstance(found, UserError):  # it takes no other version with it
            return CheckpointVerdict(Quality.UNKNOWN, f"its run cannot be read: {found}")
        same = [one for one in found if one.sha256 == version.sha256 and one.step == version.step]
        return same[-1].verdict if same else CheckpointVerdict(Quality.UNKNOWN, "its run has no record of it")

    def find_last(self, versions: Sequence[ModelVersion], quality: Quality) -> ModelVersion | None:
        """Return the version, of some, that was in use last and has this verdict; None if there is none."""
        by_number = {one.version: one for one in versions}
        past = [by_number.get(change.detail.get("version", 0)) for change in reversed(self._changes)]
        return next((one for one in past if one is not None and self.judge(one).quality is quality), None)

    def _judge_run(self, run: str) -> Sequence[SavedCheckpoint] | UserError:
        if run not in self._checkpoints:
            try:
                self._checkpoints[run] = judge_checkpoints(self._store, queries.run(self._store, run))
            except UserError as error:
                self._checkpoints[run] = error
        return self._checkpoints[run]
