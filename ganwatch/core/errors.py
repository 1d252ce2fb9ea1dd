"""Error for mistakes that a person can correct, and values as errors show them."""

from __future__ import annotations

from collections.abc import Iterable

MAX_SHOWN = 200
"""Most characters of a value in an error."""
MAX_NAMES = 10
"""Most names in an error."""


class UserError(ValueError):
    """Invalid input, found before the first step. The message names the argument, the rule and the value."""

    @property
    def lines(self) -> list[str]:
        """Lines of the message: one, whatever names in it hold."""
        return [str(self)]


def show_error(error: BaseException) -> str:
    r"""Return type and reason of an error in one short line.

    >>> show_error(OSError("no\nfile"))
    'OSError: no'
    """
    return f"{type(error).__name__}: {''.join(str(error).strip().splitlines()[:1])[:MAX_SHOWN]}"


def show_names(names: Iterable[str]) -> str:
    r"""Return names that others gave as a list in one short line.

    >>> show_names(["a", "b\n"]), show_names([])
    ("a, 'b\\n'", 'none')
    """
    listed = list(names)
    shown = ", ".join(name if name.isprintable() and len(name) <= MAX_SHOWN else show_value(name) for name in listed[:MAX_NAMES])
    return f"{shown} and {len(listed) - MAX_NAMES:,} more" if len(listed) > MAX_NAMES else shown or "none"


def show_value(value: object) -> str:
    """Return the representation of a value, shortened; never raises.

    >>> show_value("low"), show_value(10**5000), len(show_value("a" * 1000))
    ("'low'", 'a value of type int that cannot be shown', 201)
    """
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # an integer of over 4,300 digits, or a class of the user's
        return f"a value of type {type(value).__name__} that cannot be shown"
    text = " ".join(text[: 2 * MAX_SHOWN].split("\n"))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
