"""LightningCLI for the reference trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from lightning.pytorch.cli import LightningCLI

from ganwatch.core.errors import UserError, show_error, show_value
from ganwatch.trainer.config_files import check_config_files
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.resume import CHECKPOINT_NAME, AtomicCheckpointIO, ExactResume, SaveLast
from ganwatch.trainer.run import QUIET_TRAINER, find_checkpoint, reraise_keyboard_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightning import Callback, Trainer
    from lightning.pytorch.cli import LightningArgumentParser


class TrainCLI(LightningCLI):
    """Parses a configuration, creates module, data and trainer, and trains with ``fit``.

    The effective configuration is written to ``root / "config.yaml"`` when the training starts.

    Parameters
    ----------
    args : sequence of str
        Command line, such as ``["--config", "ring.yaml", "--steps", "100"]``.
    build_callbacks : callable
        Returns further callbacks for the effective configuration and the data.
    """

    def __init__(self, args: Sequence[str], *, build_callbacks: Callable[[Any, GANData], list[Callback]]) -> None:
        self._build_callbacks = build_callbacks
        super().__init__(
            GAN,
            GANData,
            args=list(args),
            run=False,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            trainer_defaults=dict(QUIET_TRAINER),
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "ganwatch train"},
        )

    def fit(self) -> None:
        """Train; with ``--resume`` from the last checkpoint in ``root``."""
        checkpoint = find_checkpoint(self.root, self.resume)
        if checkpoint is None and (self.root / CHECKPOINT_NAME).exists():
            raise UserError(f"root must be a folder without {CHECKPOINT_NAME}, or add --resume to continue from it, got {self.root}")
        with reraise_keyboard_interrupt():
            self.trainer.fit(self.model, datamodule=self.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None)

    @property
    def root(self) -> Path:
        """The folder of the run."""
        return Path(self.config.root)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ganwatch's own keys to those of Lightning."""
        parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in the folder of the run")
        parser.add_argument("--steps", type=int, default=2000, help="updates of the generator")
        parser.add_argument("--root", type=str, default="runs/gan", help="folder of the checkpoint and the effective configuration")
        parser.add_argument("--checkpoint_every", type=int, default=200, help="updates of the generator between two checkpoints")
        parser.add_argument("--store", type=str, default="runs", help="folder or SQLAlchemy URL of the store")
        parser.add_argument("--name", type=Optional[str], default=None, help="name of the run")  # noqa: UP045  # jsonargparse's own form
        parser.add_argument("--prometheus_port", type=Optional[int], default=None, help="export at this port of 127.0.0.1")  # noqa: UP045

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse ``args``, not the command line of the process; ``resume`` is not part of the configuration."""
        check_config_files(args)
        try:
            self.config = parser.parse_args(args)
        except (ValueError, OverflowError, RecursionError) as error:  # jsonargparse itself exits where it finds a mistake
            raise UserError(f"arguments must be a configuration that can be read, got {show_error(error)}") from error
        self.resume, self.config.resume = "--resume" in args, False
        seed = self.config.seed_everything
        if not isinstance(seed, bool) and (seed is None or not 0 <= seed < 2**32):
            raise UserError(f"seed_everything must be in [0, 2**32), got {show_value(seed)}")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Create the trainer: it counts updates of the generator and saves all that an exact resume needs."""
        steps = self.config.steps
        if steps < 1:
            raise UserError(f"steps must be >= 1 (updates of the generator), got {steps}")
        own = [*self._build_callbacks(self.config, self.datamodule), ExactResume(), SaveLast(self.root, self.config.checkpoint_every)]
        given = self.config_init.trainer
        kwargs |= {
            "callbacks": [*(given.callbacks or []), *own],
            "plugins": [*(given.plugins or []), AtomicCheckpointIO()],
            "max_steps": self.model.optimizer_steps(steps),
            "default_root_dir": self.root,
        }
        return super().instantiate_trainer(**kwargs)
