"""``ganwatch``: every module in ``ganwatch.commands`` is a sub-command."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

import ganwatch
from ganwatch import commands
from ganwatch.core.errors import UserError

PIPE_CLOSED = 141
"""What a shell says of a program that SIGPIPE has ended."""


def parser() -> argparse.ArgumentParser:
    """The command line with all sub-commands; importing none of what they need."""
    top = argparse.ArgumentParser(prog="ganwatch", description="Watches GAN training and names the failure, with evidence.")
    top.add_argument("--version", action="version", version=f"ganwatch {ganwatch.__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for info in sorted(pkgutil.iter_modules(commands.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{commands.__name__}.{info.name}")
        sub = subparsers.add_parser(info.name.replace("_", "-"), help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub.set_defaults(handler=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 2 for bad input, 141 where nobody reads the output to its end."""
    try:
        try:
            return _run(argv)
        finally:
            print(end="", flush=True)  # noqa: T201  # where there is no standard output this is nothing
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
        return PIPE_CLOSED


def _run(argv: Sequence[str] | None) -> int:
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.handler(arguments))
    except UserError as error:
        print(f"ganwatch {arguments.command}: {error}", file=sys.stderr)  # noqa: T201  # this is the command line
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
