"""Calls of ``ganwatch``'s commands beneath the handlers of the command line."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from ganwatch import cli
from ganwatch.core.errors import UserError

EXIT_CODES = {0, 1, 2, 3, 10, 11, 12}


class CodeError(AssertionError):
    """A command returned an exit code that none documents."""


def run_command(*words: str) -> tuple[int, str]:
    """Return the exit code and the standard output. ``UserError`` is raised; a wrong command line is one."""
    handlers = ("strict", "backslashreplace")  # as Python's own
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors=handler, newline="") for handler in handlers)
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            arguments = _parse(words)
            code = int(arguments.handler(arguments))
        except SystemExit as error:
            if error.code not in {0, 2}:
                raise
            code = int(error.code or 0)
            if code:
                errors.flush()
                raise UserError(errors.buffer.getvalue().decode().strip().splitlines()[-1][:300] or "no reason") from error  # type: ignore[attr-defined]
    for stream in (output, errors):
        stream.flush()
    text = output.buffer.getvalue().decode()  # type: ignore[attr-defined]
    if code not in EXIT_CODES:
        raise CodeError(f"exit code {code}")
    if any(not one.isprintable() and one != "\n" for one in text) and not {"-h", "--help"} & {*words}:  # others write that of train
        raise CodeError(f"unprintable output: {text!r:.300}")
    return code, text


def _parse(words: Sequence[str]) -> object:
    before, sys.argv = sys.argv, ["ganwatch", *words]
    try:
        return cli.parser().parse_args(list(words))
    finally:
        sys.argv = before
