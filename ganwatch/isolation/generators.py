"""Every random generator that is alive: what reads data may draw from any of them, wherever it keeps it."""

from __future__ import annotations

import gc
import random
import sys
from typing import Any

import numpy as np


def living_generators() -> list[Any]:
    """Random generators of this process, the global ones among them.

    A class, another module, a closure or a default argument may hold them, so they are looked for among everything that Python's
    garbage collector knows: some 0.3 s beside an imported torch.

    Returns
    -------
    list of random.Random, numpy.random.Generator, numpy.random.RandomState or torch.Generator
        Each once. What only code in another language holds is not among them.

    Examples
    --------
    >>> class Augmented:
    ...     random = random.Random(0)
    >>> any(found is Augmented.random for found in living_generators())
    True
    """
    torch = sys.modules.get("torch")
    known, kinds = gc.get_objects(), {random.Random, np.random.Generator, np.random.RandomState}
    if torch:
        kinds.add(torch.Generator)
    kinds = {kind for kind in set(map(type, known)) if not kinds.isdisjoint(kind.__mro__)}
    found = [value for value in known if type(value) in kinds]  # by type alone: a proxy that is asked runs somebody's code
    return [*found, *_unknown(known, torch.Generator)] if torch else found


def _unknown(known: list[Any], kind: type) -> list[Any]:
    """Instances of a type of which the collector knows none, as it knows no dict or tuple with nothing in it that it knows."""
    found: dict[int, Any] = {}
    holders, wanted = known, {dict, tuple, kind}
    while holders:
        held = [value for value in gc.get_referents(*holders) if type(value) in wanted]
        held = [value for value in held if not gc.is_tracked(value)]
        found |= {id(value): value for value in held if type(value) is kind}
        holders = [value for value in held if type(value) is not kind]
    return list(found.values())
