"""Incidents as a tree: what explains comes first, what it explains hangs on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from ganwatch.core.incidents import Incident

I = TypeVar("I", bound=Incident)


def causal_tree(incidents: Sequence[I]) -> list[tuple[int, I]]:
    """Depth and incident, roots in the order of their onsets, each followed by what it explains.

    An incident whose cause is not among them is a root; a circle is cut at its earliest onset.
    """
    by_id = {one.id: one for one in incidents}
    explained: dict[str | None, list[I]] = defaultdict(list)
    for one in sorted(incidents, key=lambda one: (one.onset, one.id)):
        explained[one.cause if one.cause in by_id else None].append(one)
    found: list[tuple[int, I]] = []
    seen: set[str] = set()

    def hang(one: I, depth: int) -> None:
        if one.id not in seen:
            seen.add(one.id)
            found.append((depth, one))
            for child in explained[one.id]:
                hang(child, depth + 1)

    for root in explained[None]:
        hang(root, 0)
    for left in sorted(incidents, key=lambda one: (one.onset, one.id)):
        hang(left, 0)
    return found
