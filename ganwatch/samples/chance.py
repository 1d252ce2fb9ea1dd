"""Random generators that the code of a data set keeps outside of it, at the top of its modules."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

_DEPTH, _PARTS = 4, 256


def module_generators(owner: object) -> list[Any]:
    """Generators in the modules in which the classes and functions of an object, and of what it holds, were written.

    Parameters
    ----------
    owner : object
        A data set, searched four attributes deep for what it wraps and transforms with.

    Returns
    -------
    list of random.Random, numpy.random.Generator, numpy.random.RandomState or torch.Generator
        What a helper in a further module draws from is not among them.
    """
    modules: set[str] = set()
    level: list[Any] = [owner]
    for _ in range(_DEPTH):
        for value in level:
            modules |= {name for kind in (value, *type(value).__mro__) if isinstance(name := getattr(kind, "__module__", None), str)}
        level = [part for value in level for part in _parts(value)][:_PARTS]
    namespaces = [vars(sys.modules[name]) for name in sorted(modules) if name in sys.modules]
    return [value for namespace in namespaces for value in list(namespace.values()) if isinstance(value, _kinds())]


def _parts(value: Any) -> list[Any]:
    inner = value[:_PARTS] if isinstance(value, list | tuple) else list(getattr(value, "__dict__", {}).values())[:_PARTS]
    return [part for part in inner if isinstance(part, list | tuple) or hasattr(part, "__dict__")]


def _kinds() -> tuple[type, ...]:
    torch = sys.modules.get("torch")
    return (random.Random, np.random.Generator, np.random.RandomState, *((torch.Generator,) if torch else ()))
