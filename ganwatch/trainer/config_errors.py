"""Errors of LightningCLI's parser, each as one line that names the file, the key, the rule and what was got."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ganwatch.trainer.config_file import flatten

MAX_SHOWN = 200
"""Characters of a value or of a parser's message that are shown."""
TYPE_NAMES = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "NoneType": "null", "list": "a list",
    "tuple": "a list",
}  # fmt: skip
"""Rules for people, by the name of a type."""


class ConfigErrors:
    """Describes errors of one command line.

    Parameters
    ----------
    words : sequence of str
        The command line.
    files : mapping of str to mapping
        Content of its configuration files, by path.
    keys : collection of str
        Known keys.
    """

    def __init__(self, words: Sequence[str], files: Mapping[str, Mapping[str, Any]], keys: Collection[str]) -> None:
        self._options = {word.partition("=")[0].lstrip("-") for word in words if word.startswith("-")}
        self._values = {path: flatten(content) for path, content in files.items()}
        self._keys = keys

    def describe(self, message: str) -> str:
        """Describe a message of the parser in one line."""
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        if match := re.match(r'Parser key "([^"]+)":', message):
            return self._describe_value(match[1], lines)
        if match := re.match(r"unrecognized arguments: (.*)", message, re.DOTALL):
            word = next((word for word in match[1].split() if word != "--"), "--")
            return f"options must be those of ganwatch train --help, got {word}{self._suggest(word)}"
        if match := re.match(r"(?:Group '([^']+)' does not accept option|Option) '([^']+)'", message):
            key = ".".join(filter(None, match.groups()))
            return f"keys must be those of ganwatch train --help, got {key}{self._place(key)}{self._suggest(key)}"
        if match := re.match(r"argument (?:-\w/)?(--\S+): expected one argument", message):
            return f"{match[1]} must have a value, got none"
        return _shorten("; ".join(lines))

    def add_place(self, message: str) -> str:
        """Give the first word of a message, a key, its full name, and name the file that holds it."""
        name, space, rest = message.partition(" ")
        known = [*self._options, *(key for values in self._values.values() for key in values)]
        key = next((key for key in known if key == name or key.endswith(f".{name}")), name)
        return f"{key}{space}{rest}{self._place(key)}"

    def _describe_value(self, key: str, lines: list[str]) -> str:
        text = " ".join(lines[1:])
        if match := re.search(r"Problem with given class_path '([^']+)': (.*?)(?= - |$)", text):
            return f"{key} must name classes that can be imported, got {match[1]}{self._place(key)}: {_shorten(match[2])}"
        expected = re.findall(r"Expected an? (<class '[^']+'>|typing\.\w+\[[^\n]*?\])(?=\.|$|\s)", text)
        got = re.search(r"Got value: (.*)$|Given value: (.*)$", lines[-1] if len(lines) > 1 else "")
        if key == "config" or not expected or got is None:
            return f"{key} must have a value that fits its type{self._place(key)}: {_shorten(' '.join(lines).partition(':')[2].strip())}"
        rule = " or ".join(dict.fromkeys(map(_describe_type, expected)))
        return f"{key} must be {rule}, got {_shorten(str(got[1] or got[2]))}{self._place(key)}"

    def _place(self, key: str) -> str:
        if key in self._options:
            return ""
        path = next((path for path, values in self._values.items() if any(f"{one}.".startswith(f"{key}.") for one in values)), None)
        return "" if path is None else f" in {path}"

    def _suggest(self, word: str) -> str:
        dashes = word[: len(word) - len(word.lstrip("-"))]
        near = difflib.get_close_matches(word.partition("=")[0].lstrip("-"), self._keys, n=1)
        return f"; did you mean {dashes}{near[0]}?" if near else ""


def _describe_type(text: str) -> str:
    if match := re.fullmatch(r"typing\.Literal\[(.*)\]", text):
        return f"one of {match[1]}"
    name = text.removeprefix("<class '").removesuffix("'>").rpartition(".")[2]
    return TYPE_NAMES.get(name, name)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
