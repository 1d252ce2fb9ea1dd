"""``ganwatch train``: train the reference GAN from a configuration file."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ganwatch.commands._terminal import print_text

if TYPE_CHECKING:
    from lightning import Callback

    from ganwatch.trainer.data import GANData

START = """a configuration must be given, got no argument. Start with one of examples/configs, or write down every key:
  ganwatch train --config examples/configs/digits.yaml
  ganwatch train --print_config > gan.yaml
ganwatch train --help lists the keys."""
"""Advice to a person who gives no argument."""
HELP = "train the reference GAN from a configuration file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Pass all arguments, ``--help`` too, to LightningCLI, whose options are the keys of the configuration."""
    parser.prefix_chars = "\0"  # otherwise argparse refuses leading options as unknown ones of its own
    parser.add_argument("arguments", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    """Train or resume, and print a summary; return 130 after Ctrl-C, 2 without arguments."""
    if not args.arguments:
        print_text(*f"ganwatch train: {START}".split("\n"), file=sys.stderr)
        return 2
    from ganwatch.session.lightning import GanWatch
    from ganwatch.trainer.cli import TrainCLI
    from ganwatch.trainer.run import silence_lightning
    from ganwatch.trainer.summary import report, summary

    stopped = False
    with silence_lightning():
        cli = TrainCLI(args.arguments, build_callbacks=build_callbacks)
        try:
            cli.fit()
        except KeyboardInterrupt:
            stopped = True
    watch = next(callback for callback in cli.trainer.callbacks if isinstance(callback, GanWatch))  # type: ignore[attr-defined]  # set by a connector
    if watch.observer is not None:
        print_text("", *report(summary(watch), cli.config.store, stopped=stopped))
    elif not (watch.disabled or stopped):
        print_text(f"All {cli.config.steps} steps are done: pass a larger --steps to continue.")
    print_text(f"{cli.model.g_updates} updates of the generator in {cli.root}")
    return 130 if stopped else 0


def build_callbacks(config: Any, data: GANData) -> list[Callback]:
    """Create the observer and the progress bar of a run.

    Parameters
    ----------
    config : Namespace
        The effective configuration: ``root``, ``steps``, ``store``, ``seed_everything`` and the sections ``model``, ``data``, ``trainer``.
    data : GANData
        Training data; its held-out part is the reference of quality and of overfitting.
    """
    from ganwatch.session.lightning import GanWatch
    from ganwatch.trainer.progress import SignalBar

    watch = GanWatch(
        store=config.store,
        name=config.name or f"{config.model.loss} in {config.root}",
        prometheus_port=config.prometheus_port,
        heldout=data.heldout(),
        facts={"configuration": {section: config[section].as_dict() for section in ("model", "data")} | {"steps": config.steps}},
    )
    return [watch, SignalBar(watch, config.steps)]
