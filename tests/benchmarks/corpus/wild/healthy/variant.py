"""The base of all variants of healthy trainings."""

from __future__ import annotations

import re
from typing import ClassVar

from corpus.wild.loop import Loop


class Variant(Loop):
    """A healthy training with something special.

    Attributes
    ----------
    worlds, losses, networks, styles, without
        As for ``Cause``.
    """

    worlds: ClassVar[tuple[str, ...] | None] = None
    losses: ClassVar[tuple[str, ...] | None] = None
    networks: ClassVar[tuple[str, ...] | None] = None
    styles: ClassVar[tuple[str, ...] | None] = None
    without: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def label(cls) -> str:
        """Return the name in words with hyphens."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
