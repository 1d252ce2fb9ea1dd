"""Records from plain types of unknown origin: every field has its type, or one line says which does not."""

from __future__ import annotations

import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ganwatch.core.errors import UserError, show_value

MAX_INTEGER = 2**63 - 1
"""Largest integer of a field; stores hold no larger one."""
_NAMES = {str: "a text", bytes: "bytes", bool: "True or False", int: f"an integer within ±{MAX_INTEGER:,}", float: "a number"}

T = TypeVar("T")


def read_record(cls: type[T], plain: Any) -> T:
    """Create a dataclass from a mapping of its fields.

    Integers become floats where a float is needed, texts become enumerations, lists become tuples, mappings become dataclasses.

    Parameters
    ----------
    cls : dataclass
        Its fields are str, bytes, bool, int, float, enumerations, dataclasses, mappings and tuples of those, or Any.
    plain : Any
        Anything; a mapping is needed.

    Raises
    ------
    UserError
        A field is missing, unknown or of another type.

    Examples
    --------
    >>> from ganwatch.core.coverage import Span
    >>> read_record(Span, {"first": 1, "last": 9, "count": 3})
    Span(first=1, last=9, count=3)
    >>> read_record(Span, {"first": 1, "last": "end", "count": 3})
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: last must be an integer within ±9,223,372,036,854,775,807, got 'end'
    """
    if not isinstance(plain, Mapping):
        raise UserError(f"{cls.__name__} must be a mapping of its fields, got {show_value(plain)}")
    known, required = _fields(cls)  # type: ignore[arg-type]  # a class is hashable
    if unknown := [name for name in plain if name not in known]:
        raise UserError(f"{cls.__name__} must have the fields {', '.join(known)}, got {show_value(unknown[0])}")
    if missing := [name for name in required if name not in plain]:
        raise UserError(f"{cls.__name__} must have the field {missing[0]}, got none")
    return cls(**{name: read_field(name, known[name], value) for name, value in plain.items()})


def read_field(name: str, kind: Any, value: Any) -> Any:  # noqa: PLR0911  # one for each kind
    """Return a value as a type of ``read_record``.

    Raises
    ------
    UserError
        It is of another type.
    """
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        if value is None and type(None) in arguments:
            return None
        [kind] = (one for one in arguments if one is not type(None))
        return read_field(name, kind, value)
    if origin is tuple:
        if not isinstance(value, list | tuple) or (arguments[-1] is not ... and len(value) != len(arguments)):
            raise UserError(f"{name} must be a list{'' if arguments[-1] is ... else f' of {len(arguments)}'}, got {show_value(value)}")
        kinds = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        return tuple(read_field(f"{name}[{index}]", one, item) for index, (one, item) in enumerate(zip(kinds, value, strict=True)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise UserError(f"{name} must be a mapping of texts, got {show_value(value)}")
        return {key: read_field(f"{name}[{show_value(key)}]", arguments[1], item) for key, item in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        return value if isinstance(value, kind) else read_record(kind, value)
    if issubclass(kind, Enum):
        return _read_choice(name, kind, value)
    return _read_scalar(name, kind, value)


def _read_choice(name: str, kind: type[Enum], value: Any) -> Enum:
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(str(one.value) for one in kind)
        raise UserError(f"{name} must be one of {choices}, got {show_value(value)}") from None


def _read_scalar(name: str, kind: type[Any], value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER:
        return float(value)
    is_kind = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
    if not is_kind or (kind is int and abs(value) > MAX_INTEGER):
        raise UserError(f"{name} must be {_NAMES[kind]}, got {show_value(value)}")
    return value


@cache
def _fields(cls: Hashable) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the type of each field by name, and the names of fields without a default."""
    assert isinstance(cls, type)
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    required = tuple(one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING)
    return {one.name: hints[one.name] for one in fields(cls)}, required
