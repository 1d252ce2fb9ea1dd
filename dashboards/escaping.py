r"""Text that is displayed as it is. Every text that is no literal of these screens passes through here, because a store may be hostile.

Streamlit renders Markdown in labels, captions, table cells and tooltips too. Backslashes switch it off. They do not stop what Streamlit
replaces after it has read the Markdown: addresses become links, ``:smile:`` an emoji, ``->`` an arrow. There an invisible character
breaks the pattern.
"""

from __future__ import annotations

import re

MAX_NAME = 120
"""Longest name of a run, an incident or a file, in characters."""
MAX_TEXT = 1_000
"""Longest text, in characters."""
_JOINER = "\u2060"  # the word joiner, which has no width
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()#+\-.!|$:<>~&=])")
_REPLACED_LATER = re.compile(
    r"(?<=:)(?=//)"  # addresses
    r"|(?<=www)(?=\.)"
    r"|(?<=[\w.+-]@)(?=[\w-])"
    r"|(?<=:)(?=[\w+-]+:|material/)"  # emoji and icons by name
    r"|(?<=(?<!\S)[<>~-])(?=(?:->|-|=|>)(?!\S))",  # arrows, dashes and signs of comparison
    re.IGNORECASE | re.ASCII,
)
_CODE = re.compile(r"`([^`]+)`")


def plain_text(text: object, limit: int = MAX_TEXT) -> str:
    r"""Return one line of text, for places that render no Markdown. Control and bidirectional characters are spelled out.

    >>> print(plain_text("two\nlines \x1b[31mred \u202e"), plain_text("abcdef", limit=4))
    two lines \x1b[31mred \u202e abc…
    """
    words = " ".join(str(text)[: limit + 1].split())
    line = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def escape_markdown(text: object, limit: int = MAX_TEXT) -> str:
    r"""Return Markdown that displays the text as it is, in one line.

    >>> print(escape_markdown("g_lr*2"))
    g\_lr\*2
    >>> escape_markdown("www.evil.example")
    'www\u2060\\.evil\\.example'
    """
    return _escape_line(plain_text(text, limit))


def escape_name(name: object) -> str:
    """Return Markdown that displays a name as it is, shortened to ``MAX_NAME`` characters."""
    return escape_markdown(name, MAX_NAME)


def code_span(text: object, limit: int = MAX_NAME) -> str:
    """Return Markdown that displays the text as code.

    >>> print(code_span("runs"), code_span("a`b"))
    `runs` `` a`b ``
    """
    line = plain_text(text, limit).replace(":material/", f":{_JOINER}material/") or " "  # Streamlit changes this one in code too
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if len(fence) > 1 else f"`{line}`"


def escape_prose(text: object) -> str:
    r"""Return Markdown that displays a text of several sentences as it is, except that what stands in backticks is code.

    >>> print(escape_prose("Use `a_b` *now*"))
    Use `a_b` \*now\*
    """
    parts = _CODE.split(plain_text(text))
    return "".join(code_span(part, MAX_TEXT) if place % 2 else _escape_line(part) for place, part in enumerate(parts))


def _escape_line(line: str) -> str:
    return _PUNCTUATION.sub(r"\\\1", _REPLACED_LATER.sub(_JOINER, line))
