"""Configuration files, checked before LightningCLI reads them: small, not deep, a mapping of names to values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ganwatch.core.errors import UserError
from ganwatch.core.files import exists, open_regular

MAX_BYTES = 2**20
"""Size of a configuration file."""
MAX_DEPTH = 20
"""Depth to which values lie within each other."""
MAX_VALUES = 10_000
"""Number of names and values, those that an alias repeats counted each time."""
MAX_CHARACTERS = 2_000
"""Length of one name or value."""

RULE = "--config must be a YAML file of keys and values"
"""Beginning of the errors about a file."""
SECTIONS = ("model", "data", "trainer")
"""Keys that hold further keys."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The faster one, where PyYAML was built with it."""


def config_files(words: Sequence[str]) -> list[str]:
    """Return the files that a command line names with ``--config`` or ``-c``, or for a section, such as ``--model model.yaml``.

    >>> config_files(["--config", "a.yaml", "--steps", "3", "--config=b.yaml", "-c", "c.yaml"])
    ['a.yaml', 'b.yaml', 'c.yaml']
    """
    files = []
    for word, following in zip(words, [*words[1:], None], strict=True):
        option, equals, value = word.partition("=")
        is_config = option == "-c" or (len(option) > len("--c") and "--config".startswith(option))
        named = value if equals else following
        if named is not None and (is_config or (option.removeprefix("--") in SECTIONS and exists(named))):
            files.append(named)
    return files


def read_config(path: str) -> dict[str, Any]:
    """Read a configuration file.

    Raises
    ------
    UserError
        The file cannot be read, is too large, or does not hold keys and values.
    """
    text = _read_text(path)
    check_yaml(text, f"in {path}")
    try:
        value = yaml.load(text, Loader=_LOADER)  # noqa: S506  # a safe one
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{RULE}, got {path!r}: {_describe_yaml_error(error)}") from error
    if not isinstance(value, dict):
        raise UserError(f"{RULE}, got {'nothing' if value is None else f'a {type(value).__name__}'} in {path}")
    for name, below in value.items():
        if not isinstance(name, str):
            raise UserError(f"{RULE}, got the key {name!r}, which is no text, in {path}")
        if name in SECTIONS and not isinstance(below, dict):
            raise UserError(f"{name} must hold keys and values, got {below!r} in {path}")
    return value


def _read_text(path: str) -> str:
    try:
        with open_regular(path, "--config", limit=MAX_BYTES) as file:
            return file.read(MAX_BYTES).decode()
    except OSError as error:
        raise UserError(f"{RULE}, got {path!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{RULE} in UTF-8, got {path!r}: {error.reason}") from error


def check_yaml(text: str, place: str) -> None:
    """Refuse YAML that is large or deep once its aliases are resolved; text that is no YAML passes.

    Raises
    ------
    UserError
        A limit is exceeded.
    """
    size = _Size(place)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            size.add(event)
    except yaml.YAMLError:
        return


class _Size:
    """Number and depth of the values so far, those that an alias repeats counted each time."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._count = 0
        self._open: list[tuple[str | None, int]] = []
        """Anchor of each value that has not ended, and the number of values before its content."""
        self._by_anchor: dict[str, int] = {}

    def add(self, event: Any) -> None:
        """Take the next event of the parser."""
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self._open.pop()
            self._by_anchor |= {anchor: self._count - before} if anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in self._open}:
                raise UserError(f"a value must not hold itself, got *{event.anchor} within &{event.anchor} {self.place}")
            self._count += self._by_anchor.get(str(event.anchor), 1)
        elif isinstance(event, yaml.NodeEvent):
            self._count += 1
            if isinstance(event, yaml.CollectionStartEvent):
                self._open.append((event.anchor, self._count))
            elif isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_CHARACTERS:
                rule = f"a name or value must have at most {MAX_CHARACTERS:,} characters"
                raise UserError(f"{rule}, got {len(event.value):,} {self.place}")
        if len(self._open) > MAX_DEPTH:
            raise UserError(f"values must lie at most {MAX_DEPTH} deep within each other, got more {self.place}")
        if self._count > MAX_VALUES:
            raise UserError(f"a configuration must have at most {MAX_VALUES:,} names and values, got more {self.place}")


def flatten(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values that are no mappings by their full keys.

    >>> flatten({"steps": 3, "model": {"width": 8, "loss": "hinge"}})
    {'steps': 3, 'model.width': 8, 'model.loss': 'hinge'}
    """
    values: dict[str, Any] = {}
    for name, value in config.items():
        values |= flatten(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return values


def _describe_yaml_error(error: Exception) -> str:
    """Describe an error of the YAML parser in one line, with the place."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return problem if mark is None else f"{problem} in line {mark.line + 1}"
