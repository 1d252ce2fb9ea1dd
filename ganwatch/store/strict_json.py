"""Strict JSON, which has no NaN: a number that is not finite becomes null, and a flag keeps its value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ganwatch.core.clean_text import clean_text

NONFINITE_KEY = "nonfinite"
"""Key of the list of numbers that are not finite: the path and the text of each."""
MALFORMED_KEY = "malformed"
"""Key of what stands in the store in place of a mapping."""


def encode(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a mapping to JSON types. The key ``nonfinite`` lists the path and the text of each number that became null.

    A value that is no number, text, bool, None, mapping or sequence is converted to ``str``.

    >>> encode({"value": float("inf"), "steps": (1, 2)})
    {'value': None, 'steps': [1, 2], 'nonfinite': [[['value'], 'inf']]}
    """
    flags: list[list[Any]] = []
    encoded: dict[str, Any] = _encode(mapping, [], flags)
    if flags:
        encoded[NONFINITE_KEY] = flags
    return encoded


def decode(encoded: Any) -> dict[str, Any]:
    """Undo ``encode``. Tuples come back as lists. A value that ``encode`` never returns comes back under the key ``malformed``.

    >>> decode({"value": None, "nonfinite": [[["value"], "-inf"]]})
    {'value': -inf}
    >>> decode([1])
    {'malformed': [1]}
    """
    if not isinstance(encoded, Mapping):
        return {MALFORMED_KEY: encoded}
    flags = encoded.get(NONFINITE_KEY, [])
    decoded: dict[str, Any] = _copy({key: value for key, value in encoded.items() if key != NONFINITE_KEY})
    try:
        for path, text in flags:
            place: Any = decoded
            for part in path[:-1]:
                place = place[part]
            place[path[-1]] = float(text)
    except (TypeError, ValueError, LookupError):
        return {MALFORMED_KEY: dict(encoded)}
    return decoded


def read_json(text: str) -> Any:
    """Parse JSON. A text that is none comes back as it is, so that one malformed record does not hide all others.

    >>> read_json('{"a": 1}'), read_json("{")
    ({'a': 1}, '{')
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _encode(value: Any, path: list[Any], flags: list[list[Any]]) -> Any:
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


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
