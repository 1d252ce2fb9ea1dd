"""Checkpoints of a run: saved by a guard, judged by the run's incidents, thinned out, and reported to every sink."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.checkpoints.guard import CheckpointGuard
from ganwatch.checkpoints.manifest import Manifest
from ganwatch.checkpoints.reader import CheckpointReader
from ganwatch.core.checkpoints import JUDGED_BY, SavedCheckpoint, judge_checkpoint, name_unjudged, select_kept
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident

if TYPE_CHECKING:
    from ganwatch.session.observer import Observer

INTERVAL = 100
"""Steps between two looks at verdicts that time alone changes."""


class CheckpointBook:
    """Checkpoints of one observer. ``on_flush`` and ``on_incident`` are called in the training thread, and wait for nothing.

    Parameters
    ----------
    observer : Observer
    saves : CheckpointGuard or CheckpointReader
        Writes checkpoints and has them read back, or the latter alone where somebody else writes them.
    keep : int
        Checkpoints of a guard to keep; see ``select_kept``.
    """

    def __init__(self, observer: Observer, saves: CheckpointGuard | CheckpointReader, keep: int = 1) -> None:
        self.observer, self.saves, self.keep = observer, saves, keep
        self.checkpoints: list[SavedCheckpoint] = []
        self._next_look = 0
        self._has_finished = False
        observer.add_listener(self.on_incident)
        observer.call_between_steps("checkpoints", self.on_flush)

    def create_manifest(self, parts: Mapping[str, Any]) -> Manifest:
        """Return the manifest of parts that belong to the present step."""
        step = self.observer.steps
        run = self.observer.run if self.observer.has_run else None
        provenance = {} if run is None else dict(run.provenance)
        return Manifest(step, dict.fromkeys(parts, step), {}, None if run is None else run.id, time.time(), provenance)

    def on_flush(self) -> None:
        """Take the results of saves, and judge what time has settled."""
        results = self.saves.take_results()
        for result in results:
            self._note_removed(result.path)  # by somebody, or by this one under the same name
            if not result.is_removed:
                self.checkpoints.append(result)
                self.observer.add_checkpoint(result)
        if verified := [result.is_verified for result in results if not (result.unread or result.is_removed)]:
            self.observer.add_readings({"checkpoint_verified": float(all(verified))})
        if results or self.observer.steps >= self._next_look:
            self._next_look = self.observer.steps + INTERVAL
            self._judge()

    def _note_removed(self, path: str) -> None:
        """Note that the files of a checkpoint are gone."""
        for place, one in enumerate(self.checkpoints):
            if one.path == path and not (one.is_removed or one.fault):
                self.checkpoints[place] = replace(one, is_removed=True)
                self.observer.add_checkpoint(self.checkpoints[place])

    def on_incident(self, incident: Incident) -> None:
        """Judge all checkpoints anew once an incident has fired or ended: an onset lies before the alarm."""
        if incident.fired is not None:
            self._judge()

    def finish(self, state: str) -> None:
        """Wait for what is not read back yet, and judge once more; what comes later is judged as at the end."""
        self.saves.close()
        self._has_finished = state == "finished"
        self.on_flush()
        self._judge()

    def _judge(self) -> None:
        if not self.checkpoints:
            return
        has_detector = any(detector.code in JUDGED_BY for detector in self.observer.detectors)
        missing = name_unjudged(self.observer.outcome().unjudged) if has_detector else "no detector of mode collapse"
        for place, one in enumerate(self.checkpoints):
            verdict = judge_checkpoint(one, self.observer.incidents, self.observer.steps, unjudged=missing, has_ended=self._has_finished)
            is_another = (verdict.quality, verdict.incident) != (one.verdict.quality, one.verdict.incident)
            self.checkpoints[place] = replace(one, verdict=verdict)
            if is_another:
                self.observer.add_checkpoint(self.checkpoints[place])
        if isinstance(self.saves, CheckpointGuard):
            kept = {one.path for one in select_kept(self.checkpoints, self.keep)}
            surplus = [one.path for one in self.checkpoints if one.is_verified and one.path not in kept]
            self.saves.remove([*map(Path, surplus)])
            for path in surplus:
                self._note_removed(path)


def check_parts(folder: Any, parts: Any, keep: Any) -> None:
    """Refuse arguments of ``watching.checkpoint`` that break a rule.

    Raises
    ------
    UserError
        Names the argument.
    """
    if not isinstance(folder, str | Path) or not str(folder):
        raise UserError(f"folder must be a path, got {folder!r:.100}")
    if not isinstance(parts, Mapping) or not parts or not all(isinstance(name, str) and name.isprintable() for name in parts):
        raise UserError(f"parts must be a mapping of names to networks, optimizers or states, got {type(parts).__name__} {str(parts)[:80]}")
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
        raise UserError(f"keep must be >= 1 (checkpoints), got {keep!r:.100}")
