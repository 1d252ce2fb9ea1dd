"""Lightning is published under two names, whose classes are not the same. ``Callback`` is one of each that is in use.

The other is not imported, as its import redirects the log of the first.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

INSTALLED = [name for name in ("lightning.pytorch", "pytorch_lightning") if find_spec(name.partition(".")[0])]
if not INSTALLED:
    raise ModuleNotFoundError("no module named lightning or pytorch_lightning", name="lightning")


class _Nothing:
    """A base that may be replaced, which ``object`` may not."""


if TYPE_CHECKING:
    from lightning.pytorch import Callback as Callback  # noqa: PLC0414  # handed on
else:

    class Callback(_Nothing):
        """A callback for the Trainer of either; its bases come with ``adopt``."""


def _in_use() -> list[Any]:
    return [sys.modules[name] for name in INSTALLED if hasattr(sys.modules.get(name), "Callback")]


def adopt() -> None:
    """Make ``Callback`` one of every Lightning that is imported by now, or else of the first that is installed."""
    packages = _in_use() or [importlib.import_module(INSTALLED[0])]
    if not all(issubclass(Callback, package.Callback) for package in packages):
        Callback.__bases__ = tuple(package.Callback for package in packages)


def terminated(error: BaseException) -> bool:
    """Whether it is what a Trainer raises at SIGTERM."""
    return any(isinstance(error, package.utilities.exceptions.SIGTERMException) for package in _in_use())


if _in_use():
    adopt()
