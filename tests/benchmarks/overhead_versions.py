"""Compares what observation costs in two checkouts, in turn: ``python tests/benchmarks/overhead_versions.py OTHER --rounds 4``.

Each round trains the demo GAN by either checkout, in random order, with observation switched on and off step by step. ``--what demo``
compares the ratio of step times, ``--what parts`` the microseconds of a step with one part after another. Each checkout is measured by
its own ``overhead.py``. OTHER is a checkout with an environment in ``.venv``.
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
ROWS = {
    "demo": (["ratio of step times"], r"wall +time ratio ([\d.]+)"),
    "parts": (["capture, µs", "and probes, µs", "and judging, µs", "and writing, µs"], r"^  [a-z ]+ (-?\d+) \[-?\d+, -?\d+\]"),
}
"""By what is compared: the names of the numbers, in order, and how a line has one."""


def measure(checkout: Path, what: str, seconds: float) -> dict[str, float]:
    """Return the numbers of one training by a checkout."""
    command = [str(checkout / ".venv" / "bin" / "python"), "tests/benchmarks/overhead.py", "--only", what, "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    names, pattern = ROWS[what]
    found = re.findall(pattern, done.stdout, re.MULTILINE)
    if len(found) != len(names):
        raise SystemExit(f"{checkout}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return dict(zip(names, map(float, found), strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("--what", choices=[*ROWS], default="demo")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0, help="longest time of one training")
    given = parser.parse_args()
    draws = random.Random(0)
    seen: dict[Path, list[dict[str, float]]] = {HERE: [], given.other: []}
    for number in range(given.rounds):
        for checkout in draws.sample([*seen], 2):
            seen[checkout].append(measure(checkout, given.what, given.seconds))
        print(f"round {number + 1}: this {seen[HERE][-1]}, other {seen[given.other][-1]}", flush=True)
    print(f"median of {given.rounds} rounds")
    for name in ROWS[given.what][0]:
        ours, theirs = ([row[name] for row in seen[checkout]] for checkout in (HERE, given.other))
        difference = statistics.median(a - b for a, b in zip(ours, theirs, strict=True))
        print(f"  {name}: this {statistics.median(ours):.4g}, other {statistics.median(theirs):.4g}; difference {difference:+.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
