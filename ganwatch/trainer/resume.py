"""Exact resume: random states in the Lightning checkpoint, and checkpoint files that a kill cannot truncate."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins import TorchCheckpointIO

from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from lightning.fabric.utilities.types import _PATH

    from ganwatch.trainer.module import GAN

CHECKPOINT_NAME = "last.ckpt"
"""File name of the checkpoint in the folder of a run."""


class ExactResume(lightning.Callback):
    """Saves the random states of torch, NumPy and Python with the checkpoint, as plain types, and restores them.

    Together with batches that know their position (``ganwatch.trainer.data.Batches``), a resumed run equals an uninterrupted one bit
    for bit, on one device and the same machine.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the random states, as tensors, lists and numbers."""
        return random_state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until the training starts."""
        self._pending = state_dict

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Restore the states, after everything that the set-up drew."""
        if self._pending is not None:
            restore_random_state(self._pending)
            self._pending = None


class SaveLast(Checkpoint):
    """Saves one checkpoint, ``folder / "last.ckpt"``, every ``every`` updates of the generator and after the last update.

    Lightning's own callback counts the steps of both optimizers together and can miss a multiple.

    Parameters
    ----------
    folder : path
        Created if it is missing.
    every : int, updates of G
        Interval between two checkpoints.
    """

    def __init__(self, folder: Path, every: int) -> None:
        if every < 1:
            raise UserError(f"checkpoint_every must be >= 1 (updates of the generator), got {every}")
        self.folder, self.every = folder, every
        self._saved = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Count the updates of a resumed checkpoint as saved."""
        self._saved = cast("GAN", pl_module).g_updates

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Save if a checkpoint is due."""
        updates = cast("GAN", pl_module).g_updates
        if updates // self.every > self._saved // self.every or (trainer.global_step >= trainer.max_steps > 0 and updates > self._saved):
            self._saved = updates
            trainer.save_checkpoint(self.folder / CHECKPOINT_NAME)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a file next to the target, then renames it.

    Lightning's own writer uses the temporary directory, which may be on another file system. Its last act is then a copy, and a kill
    during the copy leaves a truncated file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:  # noqa: ARG002  # the base's signature
        """Write the checkpoint to a local path; the former file stays until the new one is complete and on disk."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)


def random_state() -> dict[str, Any]:
    """Return the global random states as plain types that ``torch.load(weights_only=True)`` accepts."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002  # the global state is what is saved
    state = {
        "torch": torch.get_rng_state(),
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "python": [version, list(internal), gauss],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Restore a state of ``random_state``."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.asarray(keys, np.uint32), *rest))  # noqa: NPY002  # the global state is what is restored
    torch.set_rng_state(state["torch"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
