"""Time of a drift check: 5,000 baseline and 5,000 fresh feature vectors of 512 dimensions, goal 30 s.

    python tests/benchmarks/drift_speed.py
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from ganwatch.drift.sequential import RepeatedChecks
from ganwatch.drift.verdict import decide

COUNT, DIMENSIONS, GOAL = 5000, 512, 30.0


def main() -> int:
    """Print the table. Return 1 if the goal is missed."""
    rng = np.random.default_rng(0)
    baseline, fresh, generated, accepted = (rng.normal(mean, size=(COUNT, DIMENSIONS)).astype(np.float32) for mean in (0, 0, 0.2, 0.2))
    checks = {
        "once": (lambda: decide(baseline, fresh), GOAL),
        "one of a year's daily checks, simulation included": (lambda: RepeatedChecks(baseline).check(fresh), GOAL),
        "once, with 5,000 of a generator and 5,000 of its reference": (lambda: decide(baseline, fresh, generated, accepted), None),
    }
    print(f"| drift check, {COUNT:,} + {COUNT:,} vectors of {DIMENSIONS} | seconds | goal |\n|---|---|---|")
    missed = False
    for name, (check, goal) in checks.items():
        start = time.perf_counter()
        check()
        taken = time.perf_counter() - start
        missed = missed or (goal is not None and taken > goal)
        print(f"| {name} | {taken:.1f} | {'-' if goal is None else f'{goal:.0f}'} |", flush=True)
    print(f"\nlargest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
