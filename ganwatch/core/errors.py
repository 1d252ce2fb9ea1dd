"""What is raised for mistakes that a person can mend."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input, known before the first step; the message names the argument, the rule and what was got."""
