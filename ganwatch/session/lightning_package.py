"""A ``Callback`` base class for both names under which Lightning is published, whose classes differ.

``Callback`` inherits from that of each package in use. The other package is not imported: its import redirects the log of the first.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

INSTALLED_PACKAGES = [name for name in ("lightning.pytorch", "pytorch_lightning") if find_spec(name.partition(".")[0])]
if not INSTALLED_PACKAGES:
    raise ModuleNotFoundError("no module named lightning or pytorch_lightning", name="lightning")


class _Placeholder:
    """A base class that can be replaced; Python does not allow that of ``object``."""


if TYPE_CHECKING:
    from lightning.pytorch import Callback as Callback  # noqa: PLC0414  # re-exported
else:

    class Callback(_Placeholder):
        """A callback for the Trainer of either package; ``set_callback_bases`` gives it its bases."""


def _imported_packages() -> list[Any]:
    return [sys.modules[name] for name in INSTALLED_PACKAGES if hasattr(sys.modules.get(name), "Callback")]


def set_callback_bases() -> None:
    """Let ``Callback`` inherit from that of every imported Lightning package; if none is imported, from the first installed one."""
    packages = _imported_packages() or [importlib.import_module(INSTALLED_PACKAGES[0])]
    if not all(issubclass(Callback, package.Callback) for package in packages):
        Callback.__bases__ = tuple(package.Callback for package in packages)


def is_sigterm(error: BaseException) -> bool:
    """Return True if a Trainer raised the error on SIGTERM."""
    return any(isinstance(error, package.utilities.exceptions.SIGTERMException) for package in _imported_packages())


if _imported_packages():
    set_callback_bases()
