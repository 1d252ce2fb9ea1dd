"""Train the reference GAN from a configuration file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning import Callback

HELP = "train the reference GAN from a configuration file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Leave every argument, ``--help`` too, to LightningCLI, whose options are the keys of the configuration."""
    parser.prefix_chars = "\0"  # without it argparse takes the options that come first for its own and refuses them
    parser.add_argument("arguments", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    """Train, or go on training."""
    from ganwatch.trainer.cli import TrainCLI
    from ganwatch.trainer.run import quiet

    with quiet():
        cli = TrainCLI(args.arguments, build_callbacks=build_callbacks)
        cli.fit()
    print(f"{cli.model.g_updates} updates of the generator in {cli.root}")
    return 0


def build_callbacks(config: Any) -> list[Callback]:
    """The callbacks of a run besides those that save it.

    Parameters
    ----------
    config : Namespace
        The effective configuration: ``root``, ``steps``, ``seed_everything`` and the sections ``model``, ``data``, ``trainer``.
    """
    del config
    return []
