"""Stand-in for a watch under GANWATCH_DISABLED=1."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from ganwatch.checkpoints.folder import CheckpointFolder
from ganwatch.checkpoints.manifest import Manifest
from ganwatch.checkpoints.snapshot import SnapshotBuffer
from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.errors import UserError
from ganwatch.distributed.rank_detection import current_rank
from ganwatch.session.checkpoint_book import check_parts

log = logging.getLogger("ganwatch")


class DisabledWatch:
    """Accepts every call and does nothing, but passes a loaded state on to the next checkpoint."""

    _state: Mapping[str, Any] = MappingProxyType({})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._state = state

    def checkpoint(
        self,
        folder: str | Path,
        parts: Mapping[str, Any],
        *,
        keep: int = 5,
        copy_to: str | None = None,  # noqa: ARG002  # copied by a thread, of which there is none
    ) -> None:
        """Save a checkpoint now, which the loop relies on, and keep the newest of its own, neither read back nor copied; rank 0 saves.

        Its number follows the largest one in the folder, as no steps are counted.
        """
        check_parts(folder, parts, keep)
        if current_rank():
            return
        place = CheckpointFolder(folder)
        try:
            step = max([int(path.name.split("-")[1]) for path in place.checkpoints()], default=0) + 1
            manifest = Manifest(step, dict.fromkeys(parts, step), {}, created=time.time())
            self._saved = (*self._saved, place.write(SnapshotBuffer().copy(parts), manifest))
            place.mark_latest(self._saved[-1])
            for old in self._saved[:-keep]:
                place.remove(old)
            self._saved = self._saved[-keep:]
        except UserError:
            if not self._saved:
                raise
            log.exception("a checkpoint could not be written to %s; training continues", folder)
        except Exception:
            log.exception("a checkpoint could not be written to %s; training continues", folder)

    checkpoints: tuple[SavedCheckpoint, ...] = ()
    _saved: tuple[Path, ...] = ()

    def wait_for_checkpoints(self, timeout: float = 0.0) -> bool:  # noqa: ARG002  # each is written when the call returns
        return True

    def _ignore(self, *_: Any, **__: Any) -> None:
        pass

    real = fake = log = close = status = _ignore
