"""Random state that is restored after ganwatch has drawn random numbers."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

_MAX_DEPTH, _MAX_ATTRIBUTES = 4, 256


@contextmanager
def preserved_random_state(*owners: object, seed: int | None = None) -> Iterator[None]:
    """Run a block that may draw random numbers, then restore every random state.

    It covers the global generators of Python, NumPy, torch (if it is already imported) and CUDA (if it is already in use), and generators
    that ``owners`` keep in their attributes. A CUDA device that the block itself initialises is not covered.

    Parameters
    ----------
    *owners : object
        Generators, or objects that hold some, which are searched four attributes deep.
    seed : int or None, >= 0
        Seed of the global CPU generators inside the block; None leaves their state.

    Examples
    --------
    >>> import random
    >>> before = random.getstate()
    >>> with preserved_random_state(seed=0):
    ...     _ = random.random()
    >>> random.getstate() == before
    True
    """
    torch = sys.modules.get("torch")
    python, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002  # the global state is to be restored
    cpu = torch.get_rng_state() if torch else None
    cuda = torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else None
    own = [(generator, state) for generator in find_generators(*owners) if (state := _get_state(generator)) is not None]
    try:
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            if torch:
                torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch and cpu is not None:
            torch.set_rng_state(cpu)
        if torch and cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        for generator, state in own:
            with suppress(Exception):  # a user's class may refuse the state that it returned
                _set_state(generator, state)


def _is_torch_generator(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Generator)


def find_generators(*owners: object) -> list[Any]:
    """Find the generators among objects and in their attributes; the search is slow, so callers keep its result."""
    found: list[Any] = []
    seen: set[int] = set()
    level = list(owners)
    for _ in range(_MAX_DEPTH + 1):
        below: list[object] = []
        for value in level:
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, random.Random | np.random.Generator | np.random.RandomState) or _is_torch_generator(value):
                found.append(value)
            elif isinstance(value, list | tuple):
                below += value[:_MAX_ATTRIBUTES]
            elif isinstance(value, dict):
                below += list(value.values())[:_MAX_ATTRIBUTES]
            elif hasattr(value, "__dict__") and not isinstance(value, type):
                below += list(vars(value).values())[:_MAX_ATTRIBUTES]
        level = below
    return found


def _get_state(generator: Any) -> Any:
    """Return the state of a generator; None if it has none, as the operating system's."""
    with suppress(Exception):
        if isinstance(generator, random.Random):
            return generator.getstate()
        if isinstance(generator, np.random.Generator):
            return generator.bit_generator.state
        return generator.get_state()
    return None


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)
