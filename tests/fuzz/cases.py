"""Cases of the fuzz, and the base class of its targets: one reader, command or setting each."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from hypothesis import strategies as st

VALID, MUTATED, ODD = "valid", "mutated", "odd"


@dataclass(frozen=True)
class Case:
    """One input.

    Parameters
    ----------
    kind : str
        ``valid``: must be read, as ``expected``; ``mutated``: a valid one, damaged; ``odd``: built to be strange.
    value : Any
        What the target puts in place, such as the bytes of a file.
    expected : Any
        What a valid input must be read as, from another source than the reader.
    """

    kind: str
    value: Any
    expected: Any = None

    def __repr__(self) -> str:
        return f"{self.kind} {self.value!r}"[:400]


class Cases(NamedTuple):
    """Inputs of a target."""

    valid: st.SearchStrategy[Case]
    others: st.SearchStrategy[Case]


class Target(ABC):
    """One thing that reads what others wrote."""

    name: ClassVar[str]
    allows_lines: ClassVar[bool] = False
    """True if an error may have several lines, one a damaged part."""
    refusals: ClassVar[tuple[type[BaseException], ...]] = ()
    """Errors beside ``UserError`` that the reader documents."""

    @abstractmethod
    def cases(self) -> Cases:
        """Return the inputs."""

    @abstractmethod
    def read(self, case: Case, folder: Path) -> Any:
        """Put the input in place below an empty folder, and read it. What is returned is compared with ``expected`` of a valid input."""

    def prepare(self) -> None:  # noqa: B027  # most have nothing to prepare
        """Import and build what all cases share, which counts in neither time nor memory."""


def built(kind: str, build: Callable[[int], Any]) -> st.SearchStrategy[Case]:
    """Build cases from seeds: ``build`` returns a value, or for valid ones a value and what it must be read as."""
    pairs = st.integers(0, 2**32 - 1).map(build)
    return pairs.map(lambda pair: Case(kind, *pair)) if kind == VALID else pairs.map(lambda value: Case(kind, value))


@cache
def all_targets() -> dict[str, Target]:
    """Return every target by name, found by its module."""
    import targets

    names = sorted(info.name for info in pkgutil.iter_modules(targets.__path__))
    found = [importlib.import_module(f"targets.{name}") for name in names]
    return {one.name: one for module in found for one in getattr(module, "TARGETS", ())}
