"""Does the gate reject a collapsed generator and pass an equal one? And how often does it pass a worse one?

    python tests/benchmarks/gate_rates.py trainings [--seeds 20]
    python tests/benchmarks/gate_rates.py level [--repeats 1000]

``trainings`` trains loops of the wild part of the corpus on digits and ring; from a step on a cause makes the generator collapse.
The baseline is the generator just before the cause. Candidates are the generator at the end, the baseline saved as another version, which
draws the same samples from the same latents, and the baseline with other latents. Reals are in no training data.

``level`` draws, with replacement, from pools of which all distances are known: real digits, and digits with noise as those of the baseline.
The candidate draws the same, and a share of samples with more noise that makes its distance larger by exactly the margin. The share of the
candidates that one distance lets pass is to be the level, 0.01, or less.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import warnings
from collections import Counter, defaultdict
from copy import deepcopy
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from corpus.wild.generate import create_loop
from corpus.wild.label import label
from corpus.wild.loop import Loop
from corpus.wild.plan import WildPlan
from corpus.wild.recorder import TruthRecorder
from corpus.worlds import HELD_OUT, create_world
from last_good import WORLDS, describe_run, make_plan
from torch import Tensor
from torch.nn import Module

from ganwatch.calibration.rates import Proportion
from ganwatch.data.bundled import draw_ring
from ganwatch.features.extraction import extract
from ganwatch.features.registry import make_extractor
from ganwatch.gate.checks import GateFeatures, run_checks
from ganwatch.gate.outcome import combine_outcomes
from ganwatch.gate.paired import compare_distances, frechet_without_blocks, kernel_without_blocks
from ganwatch.metrics.kernel import polynomial_kernel

SAMPLES, FEW, BEFORE = 1000, 20, 50
MARGIN, LEVEL = 0.05, 0.01


def held_out_reals(world: str) -> Tensor:
    """Return reals that are in no training data."""
    if world == "ring":
        return draw_ring(SAMPLES, 3)[0] * 2.0
    digits = create_world("digits")
    unseen = torch.from_numpy(digits.truth.reals).float().unflatten(1, (1, 8, 8))[:HELD_OUT]
    return torch.cat([unseen, digits.heldout])


def draw(loop: Loop, generator: Module, count: int, seed: int) -> Tensor:
    """Draw samples of a generator in evaluation mode."""
    chance = torch.Generator().manual_seed(seed)
    latents = torch.randn(count, loop.latents, generator=chance)
    labels = [loop.pool_labels[torch.randint(len(loop.pool_labels), (count,), generator=chance)]] * loop.world.conditional
    with torch.no_grad():
        samples: Tensor = generator.eval()(latents, *labels)
    return samples


def gate(real: Tensor, candidate: Tensor, baseline: Tensor, *, is_image: bool) -> str:
    """Return the outcome of the gate."""
    extractor = make_extractor(None, vectors=not is_image)
    features = [extract([rows], extractor) for rows in (real, candidate, baseline)]
    return combine_outcomes(run_checks(GateFeatures(*features), margin=MARGIN, level=LEVEL)).value


def train(plan: WildPlan) -> tuple[Loop, dict[int, Module], bool]:
    """Train a loop. Return it, its generator of 50 steps before the cause and of the last step before, and whether the truth shows harm."""
    loop, generators = create_loop(plan), {}
    truth = TruthRecorder(loop)
    for step in range(1, plan.steps + 1):
        if step in {plan.at - BEFORE, plan.at}:
            generators[step] = deepcopy(loop.g)
        loop.train_step(step)
        if truth.is_due(step):
            truth.measure(step)
    return loop, generators, label(describe_run(plan, loop, truth)).get("onset") is not None


def run_trainings(wanted: int) -> None:
    """Print a line for each training, and the outcomes of each kind of candidate."""
    for world in WORLDS:
        outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        real, is_image, count = held_out_reals(world), world == "digits", 0
        for seed in itertools.count():
            plan = make_plan(world, seed)
            loop, generators, has_harm = train(plan)
            if not has_harm:
                continue
            baseline = draw(loop, generators[plan.at], SAMPLES, 1)
            candidates = {
                "collapsed": draw(loop, loop.g, SAMPLES, 1),
                "equal": draw(loop, deepcopy(generators[plan.at]), SAMPLES, 1),
                "other latents": draw(loop, generators[plan.at], SAMPLES, 2),
                "50 steps before": draw(loop, generators[plan.at - BEFORE], SAMPLES, 1),
            }
            found = {name: gate(real, rows, baseline, is_image=is_image) for name, rows in candidates.items()}
            found["equal, 20 samples"] = gate(real, candidates["equal"][:FEW], baseline[:FEW], is_image=is_image)
            print(plan.name, found, flush=True)
            for name, outcome in found.items():
                outcomes[name][outcome] += 1
            count += 1
            if count == wanted:
                break
        for name, counted in outcomes.items():
            print(f"{world}, {name}: {', '.join(f'{outcome} {number} of {count}' for outcome, number in counted.items())}", flush=True)


def population_distances(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Return the distances of two pools, each sample as likely as any other."""
    moments = [(rows.mean(0), torch.cov(rows.T, correction=0)) for rows in (real, fake)]
    (mean, covariance), (other_mean, other_covariance) = moments
    root = torch.linalg.eigvals(covariance @ other_covariance).real.clamp_min(0.0).sqrt().sum()
    frechet = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2.0 * root
    means = [float(polynomial_kernel(one, two).mean()) for one, two in ((real, real), (fake, fake), (real, fake))]
    return {"frechet": float(frechet), "kernel": means[0] + means[1] - 2.0 * means[2]}


