"""Cost of the metrics of sample quality, next to their peers in the same run. Run by ``make bench``."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from ganwatch.metrics.frechet import FrechetDistance, FrechetReference
from ganwatch.metrics.moments import Moments

D = 2048
REALS = 5000
TRACE_GOALS = {256: 80.0, 1024: 8.0, 5000: 2.0}
"""Required speed-up of the trace term against ``eigvals``, by the number of generated samples."""
METRIC_GOAL = 2.0
BATCH = 500


class Features(nn.Identity):
    """Stand-in for the Inception network, because the metrics are measured and not the network."""

    num_features = D


def features(n: int, seed: int) -> Tensor:
    """Return correlated features with variances over two decades."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(D, D, generator=torch.Generator().manual_seed(0)) / D**0.5
    return (torch.randn(n, D, generator=generator) * torch.logspace(-1, 0, D)) @ mixing


def measure_time(work: Callable[[], float]) -> tuple[float, float]:
    started = time.perf_counter()
    value = work()
    return time.perf_counter() - started, value


def compare(title: str, ours: Callable[[], float], peer: Callable[[], float], goal: float, repeats: int) -> bool:
    """Time both in turn. Return True if the ratio of the medians meets the goal."""
    pairs = [(measure_time(ours), measure_time(peer)) for _ in range(repeats)]
    seconds, peer_seconds = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    value, expected = (pairs[-1][side][1] for side in (0, 1))
    met = peer_seconds / seconds >= goal
    print(
        f"{title}: {seconds:.3f} s against {peer_seconds:.3f} s, {peer_seconds / seconds:.1f} times faster, "
        f"goal {goal:g}: {'met' if met else 'NOT MET'}; values {value:.9g} and {expected:.9g}",
        flush=True,
    )
    return met


def by_eigenvalues(one: Tensor, other: Tensor, shift: Tensor) -> float:
    return float(shift.square().sum() + one.trace() + other.trace() - 2 * torch.linalg.eigvals(one @ other).sqrt().real.sum())


def compare_trace_terms(repeats: int) -> list[bool]:
    real = Moments.from_batches(features(REALS, 1))
    reference, covariance = FrechetReference(real), real.covariance
    met = []
    for n, goal in TRACE_GOALS.items():
        fake = Moments.from_batches(features(n, 2))
        other = fake.root.T @ fake.root if fake.root is not None else fake.covariance
        reference.distance(fake)
        ours = partial(reference.distance, fake)
        peer = partial(by_eigenvalues, covariance, other, real.mean - fake.mean)
        met.append(compare(f"trace term, {n:,} generated, D {D:,}, cached reals, against eigvals", ours, peer, goal, repeats))
    return met


def compare_metrics(repeats: int) -> bool:
    real, fake = features(REALS, 1), features(REALS, 2)

    def compute(make: Callable[[], FrechetDistance | FrechetInceptionDistance]) -> float:
        metric = make()
        for side, rows in ((True, real), (False, fake)):
            for batch in rows.split(BATCH):
                metric.update(batch, real=side)
        return float(metric.compute())

    return compare(
        f"update and compute, {REALS:,} + {REALS:,}, D {D:,}, against torchmetrics",
        lambda: compute(FrechetDistance),
        lambda: compute(lambda: FrechetInceptionDistance(feature=Features())),
        METRIC_GOAL,
        repeats,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each side")
    args = parser.parse_args()
    print(f"Processor load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; torch threads: {torch.get_num_threads()}")
    return 0 if all([*compare_trace_terms(args.repeats), compare_metrics(args.repeats)]) else 1


if __name__ == "__main__":
    sys.exit(main())
