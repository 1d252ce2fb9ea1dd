"""Verifies the checkpoints that Lightning writes: each file is looked for after its save, and read back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganwatch.checkpoints.reader import identify_file
from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.guard import Guard

WAIT = 60.0
"""Longest time that the end of the training waits for saves of an asynchronous ``CheckpointIO``, in seconds."""


class CheckpointTap:
    """Sees the saves and removals of a ``CheckpointIO``.

    An asynchronous one has another one within it, which writes in a thread: that one is watched.

    Parameters
    ----------
    checkpoint_io : CheckpointIO
        Methods of the object are wrapped until ``finish``.
    step : callable
        Returns the present step.
    on_saved : callable
        Called with each checkpoint that was saved or could not be, in the thread that saves.
    on_removed : callable
        Called with the path of each checkpoint that was removed.
    """

    def __init__(
        self, checkpoint_io: Any, step: Callable[[], int], on_saved: Callable[[SavedCheckpoint], None], on_removed: Callable[[str], None]
    ) -> None:
        self._outer = self._io = checkpoint_io
        while getattr(self._io, "checkpoint_io", None) is not None:
            self._io = self._io.checkpoint_io
        self._step, self._on_saved, self._on_removed = step, on_saved, on_removed
        self._guard = Guard()
        self._condition = threading.Condition()
        self._steps: list[int] = []
        """Step of each save that is not made yet."""
        self._save, self._remove = self._io.save_checkpoint, self._io.remove_checkpoint
        self._io.save_checkpoint, self._io.remove_checkpoint = self._save_checkpoint, self._remove_checkpoint
        if self._outer is not self._io:
            self._ask = self._outer.save_checkpoint
            self._outer.save_checkpoint = self._ask_for_checkpoint

    def finish(self, state: str) -> None:
        """Wait for saves that another thread makes, unless the training has failed, and give the objects their own methods back."""
        with self._condition:
            self._condition.wait_for(lambda: not self._steps, WAIT if state != "failed" else 0.0)
        for one in (self._outer, self._io):
            for name in ("save_checkpoint", "remove_checkpoint"):
                vars(one).pop(name, None)

    def _ask_for_checkpoint(self, *args: Any, **options: Any) -> Any:
        with self._condition:
            self._steps.append(self._step())
        return self._ask(*args, **options)

    def _save_checkpoint(self, checkpoint: Any, path: Any, *args: Any, **options: Any) -> Any:
        step, before = self._steps[0] if self._steps else self._step(), identify_file(path)
        fault = ""
        try:
            return self._save(checkpoint, path, *args, **options)
        except BaseException as error:
            fault = str(error) or type(error).__name__
            raise
        finally:
            self._guard("checkpoints", lambda: self._report(path, step, fault, before))
            with self._condition:
                del self._steps[:1]
                self._condition.notify_all()

    def _report(self, path: Any, step: int, fault: str, before: object) -> None:
        """Pass on what a save has left at its path."""
        now = identify_file(path)
        if "://" in str(path):
            return
        if not fault and now is None:
            fault = "Lightning reported success, and the file is not there"
        elif not fault and now == before:
            fault = "Lightning reported success, and the file is still the one of before"
        self._on_saved(SavedCheckpoint(str(Path(path).absolute()), step, created=time.time(), fault=fault))

    def _remove_checkpoint(self, path: Any, *args: Any, **options: Any) -> Any:
        result = self._remove(path, *args, **options)
        self._on_removed(str(Path(path).absolute()))
        return result

