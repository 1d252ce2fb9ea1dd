"""Collapses at a known step: is "last good" the latest checkpoint from before the truth shows harm?

    python tests/benchmarks/last_good.py [--seeds 20]

Trains loops of the wild part of the corpus on the digits and on the ring. From a step on that differs from seed to seed a cause makes the
generator collapse. A checkpoint is saved every 50 steps, and the truth is measured every 5 steps around the cause. Trainings whose truth
shows no harm are left out.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from corpus.wild import design
from corpus.wild.causes import find_causes
from corpus.wild.generate import create_loop
from corpus.wild.label import label
from corpus.wild.loop import Loop
from corpus.wild.plan import WildPlan
from corpus.wild.recorder import TruthRecorder

import ganwatch
from ganwatch.calibration.rates import Proportion
from ganwatch.checkpoints import reader
from ganwatch.checkpoints.read_back import describe_checkpoint
from ganwatch.core.checkpoints import find_last_good

WORLDS = ("digits", "ring")
CAUSES = ("variance-reward", "mean-matching", "fast-generator", "one-target-only")
EVERY = 50
"""Steps between two checkpoints."""


class ReadBackHere:
    """Reads back in this process, as another one for each training would take longer than the training."""

    __call__ = staticmethod(describe_checkpoint)

    def close(self) -> None:
        """Do nothing."""


def make_plan(world: str, seed: int) -> WildPlan:
    """Return a training that collapses."""
    cause = find_causes()[CAUSES[seed % len(CAUSES)]]
    setup = design.Chooser(cause, seed).setup((world,), needs_good=True)
    at = design.READY[world] + 37 * seed % 200
    return WildPlan(**setup, steps=at + design.AFTER, seed=seed, cause=cause.label(), at=at)


def train(plan: WildPlan) -> tuple[int | None, int | None]:
    """Train with checkpoints. Return the step of the last good one, and the onset by the truth; None without either."""
    loop = create_loop(plan)
    truth, (g, d) = TruthRecorder(loop), loop.watched()
    parts = {"G": g, "D": d, **{f"optimizer of {role}": optimizer for role, optimizer in loop.optimizers.items()}}
    with tempfile.TemporaryDirectory() as folder:
        with ganwatch.watch(G=g, D=d, store=None, audit_seconds=0.0) as watching:
            for step in range(1, plan.steps + 1):
                loop.train_step(step)
                if truth.is_due(step):
                    truth.measure(step)
                if step % EVERY == 0:
                    watching.checkpoint(folder, parts)
                    watching.wait_for_checkpoints()
        found = find_last_good(watching.checkpoints)
    return None if found is None else found.step, label(describe_run(plan, loop, truth)).get("onset")


def describe_run(plan: WildPlan, loop: Loop, truth: TruthRecorder) -> dict[str, Any]:
    """Return what a label follows from."""
    return {
        "part": plan.part, "setup": plan.setup(), "seed": plan.seed, "steps": plan.steps, "truth": truth.rows,
        "cause": {"name": plan.cause, "step": plan.at, "kind": find_causes()[plan.cause or ""].kind()},
        "modes": loop.world.truth.modes, "complete": loop.world.truth.complete, "max_distance": loop.world.max_distance,
    }  # fmt: skip


def main() -> None:
    """Print a line for each training, and how many were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="trainings of each world whose truth shows harm")
    wanted = parser.parse_args().seeds
    logging.getLogger("ganwatch").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")
    torch.set_num_threads(1)
    setattr(reader, "ReadBack", ReadBackHere)  # noqa: B010  # called and closed like it
    for world in WORLDS:
        right = count = 0
        for seed in itertools.count():
            plan = make_plan(world, seed)
            found, onset = train(plan)
            if onset is None:
                print(f"{plan.name}: no harm", flush=True)
                continue
            latest = (onset - 1) // EVERY * EVERY
            right, count = right + (found == latest), count + 1
            print(f"{plan.name}: harm from step {onset}; last good {found}, latest before it {latest}", flush=True)
            if count == wanted:
                break
        low, high = Proportion(right, count).interval
        print(f"{world}: last good is the latest checkpoint before the harm in {right} of {count} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
