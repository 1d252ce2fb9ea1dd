"""Names of failures for people: a title, with its code behind it."""

from __future__ import annotations


def name_failure(title: str, code: str) -> str:
    """Return the title of a failure with its code, or with the id of one of its incidents, in brackets.

    >>> name_failure("mode collapse", "GW101"), name_failure("oscillation", "GW304-2")
    ('mode collapse (GW101)', 'oscillation (GW304-2)')
    """
    return f"{title} ({code})"
