"""Bounds on configuration files, checked before anything is built from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from ganwatch.core.errors import UserError, show_error, show_value
from ganwatch.core.files import MAX_TEXT_BYTES, exists, is_folder, open_regular

MAX_NODES = 100_000
"""Most values of a file, those that an alias repeats counted each time."""
MAX_DEPTH = 50
"""Most levels of values."""
_OPTIONS = ("-c", "--config", "--model", "--data", "--trainer")
"""Options that take a file."""


def check_config_files(arguments: Sequence[str]) -> None:
    """Refuse files on a command line that a parser may not survive: pipes, devices, huge ones, and values that contain themselves.

    Raises
    ------
    UserError
        Names the option and the file.
    """
    for option, value in _options(arguments):
        if exists(value) and not is_folder(value):
            _check_file(value, option)


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in _OPTIONS:
            yield name, value if equals else "".join(arguments[position + 1 : position + 2])


def _check_file(path: str, option: str) -> None:
    place = f"{option} must be a YAML file with the keys of a configuration, got {show_value(path)}"
    try:
        with open_regular(path, option, limit=MAX_TEXT_BYTES) as file:
            text = file.read(MAX_TEXT_BYTES).decode()
        root = yaml.compose(text, yaml.SafeLoader)
    except UserError:
        raise
    except RecursionError:
        raise UserError(f"{place}: its values are nested too deeply") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{place}: {show_error(error)}") from error
    count = 0 if root is None else _count(root, {}, 1)
    if count > MAX_NODES:
        raise UserError(f"{place}: it has more than {MAX_NODES:,} values, or {MAX_DEPTH} levels")


def _count(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Count the values of a node. More than ``MAX_NODES`` stands for too many levels, which a node that contains itself has."""
    if depth > MAX_DEPTH:
        return MAX_NODES + 1
    if id(node) not in known:
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        known[id(node)] = 1 + sum(_count(part, known, depth + 1) for part in inner)
    return known[id(node)]
