"""Differences between two versions of a model: origin, configuration, environment, scores and declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ganwatch.models.registry import JudgedVersion


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that differs; None where a version lacks it."""

    name: str
    first: Any
    second: Any


def compare_facts(first: JudgedVersion, second: JudgedVersion) -> list[Difference]:
    """Return what differs between two versions, in the order of ``facts_of``."""
    facts = [dict(iterate_facts(one)) for one in (first, second)]
    names = dict.fromkeys([*facts[0], *facts[1]])
    return [Difference(name, *(one.get(name) for one in facts)) for name in names if facts[0].get(name) != facts[1].get(name)]


def iterate_facts(one: JudgedVersion) -> Iterator[tuple[str, Any]]:
    """Yield the facts of a version, nested ones by their path: ``provenance.versions.torch``."""
    version = one.version
    yield "verdict", str(one.verdict.quality)
    yield "verdict.reason", one.verdict.reason
    for name in ("run", "step", "parent", "sha256", "size"):
        yield name, getattr(version, name)
    for name in ("scores", "declared", "provenance"):
        yield from _flatten(name, getattr(version, name))


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flatten(f"{path}.{name}", inner)
    elif not isinstance(value, Mapping):
        yield path, value
