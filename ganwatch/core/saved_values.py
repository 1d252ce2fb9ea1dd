"""Types of saved values, which come from files of unknown origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.plain_records import MAX_INTEGER


def check_type(name: str, current: Any, saved: Any) -> None:
    """Refuse a saved value that cannot take the place of the present one. In place of None, anything can stand.

    Raises
    ------
    UserError
        Names it.

    Examples
    --------
    >>> check_type("_count", 3, 4)
    >>> check_type("_count", 3, "4")
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: _count must be a whole number, got '4'
    """
    for kind, accepts, rule in _RULES:
        if isinstance(current, kind) and not accepts(saved):
            raise UserError(f"{name} must be {rule}, got {show_value(saved)}")


def check_numbers(name: str, values: Any) -> None:
    """Refuse anything but a list of numbers.

    Raises
    ------
    UserError
        Names it.
    """
    if not isinstance(values, list) or not all(map(_is_number, values)):
        raise UserError(f"{name} must be a list of numbers, got {show_value(values)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER)


_RULES: list[tuple[type, Callable[[Any], bool], str]] = [
    (bool, lambda saved: isinstance(saved, bool), "True or False"),
    (int, lambda saved: isinstance(saved, int) and (isinstance(saved, bool) or _is_number(saved)), "a whole number"),
    (float, _is_number, "a number"),
    (str, lambda saved: isinstance(saved, str), "a text"),
    (list, lambda saved: isinstance(saved, list | tuple), "a list"),
    (dict, lambda saved: isinstance(saved, Mapping) and all(isinstance(key, str) for key in saved), "a mapping of texts"),
]
"""Types of present values, what is accepted in their place, and how errors say so."""
