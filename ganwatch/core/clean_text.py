"""Texts that every store, exporter and file can hold."""

from __future__ import annotations

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str) -> str:
    r"""Replace NUL and lone surrogates by U+FFFD: PostgreSQL refuses the one, UTF-8 the other.

    Lone surrogates come from file names that are not UTF-8, such as that of a script.

    >>> clean_text("net\0 \udcff"), clean_text("plain")
    ('net� �', 'plain')
    """
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
