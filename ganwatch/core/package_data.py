"""Location of the dashboards and the alert files, which are not Python packages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ganwatch.core.errors import UserError


def packaged_folder(name: Literal["alerts", "dashboards"]) -> Path:
    """Return the folder. A wheel has it inside the package; a checkout or an editable installation has it next to the package.

    Raises
    ------
    UserError
        The installation lacks it.

    Examples
    --------
    >>> (packaged_folder("alerts") / "runbooks").is_dir()
    True
    """
    package = Path(__file__).parents[1]
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise UserError(f"the installed ganwatch must have the folder {name!r}, got none; pip install --force-reinstall ganwatch")
