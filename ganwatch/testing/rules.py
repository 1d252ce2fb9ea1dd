"""Helpers that report a broken rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def require(condition: bool, who: str, rule: str, got: object) -> None:
    """Raise an AssertionError that names the class, the rule and the value, unless the condition holds."""
    if not condition:
        raise AssertionError(f"{who}: {rule}, got {got!r}")


def attempt(who: str, rule: str, action: Callable[..., Any], *args: Any) -> Any:
    """Return the result of the action. An error of the action breaks the rule."""
    try:
        return action(*args)
    except Exception as error:
        raise AssertionError(f"{who}: {rule}, got {error!r}") from error
