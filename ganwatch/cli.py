"""``ganwatch``: every module in ``ganwatch.commands`` is a sub-command."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

import ganwatch
from ganwatch import commands
from ganwatch.errors import UserError


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
    """Run one command; 2 for bad input."""
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
