"""Prints between which levels series stay on the healthy runs of the corpus: medians over 100 steps, the lowest and the highest of all.

    python tests/benchmarks/healthy_levels.py [SERIES …]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ganwatch.calibration.replayed_runs import HEALTHY
from ganwatch.core.statistics import Window
from ganwatch.recordings import Recording, read_recordings

RECORDED = Path(__file__).parent / "corpus" / "recorded"
WINDOW = 100
SERIES = ("update_to_weight/g", "update_to_weight/d", "grad_to_output/g", "grad_to_output/d")


def levels(run: Recording, series: str) -> list[float]:
    """Return the medians of a series over each window of a run that is full."""
    window, medians = Window(WINDOW), []
    for readings in run.readings:
        if (value := readings.values.get(series)) is not None:
            window.add(readings.step, value)
            if window.is_full:
                medians.append(window.median)
    return medians


def main() -> None:
    """Parse arguments, read the recordings and print a line for each series."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", nargs="*", default=SERIES)
    args = parser.parse_args()
    runs = (run for path in sorted(RECORDED.glob("*.parquet")) for run in read_recordings(path))
    healthy = [run for run in runs if run.facts["label"] == HEALTHY]
    for series in args.series:
        medians = [median for run in healthy for median in levels(run, series)]
        text = f"{min(medians):.3g} to {max(medians):.3g} in {len(healthy)} healthy runs" if medians else "not recorded"
        print(f"{series}: {text}")


if __name__ == "__main__":
    main()
