"""Error for mistakes that a person can correct."""

from __future__ import annotations


class UserError(ValueError):
    """Invalid input, found before the first step. The message names the argument, the rule and the value."""
