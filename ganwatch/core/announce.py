"""Lines that a person should see even if the program has not configured logging. They then say that ganwatch speaks."""

from __future__ import annotations

import logging

from ganwatch.core.clean_text import terminal_text

log = logging.getLogger("ganwatch")

SPEAKER = "ganwatch: "
"""Beginning of a line that is printed without the name of its logger."""


def announce(text: str, *values: object) -> None:
    """Log at INFO; if nobody has configured logging, print to standard error all the same, as Python does with warnings."""
    if log.hasHandlers() or log.level > logging.INFO:
        log.info(text, *values)
    elif log.manager.disable < logging.INFO:
        record = log.makeRecord(log.name, logging.INFO, __file__, 0, text, values, None)
        if log.filter(record):
            logging.StreamHandler().handle(record)


def prepare_record(record: logging.LogRecord) -> bool:
    """Prepare a record of ganwatch's logger: values in it are plain text, and it says who speaks.

    It begins with the name of ganwatch if nobody has configured logging, because Python then prints the bare message.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(value if isinstance(value, int | float) else terminal_text(value) for value in record.args)
    if not log.hasHandlers() and not str(record.msg).startswith(SPEAKER):
        record.msg = f"{SPEAKER}{record.msg}"
    return True


log.addFilter(prepare_record)
