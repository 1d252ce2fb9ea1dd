"""Report of an error that nobody foresaw: one line for the person, and a private file with everything for who mends it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence

import ganwatch
from ganwatch.commands._terminal import print_text
from ganwatch.core.provenance import mask_passwords

MAX_MESSAGE = 300
"""Characters of the error's message that the line shows."""


def report_failure(error: Exception, command: str, words: Sequence[str]) -> None:
    """Write the traceback to a file that only this user may read, and one line to standard error."""
    trace = "".join(traceback.format_exception(error))
    header = [f"ganwatch {ganwatch.__version__}, Python {platform.python_version()}, {platform.platform()}", *map(mask_passwords, words)]
    message = " ".join(mask_passwords(str(error)).split())[:MAX_MESSAGE]
    line = f"{command}: {type(error).__name__}{f': {message}' if message else ''}; this is a fault of ganwatch, not of your input"
    try:
        handle, path = tempfile.mkstemp(prefix="ganwatch-error-", suffix=".txt")  # mode 0600
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join([*header, "", mask_passwords(trace)]))
    except OSError as reason:
        line = f"{line}; no file with the details could be written ({reason.strerror}), they follow"
        print_text(line, *trace.split("\n"), file=sys.stderr)
    else:
        print_text(f"{line}. Please report it to the maintainers, with the details in {path}", file=sys.stderr)
