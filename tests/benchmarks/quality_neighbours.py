"""Time and memory of precision, recall, density and coverage, side by side with the prdc package in one run. Run by ``make bench``.

Each side runs in a process of its own, so that its peak of memory is its own, and both are kept to one core.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

K = 5
LIMIT = 4.0
"""GiB."""


def measure(side: str, n: int, d: int) -> dict[str, float]:
    """Seconds, peak memory in GiB beyond that of the loaded data and packages, and the four values."""
    import torch

    real, fake = (torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    if side == "ganwatch":
        from ganwatch.metrics.coverage import neighbourhoods

        def work() -> dict[str, float]:
            return {name: part.value for name, part in neighbourhoods(real, fake, K).items()}
    else:
        from prdc import compute_prdc

        def work() -> dict[str, float]:
            return {name: float(value) for name, value in compute_prdc(real.numpy(), fake.numpy(), K).items()}

    before = peak()
    started = time.perf_counter()
    values = work()
    return {"seconds": time.perf_counter() - started, "memory": peak() - before, **values}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def in_a_process(side: str, n: int, d: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--samples", str(n), "--dimensions", str(d)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000, help="of each side")
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--side", choices=("ganwatch", "prdc"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    if given.side:
        print(json.dumps(measure(given.side, given.samples, given.dimensions)))
        return 0
    runs = [[in_a_process(side, given.samples, given.dimensions) for side in ("ganwatch", "prdc")] for _ in range(given.repeats)]
    ours, theirs = ({name: statistics.median(run[side][name] for run in runs) for name in runs[0][side]} for side in (0, 1))
    fast, small = ours["seconds"] <= theirs["seconds"], ours["memory"] <= LIMIT
    size = f"{given.samples:,} x {given.samples:,} x {given.dimensions}"
    print(
        f"precision, recall, density, coverage, {size}: {ours['seconds']:.2f} s against {theirs['seconds']:.2f} s of prdc, "
        f"goal no slower: {'met' if fast else 'NOT MET'}; {ours['memory']:.2f} GiB against {theirs['memory']:.2f} GiB, "
        f"goal {LIMIT:g} GiB: {'met' if small else 'NOT MET'}"
    )
    print("; ".join(f"{name} {ours[name]:.4f} and {theirs[name]:.4f}" for name in ("precision", "recall", "density", "coverage")))
    return 0 if fast and small else 1


if __name__ == "__main__":
    sys.exit(main())