def spoil(baseline: Tensor, worse: Tensor, share: float) -> Tensor:
    """Return the pool in which the first samples are worse ones."""
    count = round(share * len(baseline))
    return torch.cat([worse[:count], baseline[count:]])


def find_share(name: str, real: Tensor, baseline: Tensor, worse: Tensor) -> float:
    """Return the smallest share of worse samples that makes a distance larger by the margin or more."""
    limit = (1.0 + MARGIN) * population_distances(real, baseline)[name]
    low, high = 0, len(baseline)
    while high - low > 1:
        middle = (low + high) // 2
        is_over = population_distances(real, spoil(baseline, worse, middle / len(baseline)))[name] >= limit
        low, high = (low, middle) if is_over else (middle, high)
    return high / len(baseline)


def run_level(repeats: int) -> None:
    """Print how often a candidate that is worse by the margin passes, and how often it is called worse."""
    chance = torch.Generator().manual_seed(0)
    digits = create_world("digits")
    images = torch.from_numpy(digits.truth.reals).float().unflatten(1, (1, 8, 8))
    extractor = make_extractor(None, vectors=False)
    noisy = [(images + sigma * torch.randn(images.shape, generator=chance)).clamp(-1.0, 1.0) for sigma in (0.2, 0.5)]
    real, baseline, worse = (extract([rows], extractor).double() for rows in (images, *noisy))
    for name, distances in (("kernel", kernel_without_blocks), ("frechet", frechet_without_blocks)):
        share = find_share(name, real, baseline, worse)
        candidate = spoil(baseline, worse, share)
        print(f"{name}: the candidate has {share:.1%} worse samples", flush=True)
        for samples, is_paired in itertools.product((300, SAMPLES), (True, False)):
            passed = rejected = 0
            for _ in range(repeats):
                of_real, first, second = (torch.randint(len(real), (samples,), generator=chance) for _ in range(3))
                rows = candidate[first], baseline[first if is_paired else second]
                found = compare_distances(real[of_real], *rows, distances, margin=MARGIN, level=LEVEL)
                passed, rejected = passed + found.is_not_worse, rejected + found.is_worse
            low, high = Proportion(passed, repeats).interval
            which = "same latents" if is_paired else "other latents"
            rates = f"passed {passed / repeats:.2%} ({low:.2%} to {high:.2%}), rejected {rejected / repeats:.2%}"
            print(f"  {samples} samples, {which}: {rates}", flush=True)


def main() -> None:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("trainings", "level"))
    parser.add_argument("--seeds", type=int, default=20, help="trainings of each world whose truth shows harm")
    parser.add_argument("--repeats", type=int, default=300, help="comparisons of each kind")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")
    torch.set_num_threads(1)
    if args.part == "trainings":
        run_trainings(args.seeds)
    else:
        run_level(args.repeats)


if __name__ == "__main__":
    main()
