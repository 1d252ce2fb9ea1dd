"""Judge a recorded run again: the detectors see what they saw live, thousands of times faster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.contracts import Detector, Incident
from ganwatch.monitor import Monitor
from ganwatch.records import Readings

if TYPE_CHECKING:
    import numpy as np


def replay(readings: Iterable[Readings], detectors: Sequence[Detector]) -> list[Incident]:
    """The incidents that these detectors open on a recorded run, in the order in which they were opened.

    Examples
    --------
    >>> from ganwatch.detectors.non_finite import NonFinite
    >>> stream, onset = NonFinite.demo(seed=0)
    >>> [incident.onset == onset for incident in replay(stream, [NonFinite()])]
    [True]
    """
    monitor = Monitor(detectors=detectors)
    for one in readings:
        monitor.judge(one)
    return monitor.incidents.known


def save_recording(path: Path, readings: Sequence[Readings], facts: Mapping[str, Any]) -> None:
    """Write a run as one compressed file of float64 columns, with JSON facts beside them."""
    import json

    import numpy as np

    columns: dict[str, tuple[list[int], list[float]]] = {}
    for one in readings:
        for name, value in one.values.items():
            steps, values = columns.setdefault(name, ([], []))
            steps.append(one.step)
            values.append(value)
    arrays: dict[str, np.ndarray[Any, Any]] = {"facts": np.array(json.dumps(dict(facts)))}
    for name, (steps, values) in columns.items():
        arrays[f"steps:{name}"] = np.array(steps, dtype=np.int32)
        arrays[f"values:{name}"] = np.array(values, dtype=np.float64)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, allow_pickle=False, **arrays)
    partial.replace(path)


def load_recording(path: Path) -> tuple[Iterator[Readings], dict[str, Any]]:
    """The inverse of ``save_recording``: readings in order of step, and the facts."""
    import json

    import numpy as np

    rows: dict[int, dict[str, float]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        facts: dict[str, Any] = json.loads(str(arrays["facts"]))
        for key in arrays.files:
            kind, _, name = key.partition(":")
            if kind == "steps":
                for step, value in zip(arrays[key].tolist(), arrays[f"values:{name}"].tolist(), strict=True):
                    rows.setdefault(step, {})[name] = value
    return (Readings(step, rows[step]) for step in sorted(rows)), facts
