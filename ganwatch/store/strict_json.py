"""Strict JSON, which has no NaN: a number that is not finite becomes null, and a flag keeps its value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ganwatch.core.clean_text import clean_text
from ganwatch.core.errors import show_value

NONFINITE_KEY = "nonfinite"
"""Key of the list of numbers that are not finite: the path and the text of each."""
MALFORMED_KEY = "malformed"
"""Key of what stands in the store in place of a mapping."""
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


def decode(encoded: Any) -> dict[str, Any]:
    """Undo ``encode``. Tuples come back as lists. A value that ``encode`` never returns comes back as text under the key ``malformed``.

    >>> decode({"value": None, "nonfinite": [[["value"], "-inf"]]})
    {'value': -inf}
    >>> decode([1])
    {'malformed': '[1]'}
    """
    if not isinstance(encoded, Mapping):
        return {MALFORMED_KEY: show_value(encoded)}
    try:
        decoded: dict[str, Any] = _copy({key: value for key, value in encoded.items() if key != NONFINITE_KEY}, MAX_DEPTH)
        for path, text in encoded.get(NONFINITE_KEY, []):
            place: Any = decoded
            for part in path[:-1]:
                place = place[part]
            place[path[-1]] = float(text)
    except (TypeError, ValueError, LookupError):
        return {MALFORMED_KEY: show_value(encoded)}
    return decoded


def _encode(value: Any, path: list[Any], flags: list[list[Any]]) -> Any:
    if len(path) >= MAX_DEPTH and isinstance(value, Mapping | Sequence | set | frozenset) and not isinstance(value, str):
        return "…"
    if isinstance(value, Mapping):
        keys = {key: clean_text(str(key)) for key in value}
        return {keys[key]: _encode(item, [*path, keys[key]], flags) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray):
        return [_encode(item, [*path, index], flags) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        flags.append([path, str(float(value))])
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean_text(str(value))


def _copy(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if not depth:
        raise ValueError(f"it has more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {key: _copy(item, depth - 1) for key, item in value.items()}
    return [_copy(item, depth - 1) for item in value]
