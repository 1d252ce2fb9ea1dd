"""Incidents as a tree: each cause is followed by the incidents that it explains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from ganwatch.core.incidents import Incident

I = TypeVar("I", bound=Incident)


def causal_tree(incidents: Sequence[I]) -> list[tuple[int, I]]:
    """Return depth and incident, roots in the order of their onsets, each followed by the incidents that it explains.

    An incident whose cause is not in the list is a root. A cycle is cut at its earliest onset.
    """
    by_id = {one.id: one for one in incidents}
    explained: dict[str | None, list[I]] = defaultdict(list)
    for one in sorted(incidents, key=lambda one: (one.onset, one.id)):
        explained[one.cause if one.cause in by_id else None].append(one)
    tree: list[tuple[int, I]] = []
    seen: set[str] = set()

    def add(one: I, depth: int) -> None:
        if one.id not in seen:
            seen.add(one.id)
            tree.append((depth, one))
            for child in explained[one.id]:
                add(child, depth + 1)

    for root in explained[None]:
        add(root, 0)
    for in_cycle in sorted(incidents, key=lambda one: (one.onset, one.id)):
        add(in_cycle, 0)
    return tree
