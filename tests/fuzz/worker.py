"""Worker process: reads requests from standard input, a line of JSON each, and writes what it does, a line of JSON each."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from cases import Case, Target, all_targets
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy
from verdicts import Verdict, judge, limit_memory

VALID_EVERY = 5
"""One input in so many is valid."""


def draw(target: Target, number: int, count: int, take: Callable[[Case], None]) -> None:
    """Pass the cases of a seed on, about ``count`` of them, a fifth of them valid."""
    cases, valid = target.cases(), -(-count // VALID_EVERY)
    for strategy, share in ((cases.valid, valid), (cases.others, count - valid)):
        if share:
            _draw(strategy, number, share, take)


def _draw(strategy: SearchStrategy[Case], number: int, count: int, take: Callable[[Case], None]) -> None:
    drawn = 0

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False
    )
    @given(strategy)
    def run(case: Case) -> None:
        nonlocal drawn
        drawn += 1
        if drawn <= count:
            take(case)

    run()


def run_chunk(target: Target, number: int, count: int, start: int, report: Callable[[dict[str, Any]], None]) -> None:
    """Judge the cases of a chunk from ``start`` on, and report each before and after."""
    position = 0

    def take(case: Case) -> None:
        nonlocal position
        position += 1
        if position <= start:
            return
        report({"begins": position, "kind": case.kind, "case": repr(case)})
        verdict: Verdict = judge(target, case)
        report({"ends": position, "kind": case.kind, **vars_of(verdict)})

    draw(target, number, count, take)


def vars_of(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain types."""
    return {name: getattr(verdict, name) for name in ("outcome", "finding", "detail", "seconds", "memory")}


def _requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    """Answer requests until standard input ends. Whatever is printed by others goes nowhere."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2) if os.environ.get("FUZZ_QUIET") else None
    logging.disable(logging.CRITICAL)

    def report(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=output, flush=True)  # the protocol

    prepared: set[str] = set()
    for request in _requests():
        target = all_targets()[request["target"]]
        if target.name not in prepared:
            target.prepare()
            prepared.add(target.name)
            limit_memory()
            gc.freeze()  # reading data looks for random generators among all objects
        run_chunk(target, request["chunk"], request["count"], request["start"], report)
        report({"done": True})


if __name__ == "__main__":
    main()
