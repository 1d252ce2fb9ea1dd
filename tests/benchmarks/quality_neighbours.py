"""Time and memory of precision, recall, density and coverage, next to the prdc package in the same run. Run by ``make bench``.

Each side runs in a process of its own, so that its peak of memory is its own. Both run on one core.
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
MAX_MEMORY = 4.0
"""Memory goal in GiB."""


def measure(side: str, n: int, d: int) -> dict[str, float]:
    """Return seconds, peak memory in GiB beyond that of the loaded data and packages, and the four values."""
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

    before = peak_memory()
    started = time.perf_counter()
    values = work()
    return {"seconds": time.perf_counter() - started, "memory": peak_memory() - before, **values}


def peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_in_process(side: str, n: int, d: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--samples", str(n), "--dimensions", str(d)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    values: dict[str, float] = json.loads(printed.splitlines()[-1])
    return values


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000, help="samples of each side")
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each side")
    parser.add_argument("--side", choices=("ganwatch", "prdc"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    if args.side:
        print(json.dumps(measure(args.side, args.samples, args.dimensions)))
        return 0
    runs = [[measure_in_process(side, args.samples, args.dimensions) for side in ("ganwatch", "prdc")] for _ in range(args.repeats)]
    ours, theirs = ({name: statistics.median(run[side][name] for run in runs) for name in runs[0][side]} for side in (0, 1))
    fast, small = ours["seconds"] <= theirs["seconds"], ours["memory"] <= MAX_MEMORY
    size = f"{args.samples:,} x {args.samples:,} x {args.dimensions}"
    print(
        f"precision, recall, density, coverage, {size}: {ours['seconds']:.2f} s against {theirs['seconds']:.2f} s of prdc, "
        f"goal no slower: {'met' if fast else 'NOT MET'}; {ours['memory']:.2f} GiB against {theirs['memory']:.2f} GiB, "
        f"goal {MAX_MEMORY:g} GiB: {'met' if small else 'NOT MET'}"
    )
    print("; ".join(f"{name} {ours[name]:.4f} and {theirs[name]:.4f}" for name in ("precision", "recall", "density", "coverage")))
    return 0 if fast and small else 1


if __name__ == "__main__":
    sys.exit(main())
