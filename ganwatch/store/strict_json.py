"""Strict JSON, which has no NaN: a number that is not finite becomes null, and a flag keeps its value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NONFINITE_KEY = "nonfinite"
"""Key of the list of numbers that are not finite: the path and the text of each."""
MAX_DEPTH = 50
"""Most levels of a value."""


def encode(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a mapping to JSON types. The key ``nonfinite`` lists the path and the text of each number that became null.

    A value that is no number, text, bool, None, mapping or sequence is converted to ``str``, and one below ``MAX_DEPTH`` to "…".

    >>> encode({"value": float("inf"), "steps": (1, 2)})
    {'value': None, 'steps': [1, 2], 'nonfinite': [[['value'], 'inf']]}
    """
    flags: list[list[Any]] = []
    encoded: dict[str, Any] = _encode(mapping, [], flags)
    if flags:
        encoded[NONFINITE_KEY] = flags
    return encoded


def decode(encoded: Mapping[str, Any]) -> dict[str, Any]:
    """Undo ``encode``. Tuples come back as lists.

    Raises
    ------
    ValueError
        It has more than ``MAX_DEPTH`` levels, or flags that name no number.

    >>> decode({"value": None, "nonfinite": [[["value"], "-inf"]]})
    {'value': -inf}
    """
    decoded: dict[str, Any] = _copy({key: value for key, value in encoded.items() if key != NONFINITE_KEY}, MAX_DEPTH)
    try:
        for path, text in dict(encoded).get(NONFINITE_KEY, []):
            place: Any = decoded
            for part in path[:-1]:
                place = place[part]
            place[path[-1]] = float(text)
    except (TypeError, LookupError, ValueError) as error:
        raise ValueError(f"{NONFINITE_KEY!r} must list paths and numbers: {type(error).__name__}") from error
    return decoded


def _encode(value: Any, path: list[Any], flags: list[list[Any]]) -> Any:
    if len(path) >= MAX_DEPTH and isinstance(value, Mapping | Sequence | set | frozenset) and not isinstance(value, str):
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _encode(item, [*path, str(key)], flags) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray):
        return [_encode(item, [*path, index], flags) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        flags.append([path, str(float(value))])
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).replace("\x00", "\ufffd")  # PostgreSQL refuses the NUL


def _copy(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if not depth:
        raise ValueError(f"it has more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {key: _copy(item, depth - 1) for key, item in value.items()}
    return [_copy(item, depth - 1) for item in value]
