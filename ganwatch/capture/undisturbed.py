"""Where ``Undisturbed`` is known to capture."""

from ganwatch.undisturbed import Undisturbed

__all__ = ["Undisturbed"]
