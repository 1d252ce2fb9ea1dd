"""Rules for every sink."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.incidents import Incident, State
from ganwatch.core.outcome import Conclusion, Outcome, Unjudged
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink
from ganwatch.testing.rules import attempt, require


def check_sink(make: Callable[[], Sink]) -> None:
    """Send one record of each type through a sink, in the order of a run that was resumed once.

    Parameters
    ----------
    make : callable
        A Sink class, or any function that returns a new sink. It is called twice, and the first sink is closed without a start.

    Raises
    ------
    AssertionError
        A rule is broken.

    Examples
    --------
    >>> from ganwatch.sinks.memory import MemorySink
    >>> check_sink(MemorySink)
    """
    unused = make()
    who = type(unused).__name__
    require(isinstance(unused.name, str) and unused.name != "", who, "name must be a text", unused.name)
    attempt(who, "close must work on a sink that was never started", unused.close)
    verdict = Verdict(math.nan, 0.0, "loss/g", 1, "definition", "The loss is NaN.")
    facts = {"id": "GW303-1", "code": "GW303", "title": "non-finite values", "severity": Severity.PAGE, "state": State.FIRING}
    firing = Incident(**facts, onset=2, opened=2, fired=2, seen=2, evidence=verdict)  # type: ignore[arg-type]  # facts of three types
    resolved = replace(firing, state=State.RESOLVED, resolved=60)
    extreme = Readings(2, {"loss/g": math.nan, "loss/d": -math.inf, "layer_grad_norm/main.0": 1e-300})
    calls: list[tuple[str, Any]] = [
        ("start", Run("check-sink", "check", provenance={"seed": 0})),
        ("readings", [Readings(1, {"loss/g": 0.5}), extreme, Readings(3, {})]),
        ("readings", []),
        ("incident", firing),
        ("samples", SampleImages(2, "pinned", (2, 4, 4, 1), bytes(32), "GW303-1")),
        ("start", Run("check-sink", "check", attempt=2)),
        ("restore", replace(firing, state=State.PENDING)),
        ("readings", [Readings(2, {"loss/g": 0.4}, attempt=2)]),
        ("incident", resolved),
        ("drift", {"verdict": "unchanged", "score": None}),
        ("outcome", Outcome(2, Conclusion.INCIDENTS, ("GW303",), (Unjudged("GW401", "quality regression", "needs frechet"),))),
        ("finish", "finished"),
    ]
    before = repr(calls)
    sink = make()
    for method, record in calls:
        attempt(who, f"{method} must take {record!r}", getattr(sink, method), record)
    attempt(who, "close must work after finish", sink.close)
    require(repr(calls) == before, who, "records must not be changed", calls)
