"""One of several processes that share an extraction: ``extraction.py OUT``, started by the tests through torchrun."""

import json
import sys
from pathlib import Path

import torch
from torch import distributed

from ganwatch.metrics.coverage import Coverage
from ganwatch.metrics.frechet import FrechetDistance
from ganwatch.metrics.kernel import KernelDistance
from ganwatch.metrics.modes import MissingModes
from ganwatch.metrics.processes import local_shard

METRICS = (FrechetDistance, KernelDistance, Coverage, MissingModes)


def batches():
    """Of both sides; the only batch of generated samples falls to the first process."""
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(140, 12, generator=generator) + 50.0, torch.randn(90, 12, generator=generator) + 50.5
    return real.split(25), fake.split(90)


def measured(cls, local_shard=local_shard):
    metric = cls()
    for side, given in zip((True, False), batches(), strict=True):
        for batch in local_shard(given):
            metric.update(batch, real=side)
    return metric


def main(out):
    distributed.init_process_group("gloo")
    rank, result = distributed.get_rank(), {}
    for cls in METRICS:
        metric = measured(cls)
        mine = [metric.count(real=side) for side in (True, False)]
        result[cls.__name__] = {"value": float(metric.compute()), "estimate": metric.estimate().as_dict(), "mine": mine}
        assert mine == [metric.count(real=side) for side in (True, False)]
    few = KernelDistance(reservoir=10)
    few.update(torch.arange(100.0)[:, None] + 100.0 * rank, real=True)
    few.sync()
    result["kept"] = few.features(real=True).flatten().tolist()
    few.unsync()
    try:
        metric = KernelDistance()
        metric.update(torch.zeros(3, 2 + rank), real=True)
        metric.compute()
    except ValueError as error:
        result["error"] = str(error)
    (out / f"rank{rank}.json").write_text(json.dumps(result))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
