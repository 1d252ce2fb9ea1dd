"""LightningCLI for the reference trainer."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningCLI

from ganwatch.core.argument_checks import (
    MAX_COUNT,
    MAX_SEED,
    check_free_port,
    check_integer,
    check_output_folder,
    check_output_store,
    check_text,
    shorten,
)
from ganwatch.core.errors import UserError
from ganwatch.trainer.config_errors import ConfigErrors
from ganwatch.trainer.config_file import check_yaml, config_files, read_config
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.resume import CHECKPOINT_NAME, AtomicCheckpointIO, ExactResume, SaveLast
from ganwatch.trainer.run import QUIET_TRAINER, find_checkpoint, reraise_keyboard_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
            parser_kwargs={"prog": "ganwatch train", "exit_on_error": False},
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
        for word in args:
            check_text("arguments", word)
        files = {path: read_config(path) for path in config_files(args)}
        for word in args:
            check_yaml(word.partition("=")[2] if word.startswith("-") else word, "on the command line")
        defaults = parser.get_defaults()
        self._errors = ConfigErrors(args, files, list(defaults.keys()))
        try:
            self.config = parser.parse_args(args)
        except (argparse.ArgumentError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise UserError(self._errors.describe(getattr(error, "message", None) or str(error))) from error
        self.resume, self.config.resume = "--resume" in args, False
        with self._named_errors():
            for key, default in defaults.items():
                if default is not None and self.config.get(key) is None:
                    raise UserError(f"{key} must have a value, got null")
            self._check_own()

    def _check_own(self) -> None:
        """Check the keys that are ganwatch's own."""
        config, seed = self.config, self.config.seed_everything
        if not isinstance(seed, bool) and not 0 <= seed <= MAX_SEED:
            raise UserError(f"seed_everything must be in [0, 2**32), got {shorten(seed)}")
        for key in ("steps", "checkpoint_every"):
            check_integer(key, config[key], 1, MAX_COUNT, "updates of the generator")
        check_free_port("prometheus_port", config.prometheus_port)
        check_output_folder("root", config.root)
        check_output_store("store", config.store)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Give the key of an error its full name, and name the file that holds it."""
        try:
            yield
        except UserError as error:
            raise UserError(self._errors.add_place(str(error))) from error

    def instantiate_classes(self) -> None:
        """Create data, networks and trainer."""
        with self._named_errors():
            try:
                super().instantiate_classes()
            except (MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
                    raise
                raise UserError("model must have networks that fit into memory, got larger ones") from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Create the trainer: it counts updates of the generator and saves all that an exact resume needs."""
        own = [*self._build_callbacks(self.config, self.datamodule), ExactResume(), SaveLast(self.root, self.config.checkpoint_every)]
        given = self.config_init.trainer
        kwargs |= {
            "callbacks": [*(given.callbacks or []), *own],
            "plugins": [*(given.plugins or []), AtomicCheckpointIO()],
            "max_steps": self.model.optimizer_steps(self.config.steps),
            "default_root_dir": self.root,
        }
        try:
            return super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"trainer must have arguments that lightning.Trainer takes: {shorten(' '.join(str(error).split()))}") from error
