"""One function for each output that makes a text of unknown origin plain text there.

Screens have theirs in ``dashboards/formatting.py``, because only Streamlit reads its Markdown.
"""

from __future__ import annotations

import html
import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str) -> str:
    r"""Return a text for stores, exporters and files: replace NUL and lone surrogates by U+FFFD.

    PostgreSQL refuses the one, UTF-8 the other. Lone surrogates come from file names that are not UTF-8, such as that of a script.

    >>> clean_text("net\0 \udcff"), clean_text("plain")
    ('net� �', 'plain')
    """
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def terminal_text(text: object) -> str:
    r"""Return a text for a terminal or a log: one line in which control characters and other unprintable ones are spelled out.

    So no name moves the cursor, colours the terminal or begins a line of its own.

    >>> print(terminal_text("two\nlines \x1b[31mred"))
    two\nlines \x1b[31mred
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text))


def terminal_lines(text: str) -> str:
    """Return a text of several lines for a terminal: every line passes through ``terminal_text``."""
    return "\n".join(map(terminal_text, text.split("\n")))


def html_text(text: object) -> str:
    """Return a text for an HTML page: one line without markup.

    >>> html_text("cats</script><b>")
    'cats&lt;/script&gt;&lt;b&gt;'
    """
    return html.escape(terminal_text(text))
