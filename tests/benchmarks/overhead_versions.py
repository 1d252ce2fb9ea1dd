"""Compares what observation costs in two checkouts, in turn: ``python tests/benchmarks/overhead_versions.py OTHER --rounds 4``.

Each round trains the demo GAN once by either checkout, in random order, with observation switched on and off step by step
(``overhead.py --only demo``), and compares the two ratios of step times. OTHER is a checkout with an
environment in ``.venv``.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]


def ratio(checkout: Path, seconds: float) -> float:
    """Step time with observation against that without, wall clock."""
    command = [str(checkout / ".venv" / "bin" / "python"), "tests/benchmarks/overhead.py", "--only", "demo", "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    found = re.search(r"wall +time ratio ([\d.]+)", done.stdout)
    if found is None:
        raise SystemExit(f"{checkout}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return float(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0, help="longest time of one training")
    given = parser.parse_args()
    draws, rows = random.Random(0), []
    for number in range(given.rounds):
        order = draws.sample([HERE, given.other], 2)
        seen = {checkout: ratio(checkout, given.seconds) for checkout in order}
        rows.append((seen[HERE], seen[given.other]))
        print(f"round {number + 1}: this {rows[-1][0]:.4f}, other {rows[-1][1]:.4f}", flush=True)
    this, other = (statistics.median(column) for column in zip(*rows, strict=True))
    difference = statistics.median(a - b for a, b in rows)
    print(f"median of {len(rows)} rounds: this {this:.4f}, other {other:.4f}; difference, median of rounds: {difference:+.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
