"""Trainings in forked processes that may kill themselves, for scripts that run in an empty folder."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


def start(train: Callable[..., None], name: str, *, kill: bool = False, **how: Any) -> None:
    """Train in a folder of that name and wait for the end, which is a kill or none."""
    folder = Path(name)
    folder.mkdir(exist_ok=True)
    if child := os.fork():
        status, expected = os.waitpid(child, 0)[1], signal.SIGKILL if kill else 0
        if status != expected:
            raise SystemExit(f"{name}: ended with status {status} instead of {expected}")
        return
    try:
        train(folder, kill=kill, **how)
    except BaseException:
        logging.getLogger("ganwatch").exception("failed")
        os._exit(1)
    os._exit(0)
