"""Lightning is published under two names, whose classes are not the same: what a callback for both needs.

``CALLBACKS`` and ``TERMINATIONS`` have the base class of callbacks and the exception at SIGTERM of each that is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

NAMES = ("lightning.pytorch", "pytorch_lightning")


def installed() -> list[str]:
    """The names that can be imported.

    Raises
    ------
    ModuleNotFoundError
        There is none.
    """
    found = []
    for name in NAMES:
        package = name.partition(".")[0]
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in {name, package}:
                raise
        else:
            found.append(name)
    if not found:
        raise ModuleNotFoundError("no module named lightning or pytorch_lightning", name="lightning")
    return found


INSTALLED = installed()
TERMINATIONS: tuple[type[BaseException], ...] = tuple(import_module(f"{name}.utilities.exceptions").SIGTERMException for name in INSTALLED)

if TYPE_CHECKING:
    from lightning.pytorch import Callback as Callback  # noqa: PLC0414  # handed on
else:

    class Callback(*(import_module(name).Callback for name in INSTALLED)):
        """A callback for the Trainer of either."""
