"""How a broken rule is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def require(condition: bool, who: str, rule: str, got: object) -> None:
    """Raise an AssertionError that names the class, the rule and what was got, unless the condition holds."""
    if not condition:
        raise AssertionError(f"{who}: {rule}, got {got!r}")


def attempt(who: str, rule: str, action: Callable[..., Any], *args: Any) -> Any:
    """What the action gives; an error of it breaks the rule."""
    try:
        return action(*args)
    except Exception as error:
        raise AssertionError(f"{who}: {rule}, got {error!r}") from error
