"""Parser of the command line, whose errors are one line, and the numbers that it checks."""

from __future__ import annotations

import argparse
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ganwatch.commands._terminal import print_text
from ganwatch.core.argument_checks import check_integer, check_text, shorten
from ganwatch.core.errors import UserError


@dataclass(frozen=True)
class WholeNumber:
    """Type of an option that is a whole number, both bounds included."""

    low: int
    high: int | None = None
    unit: str = ""

    def __call__(self, text: str) -> int:
        """Return the number; ``CommandParser.check`` compares it with the bounds."""
        try:
            return int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, got {shorten(repr(text))}") from None


def finite_number(text: str) -> float:
    """Return a number that is neither NaN nor infinite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {shorten(repr(text))}")
    return value


class CommandParser(argparse.ArgumentParser):
    """Parser of ``ganwatch`` and of each of its commands."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        print_text(f"{self.prog}: {describe_error(message, self.prog)}", file=sys.stderr)
        self.exit(2)

    def check(self, args: argparse.Namespace) -> None:
        """Compare what was given with the bounds of numbers, and refuse texts that no file or database takes.

        Raises
        ------
        UserError
            An argument breaks a rule.
        """
        for action in self._actions:
            name = next((option for option in reversed(action.option_strings)), action.metavar or action.dest)
            given = getattr(args, action.dest, None)
            for value in given if isinstance(given, list) else [given]:
                if value == "" and action.option_strings:
                    raise UserError(f"{name} must have a value, got an empty text")
                if isinstance(value, str | Path):
                    check_text(str(name), str(value))
                elif isinstance(action.type, WholeNumber) and value is not None:
                    check_integer(str(name), value, action.type.low, action.type.high, action.type.unit)


def describe_error(message: str, program: str = "ganwatch") -> str:
    """Return a message of argparse as ``ARGUMENT must RULE, got VALUE``.

    >>> describe_error("argument --loss: invalid choice: 'l1' (choose from 'hinge', 'wgan-gp')")
    "--loss must be one of hinge, wgan-gp, got 'l1'"
    >>> describe_error("argument --steps: expected one argument")
    '--steps must have one value, got another number of them'
    """
    message = " ".join(message.split())
    if match := re.fullmatch(r"argument (\S+): (must .*)", message):
        return f"{match[1]} {match[2]}"
    if match := re.fullmatch(r"argument (\S+): expected (\S+) arguments?", message):
        return f"{match[1]} must have {match[2]} value{'s' * (match[2] != 'one')}, got another number of them"
    if match := re.fullmatch(r"argument (\S+): invalid choice: (.*) \(choose from (.*)\)", message):
        choices = match[3].replace("'", "")
        return f"{match[1]} must be one of {choices}, got {shorten(match[2])}"
    if match := re.fullmatch(r"unrecognized arguments: (.*)", message):
        return f"arguments must be those of {program} --help, got {match[1]}"
    if match := re.fullmatch(r"the following arguments are required: (.*)", message):
        return f"{match[1]} must be given, got nothing"
    return message
