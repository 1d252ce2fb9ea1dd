"""Where the folders are that lie beside the package in a checkout: the dashboard and the alert files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ganwatch.core.errors import UserError


def packaged_folder(name: Literal["alerts", "dashboards"]) -> Path:
    """The folder: inside the package where a wheel is installed, beside it in a checkout or an editable installation.

    Raises
    ------
    UserError
        The installation does not have it.

    Examples
    --------
    >>> (packaged_folder("alerts") / "runbooks").is_dir()
    True
    """
    package = Path(__file__).parents[1]
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise UserError(f"the installed ganwatch must carry the folder {name!r}, got none; pip install --force-reinstall ganwatch")
