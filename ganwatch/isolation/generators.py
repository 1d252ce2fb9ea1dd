"""Search for every random generator of the process, since code that reads data may draw from any of them."""

from __future__ import annotations

import gc
import random
import sys
from typing import Any

import numpy as np


def find_all_generators() -> list[Any]:
    """Find the random generators of this process, the global ones among them.

    A class, another module, a closure or a default argument may hold a generator. The search therefore covers all objects that Python's
    garbage collector knows, which takes some 0.3 s with torch imported.

    Returns
    -------
    list of random.Random, numpy.random.Generator, numpy.random.RandomState or torch.Generator
        Each generator once; those that only code in another language holds are missing.

    Examples
    --------
    >>> class Augmented:
    ...     random = random.Random(0)
    >>> any(generator is Augmented.random for generator in find_all_generators())
    True
    """
    torch = sys.modules.get("torch")
    known, types = gc.get_objects(), {random.Random, np.random.Generator, np.random.RandomState}
    if torch:
        types.add(torch.Generator)
    types = {each for each in set(map(type, known)) if not types.isdisjoint(each.__mro__)}
    found = [value for value in known if type(value) in types]  # by type alone: isinstance() on a proxy runs the user's code
    return [*found, *_find_untracked(known, torch.Generator)] if torch else found


def _find_untracked(known: list[Any], cls: type) -> list[Any]:
    """Find the instances of a type that the collector does not track, held by tracked objects or by untracked dicts and tuples."""
    found: dict[int, Any] = {}
    holders, followed = known, {dict, tuple, cls}
    while holders:
        held = [value for value in gc.get_referents(*holders) if type(value) in followed]
        held = [value for value in held if not gc.is_tracked(value)]
        found |= {id(value): value for value in held if type(value) is cls}
        holders = [value for value in held if type(value) is not cls]
    return list(found.values())
