"""Incidents that the detectors raise on every recorded run.

``python tests/regression/corpus_incidents.py record`` writes ``corpus_incidents.json`` anew; ``compare`` replays them again and
reports what differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from ganwatch.calibration.replayed_runs import ReplayedRun, replay_runs
from ganwatch.recordings.sources import open_sources
from ganwatch.session.defaults import default_detectors

TESTS = Path(__file__).parents[1]
SOURCES = (TESTS / "recorded", TESTS / "benchmarks" / "corpus" / "recorded")
EXPECTED = Path(__file__).with_name("corpus_incidents.json")


def replay_recorded_runs() -> list[ReplayedRun]:
    files = [str(path) for folder in SOURCES for path in sorted(folder.glob("*.parquet"))]
    return [run for (run,) in replay_runs(open_sources(files), [default_detectors], jobs=2)]


def incidents(runs: Iterable[ReplayedRun]) -> dict[str, list[str]]:
    """A line for each incident, by run."""
    return {
        run.name: [
            f"{one.id} {one.title}: onset {one.onset}, fired {one.fired}, resolved {one.resolved}, cause {one.cause}" for one in run.alarms
        ]
        for run in runs
    }


def expected() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(EXPECTED.read_text())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("record", "compare"))
    now = incidents(replay_recorded_runs())
    if parser.parse_args().what == "record":
        EXPECTED.write_text(json.dumps(dict(sorted(now.items())), indent=1) + "\n")
        return 0
    before = expected()
    different = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    print(f"{len(before)} runs, {sum(map(len, before.values()))} incidents before; {len(different)} runs differ: {different[:10]}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
