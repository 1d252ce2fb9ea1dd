"""Lines that a person should see at the start and the end of a run, even if the program has not configured logging."""

from __future__ import annotations

import logging

log = logging.getLogger("ganwatch")


def announce(text: str, *values: object) -> None:
    """Log at INFO; if nobody has configured logging, print to standard error all the same, as Python does with warnings."""
    if log.hasHandlers() or log.level > logging.INFO:
        log.info(text, *values)
    elif log.manager.disable < logging.INFO:
        logging.StreamHandler().handle(log.makeRecord(log.name, logging.INFO, __file__, 0, text, values, None))
