"""Imports of what a person names as ``package.module:attribute``, from the installed packages and the working folder."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ganwatch.core.errors import UserError

MAX_REASON = 200
"""Characters of somebody else's error message that are shown."""


def import_attribute(text: str, argument: str) -> Any:
    """Import a module and return one of its attributes.

    The working folder is searched too, after everything else and for this import alone: so a file of it never stands in for a standard or
    an installed module, neither here nor in what ganwatch imports later.

    Parameters
    ----------
    text : str
        ``package.module:attribute``; an attribute of an attribute is named with a dot.
    argument : str
        Name of the argument in errors.

    Raises
    ------
    UserError
        The text has another form, the module or the attribute does not exist, or importing it raises an error.

    Examples
    --------
    >>> import_attribute("ganwatch.core.detector:Severity.PAGE", "detectors").value
    'page'
    """
    name, _, attribute = text.partition(":")
    rule = f"{argument} must name an importable package.module:attribute, got {text!r}"
    if not all(part.isidentifier() for part in [*name.split("."), *attribute.split(".")]):
        raise UserError(rule)
    with working_folder():
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise UserError(f"{rule}: {_describe_import(error, name)}") from error
        try:
            return functools.reduce(getattr, attribute.split("."), module)
        except Exception as error:
            place = getattr(module, "__file__", None) or "a module without a file"
            raise UserError(f"{rule}: {_describe(error)} ({place})") from error


def call_attribute(imported: Any, text: str, argument: str) -> Any:
    """Call without arguments what ``import_attribute`` returned for this text.

    Raises
    ------
    UserError
        The call raises an error.
    """
    with working_folder():
        try:
            return imported()
        except (Exception, SystemExit) as error:
            rule = f"{argument} must name something that can be called without arguments"
            raise UserError(f"{rule}, got {text!r}: {_locate(error)}") from error


@contextmanager
def working_folder() -> Iterator[None]:
    """Let Python find modules of the working folder, after all others."""
    added = append_working_folder()
    try:
        yield
    finally:
        if added is not None:
            with suppress(ValueError):
                sys.path.remove(added)


def append_working_folder() -> str | None:
    """Append the working folder to the places of modules and return it; None if it is there already, or is gone."""
    try:
        folder = os.getcwd()  # noqa: PTH109  # a text, as the others of sys.path
    except OSError:
        return None
    if folder in sys.path or "" in sys.path:
        return None
    sys.path.append(folder)
    importlib.invalidate_caches()  # a module may be younger than the last look into this folder
    return folder


def _describe_import(error: BaseException, name: str) -> str:
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and (name == missing or name.startswith(f"{missing}.")):
        return f"there is no module {missing!r}, neither installed nor in the working folder"
    return _locate(error)


def _locate(error: BaseException) -> str:
    """Describe an error of other code and where it was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    is_ours = not frames or frames[-1].filename == __file__ or isinstance(error, SyntaxError)  # a syntax error says its place
    return _describe(error) + ("" if is_ours else f" ({frames[-1].filename}:{frames[-1].lineno})")


def _describe(error: BaseException) -> str:
    reason = " ".join(str(error).split())
    return f"{type(error).__name__}: {reason[:MAX_REASON]}" if reason else type(error).__name__
