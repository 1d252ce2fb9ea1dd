"""Incidents that the detectors raise on every recorded run.

``python tests/regression/corpus_incidents.py record`` writes ``corpus_incidents.json`` anew; ``compare`` replays them again and
reports what differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ganwatch.core.detector import Verdict
from ganwatch.core.incidents import Incident
from ganwatch.core.replay import replay
from ganwatch.recordings.sources import Source, open_sources
from ganwatch.session.defaults import default_detectors

TESTS = Path(__file__).parents[1]
SOURCES = (TESTS / "recorded", TESTS / "benchmarks" / "corpus" / "recorded")
EXPECTED = Path(__file__).with_name("corpus_incidents.json")


def incidents_now() -> dict[str, list[str]]:
    """A line for each incident with its latest evidence, by run."""
    files = [str(path) for folder in SOURCES for path in sorted(folder.glob("*.parquet"))]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return {name: lines for runs in pool.map(replayed, open_sources(files)) for name, lines in runs}


def replayed(source: Source) -> list[tuple[str, list[str]]]:
    found = [(run.name, replay(run.readings, default_detectors())) for run in source()]
    return [(name, [f"{describe(one)}; {evidence(one.evidence)}" for one in sorted(incidents, key=order)]) for name, incidents in found]


def order(incident: Incident) -> tuple[int, str]:
    return incident.fired or 0, incident.id


def describe(incident: Incident) -> str:
    timing = f"onset {incident.onset}, fired {incident.fired}, resolved {incident.resolved}"
    return f"{incident.id} {incident.title}: {timing}, cause {incident.cause}"


def evidence(verdict: Verdict | None) -> str:
    assert verdict is not None
    value = f"{verdict.signal} {verdict.value:.6g} against {verdict.threshold:.6g}"
    return f"{value} over {verdict.window} steps from {verdict.onset} ({verdict.origin})"


def expected() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(EXPECTED.read_text())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("record", "compare"))
    now = incidents_now()
    if parser.parse_args().what == "record":
        EXPECTED.write_text(json.dumps(dict(sorted(now.items())), indent=1) + "\n")
        return 0
    before = expected()
    different = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    print(f"{len(before)} runs, {sum(map(len, before.values()))} incidents before; {len(different)} runs differ: {different[:10]}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
