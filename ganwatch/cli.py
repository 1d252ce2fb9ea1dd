"""``ganwatch``: every module in ``ganwatch.commands`` whose name has no leading underscore is a sub-command."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

import ganwatch
from ganwatch import commands
from ganwatch.commands._failure import report_failure
from ganwatch.commands._parser import CommandParser
from ganwatch.commands._terminal import print_text
from ganwatch.core.errors import UserError

PIPE_CLOSED = 141
"""Exit code that a shell reports for a program ended by SIGPIPE."""


def parser() -> CommandParser:
    """Build the command line with all sub-commands; none of their dependencies is imported."""
    top = CommandParser(prog="ganwatch", description="Watches GAN training and names the failure, with evidence.")
    top.add_argument("--version", action="version", version=f"ganwatch {ganwatch.__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for info in sorted(pkgutil.iter_modules(commands.__path__), key=lambda info: info.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{commands.__name__}.{info.name}")
        sub = subparsers.add_parser(
            info.name.replace("_", "-"), help=module.HELP, description=module.HELP, parents=getattr(module, "PARENTS", ())
        )
        module.add_arguments(sub)
        sub.set_defaults(handler=module.run, parser=sub)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 2 for bad input, 1 for an error that nobody foresaw, 141 if the reader of the output has gone."""
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:
            print(end="", flush=True)  # noqa: T201  # does nothing without a standard output
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at exit
        return PIPE_CLOSED


def _run(words: Sequence[str]) -> int:
    command = "ganwatch"
    try:
        arguments, unknown = parser().parse_known_args(words)
        command = f"ganwatch {arguments.command}"
        if unknown:
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        arguments.parser.check(arguments)
        return int(arguments.handler(arguments))
    except UserError as error:
        for line in error.lines:
            print_text(f"{command}: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, a person gets one line, and the rest is in a file
        report_failure(error, command, words)
        return 1


if __name__ == "__main__":
    sys.exit(main())
