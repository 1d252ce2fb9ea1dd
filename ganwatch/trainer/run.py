"""``fit``: trains the reference GAN for a number of updates of the generator, without output."""

from __future__ import annotations

import logging
import signal
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch

from ganwatch.core.errors import UserError
from ganwatch.trainer.resume import CHECKPOINT_NAME, AtomicCheckpointIO, ExactResume, SaveLast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ganwatch.trainer.module import GAN

QUIET_TRAINER: dict[str, Any] = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "limit_val_batches": 0,
    "devices": 1,
    "max_epochs": -1,
}
"""Arguments of a Trainer that prints nothing and writes no files."""


def fit(
    model: GAN,
    data: lightning.LightningDataModule,
    *,
    steps: int,
    callbacks: Sequence[lightning.Callback] = (),
    seed: int | None = None,
    root: Path | None = None,
    checkpoint_every: int | None = None,
    resume: Path | bool | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> lightning.Trainer:
    """Train until the generator has had ``steps`` updates.

    Parameters
    ----------
    model : GAN
        Trained in place. Seed before you create it: its initial weights are its own.
    data : LightningDataModule
        Such as ``GANData``.
    steps : int, updates of G
        Counted from the start of the run, also if it is resumed.
    callbacks : sequence of Callback
        Such as ganwatch's own.
    seed : int or None
        Seeds everything that the training draws, such as latents and dropout; None leaves the random state as it is.
    root : path or None
        Folder of the checkpoint.
    checkpoint_every : int or None, updates of G
        Interval between two checkpoints; None saves none.
    resume : path, bool or None
        Checkpoint to continue from; True takes ``root / "last.ckpt"``.
    threads : int or None
        Threads of torch during the training; None leaves them as they are.
    progress : bool
        True shows Lightning's progress bar.

    Raises
    ------
    UserError
        An argument breaks a rule, the checkpoint does not exist, or the data cannot be used.
    KeyboardInterrupt
        Ctrl-C, after every callback has handled it.
    """
    if steps < 1:
        raise UserError(f"steps must be >= 1 (updates of the generator), got {steps}")
    if checkpoint_every is not None and root is None:
        raise UserError(f"checkpoint_every needs root, the folder of the checkpoint, got checkpoint_every={checkpoint_every} and root=None")
    checkpoint = find_checkpoint(root, resume)
    if model.batches:
        raise UserError(f"model must be untrained, the checkpoint restores what it had learned, got one with {model.g_updates} updates")
    if seed is not None:
        lightning.seed_everything(seed, verbose=False)
    own: list[lightning.Callback] = [ExactResume()]
    if checkpoint_every is not None and root is not None:
        own.append(SaveLast(root, checkpoint_every))
    options = QUIET_TRAINER | {"enable_progress_bar": progress, "enable_checkpointing": len(own) > 1, "default_root_dir": root}
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with silence_lightning(), reraise_keyboard_interrupt():
            trainer = lightning.Trainer(
                **options, max_steps=model.optimizer_steps(steps), callbacks=[*callbacks, *own], plugins=[AtomicCheckpointIO()]
            )
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    finally:
        torch.set_num_threads(before)
    return trainer


def find_checkpoint(root: Path | None, resume: Path | bool | None) -> Path | None:
    """Find the checkpoint to continue from, or None.

    Raises
    ------
    UserError
        The checkpoint does not exist.
    """
    if not resume:
        return None
    if resume is True and root is None:
        raise UserError("resume=True needs root, got root=None")
    path = Path(str(root)) / CHECKPOINT_NAME if resume is True else Path(str(resume))
    if not path.is_file():
        raise UserError(f"resume must name a checkpoint, got {path}, which is not there")
    return path


@contextmanager
def silence_lightning() -> Iterator[None]:
    """Suppress Lightning's notices on hardware, workers and tips; warnings of other packages pass."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels: list[Any] = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def reraise_keyboard_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C; Lightning alone exits with code 1 and then ignores the signal."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
