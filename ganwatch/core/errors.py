"""Error for mistakes that a person can correct, and values as errors show them."""

from __future__ import annotations

MAX_SHOWN = 200
"""Most characters of a value in an error."""


class UserError(ValueError):
    """Invalid input, found before the first step. The message names the argument, the rule and the value."""

    @property
    def lines(self) -> list[str]:
        """Lines of the message: one, whatever names in it hold."""
        return [str(self)]


def show_value(value: object) -> str:
    """Return the representation of a value, shortened; never raises.

    >>> show_value("low"), show_value(10**5000), len(show_value("a" * 1000))
    ("'low'", 'a value of type int that cannot be shown', 201)
    """
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # an integer of over 4,300 digits, or a class of the user's
        return f"a value of type {type(value).__name__} that cannot be shown"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
