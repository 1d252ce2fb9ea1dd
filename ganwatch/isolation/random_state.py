"""Random state that ganwatch borrows and gives back."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

_DEPTH, _ATTRIBUTES = 4, 256


@contextmanager
def preserved_random_state(*owners: object, seed: int | None = None) -> Iterator[None]:
    """Run a block that may draw random numbers, then put every random state back as it was.

    Covers the global generators of Python, NumPy, torch (where it is already imported) and CUDA (where it is already in use; a
    device that the block itself brings up is not covered), and generators that ``owners`` keep in their attributes.

    Parameters
    ----------
    *owners : object
        Generators, or what has some of its own: searched four attributes deep.
    seed : int or None, >= 0
        Seed of the global CPU generators inside the block; None goes on from where they are.

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
    python, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002  # the global state is what must not move
    cpu = torch.get_rng_state() if torch else None
    cuda = torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else None
    own = [(generator, state) for generator in generators(*owners) if (state := _get(generator)) is not None]
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
            with suppress(Exception):  # a class of somebody's own may not take what it gave
                _set(generator, state)


def _is_torch_generator(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Generator)


def generators(*owners: object) -> list[Any]:
    """Generators that objects keep in their attributes, or are themselves; a long search, so find them once where it is done often."""
    found: list[Any] = []
    seen: set[int] = set()
    level = list(owners)
    for _ in range(_DEPTH + 1):
        below: list[object] = []
        for value in level:
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, random.Random | np.random.Generator | np.random.RandomState) or _is_torch_generator(value):
                found.append(value)
            elif isinstance(value, list | tuple):
                below += value[:_ATTRIBUTES]
            elif isinstance(value, dict):
                below += list(value.values())[:_ATTRIBUTES]
            elif hasattr(value, "__dict__") and not isinstance(value, type):
                below += list(vars(value).values())[:_ATTRIBUTES]
        level = below
    return found


def _get(generator: Any) -> Any:
    """Its state; None where it has none to give, as the operating system's has not."""
    with suppress(Exception):
        if isinstance(generator, random.Random):
            return generator.getstate()
        if isinstance(generator, np.random.Generator):
            return generator.bit_generator.state
        return generator.get_state()
    return None


def _set(generator: Any, state: Any) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)
