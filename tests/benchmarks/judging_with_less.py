"""Prints what detectors find in the corpus where losses, mean outputs of D and gradient norms are all that was recorded.

    python tests/benchmarks/judging_with_less.py [tuning|final]

Runs of other tools often hold no more. Thresholds are chosen on the tuning part.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ganwatch.calibration.rates import Proportion, is_failing
from ganwatch.calibration.replayed_runs import HEALTHY, ReplayedRun, replay_run
from ganwatch.core.readings import Readings
from ganwatch.recordings import Recording, read_recordings
from ganwatch.session.defaults import default_detectors

RECORDED = Path(__file__).parent / "corpus" / "recorded"
KEPT = {"loss", "d_output", "grad_norm"}
CODES = ("GW201", "GW301")


def keep_little(run: Recording) -> Recording:
    """Return a run without the readings that other tools seldom record."""
    kept = [
        Readings(one.step, {name: value for name, value in one.values.items() if name.partition("/")[0] in KEPT}) for one in run.readings
    ]
    return replace(run, readings=[one for one in kept if one.values])


def read_part(part: str) -> Iterator[Recording]:
    """Yield the runs of a part of the corpus, with little kept."""
    for path in sorted(RECORDED.glob(f"{part}-*.parquet")):
        yield from map(keep_little, read_recordings(path))


def lines(runs: list[ReplayedRun]) -> Iterator[str]:
    """Yield the figures."""
    healthy = [run for run in runs if run.label == HEALTHY]
    flagged = [run for run in healthy if run.alarms]
    yield f"healthy runs flagged by any detector: {_show(Proportion(len(flagged), len(healthy)))}"
    yield from (f"  {run.name}: {', '.join(f'{alarm.code} at {alarm.fired}' for alarm in run.alarms)}" for run in flagged)
    for code in CODES:
        named = [run for run in runs if is_failing(run) and code in run.codes]
        own, either = (
            sum(any(alarm.code in codes and alarm.fired >= (run.onset_low or 0) for alarm in run.alarms) for run in named)
            for codes in ((code,), CODES)
        )
        false = sum(any(alarm.code == code for alarm in run.alarms) for run in healthy)
        yield f"{code} fired on {_show(Proportion(own, len(named)))} of the runs whose failure it names, on {false} healthy ones"
        yield f"  {' or '.join(CODES)}: {_show(Proportion(either, len(named)))}"
    others = [run for run in runs if is_failing(run) and not set(CODES) & set(run.codes)]
    fired = Counter(f"{run.label}: {alarm.code}" for run in others for alarm in run.alarms if alarm.code in CODES)
    yield f"on the {len(others)} runs of other failures, in some of which D wins: {dict(sorted(fired.items()))}"


def _show(proportion: Proportion) -> str:
    low, high = proportion.interval
    return f"{proportion.count} of {proportion.total} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Parse arguments, replay the runs and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("tuning", "final"), default="final")
    args = parser.parse_args()
    print("\n".join(lines([replay_run(run, default_detectors()) for run in read_part(args.part)])))


if __name__ == "__main__":
    main()
