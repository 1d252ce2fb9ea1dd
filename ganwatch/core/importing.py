"""Objects that a person names as ``package.module:attribute``."""

from __future__ import annotations

import importlib
from typing import Any

from ganwatch.core.errors import UserError, show_error, show_value


def import_attribute(target: str, argument: str) -> Any:
    """Import the object at ``package.module:attribute``.

    Raises
    ------
    UserError
        The module cannot be imported, for any reason, or has no such attribute.

    Examples
    --------
    >>> import_attribute("math:pi", "data")
    3.141592653589793
    >>> import_attribute(".:x", "data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: data must name an importable package.module:attribute, got '.:x': TypeError: the 'package' ...
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module runs when it is imported, and may raise anything
        got = f"{show_value(target)}: {show_error(error)}"
        raise UserError(f"{argument} must name an importable package.module:attribute, got {got}") from error
