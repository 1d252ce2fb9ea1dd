"""Verdicts of the drift check on months of a model's life, with real digits.

    python tests/benchmarks/drift_scenarios.py                 # 20 seeds; resumable, because trained generators are stored in --out
    python tests/benchmarks/drift_scenarios.py --seeds 0 --count 5
    python tests/benchmarks/drift_scenarios.py --features random-conv --months "a missing digit"

For each seed the 1,797 digits are split into baseline, fresh and held-out parts, and a GAN learns the baseline. Its samples are the
accepted reference. More samples of the same weights are the generator before collapse. A second training with the cause of the
demonstration's ``mode-collapse`` gives the generator after collapse. A digit classifier that no test sees counts the digits of both.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

LEVEL = 0.02
"""Level of one check. The data and the generator get half of it each."""
FEATURES = "identity"
"""Pixels: on images this small they tell the ten digits apart better than a network for larger ones."""
PARTS = (600, 700, 497)
STEPS, STEPS_TO_COLLAPSE, DRAWN = 350, 120, 600
EXPECTED = {
    "the same world next month": "unchanged",
    "brighter scans": "world_moved",
    "a missing digit": "world_moved",
    "a changed mix of digits": "world_moved",
    "the generator after collapse": "generator_regressed",
    "brighter scans, and the generator after collapse": "both",
    "thirty scans": "insufficient_data",
}

Digits = tuple[np.ndarray, np.ndarray]


def split(seed: int) -> list[Digits]:
    """Return baseline, fresh and held-out digits ``(N, 1, 8, 8)`` in [-1, 1] with labels, disjoint."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images / 8.0 - 1.0).astype(np.float32)[:, None]
    order = np.random.default_rng([seed, 1797]).permutation(len(images))
    return [(images[part], found.target[part]) for part in np.split(order, np.cumsum(PARTS)[:-1])]


def fresh_data(seed: int) -> dict[str, Digits]:
    """Return the real data of each month."""
    _, (images, labels), held_out = split(seed)
    rng = np.random.default_rng([seed, 1])
    there, rarer = labels != seed % 10, (labels < 5) | (rng.random(len(labels)) < 1 / 3)
    return {
        "the same world next month": held_out,
        "brighter scans": (np.minimum(images + 0.2, 1.0), labels),
        "a missing digit": (images[there], labels[there]),
        "a changed mix of digits": (images[rarer], labels[rarer]),
        "the generator after collapse": held_out,
        "brighter scans, and the generator after collapse": (np.minimum(images + 0.2, 1.0), labels),
        "thirty scans": (images[:30], labels[:30]),
    }


def generators(seed: int, folder: Path) -> dict[str, np.ndarray]:
    """Return samples of the accepted generator, before and after collapse, and their numbers of digits. Each seed is trained once."""
    path = folder / f"seed-{seed}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **train_both(seed))
        partial.rename(path)
    with np.load(path) as kept:
        return dict(kept)


def train_both(seed: int) -> dict[str, np.ndarray]:
    """Train on the baseline, and again with a real cause of collapse."""
    from truth import MIN_PRESENT_SHARE, classifier

    from ganwatch.trainer.faults import FAULTS

    healthy, collapsed = (train(seed, steps, cause) for steps, cause in ((STEPS, {}), (STEPS_TO_COLLAPSE, FAULTS["mode-collapse"].model)))
    drawn = {"accepted": healthy(DRAWN).numpy(), "before": healthy(DRAWN).numpy(), "after": collapsed(DRAWN).numpy()}
    digits = classifier()
    predicted = [digits.predict((drawn[side].reshape(DRAWN, -1) + 1) * 8) for side in ("before", "after")]
    return drawn | {"modes": np.array([(np.bincount(labels, minlength=10) / DRAWN >= MIN_PRESENT_SHARE).sum() for labels in predicted])}


def train(seed: int, steps: int, cause: Mapping[str, Any]) -> Callable[[int], Any]:
    """Train a GAN on the baseline. Return the function that draws its samples."""
    import lightning
    import torch
    from torch.utils.data import TensorDataset

    from ganwatch.trainer.data import GANData
    from ganwatch.trainer.defaults import DIGITS
    from ganwatch.trainer.module import GAN
    from ganwatch.trainer.run import fit

    data = GANData(seed=seed)
    data.dataset = TensorDataset(*map(torch.from_numpy, split(seed)[0]))
    lightning.seed_everything(seed, verbose=False)
    gan = GAN(**DIGITS["non-saturating"] | dict(cause))
    fit(gan, data, steps=steps, seed=seed, threads=1)
    return gan.sample


def verdicts(
    seed: int, drawn: dict[str, np.ndarray], *, months: Iterable[str] = tuple(EXPECTED), level: float = LEVEL, features: str = FEATURES
) -> dict[str, Any]:
    """Return the result of the drift check for each month."""
    from ganwatch.drift.check import DriftCheck

    check = DriftCheck(split(seed)[0], level=level, seed=seed, features=features)
    reference = check.reader.read(drawn["accepted"], "reference").features
    found = {}
    fresh_by_name = fresh_data(seed)
    for name in months:
        generator = drawn["after" if "collapse" in name else "before"]
        found[name] = check(fresh_by_name[name], generator, reference=reference).drift
    return found


def main() -> int:
    """Print the table. Return 1 if a month gets the right verdict in fewer than 19 of 20 seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000, help="first seed (the published table: 1000)")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--level", type=float, default=LEVEL)
    parser.add_argument("--features", default=FEATURES)
    parser.add_argument("--months", nargs="+", choices=EXPECTED, default=list(EXPECTED), metavar="MONTH", help="only these (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/drift"))
    args = parser.parse_args()
    given: dict[str, Counter[str]] = {name: Counter() for name in args.months}
    modes = []
    for seed in range(args.seeds, args.seeds + args.count):
        drawn = generators(seed, args.out)
        modes.append(drawn["modes"])
        for name, found in verdicts(seed, drawn, months=args.months, level=args.level, features=args.features).items():
            given[name][str(found.verdict)] += 1
        print(f"seed {seed}: modes before and after {drawn['modes'].tolist()}", file=sys.stderr, flush=True)
    print("| month | verdict | right | others |\n|---|---|---|---|")
    for name, counts in given.items():
        others = ", ".join(f"{verdict} {count}" for verdict, count in counts.items() if verdict != EXPECTED[name])
        print(f"| {name} | `{EXPECTED[name]}` | {counts[EXPECTED[name]]} of {args.count} | {others} |")
    before, after = np.array(modes).T
    print(f"\ndifferent digits drawn (of 10): before {before.min()} to {before.max()}, after {after.min()} to {after.max()}")
    return int(any(counts[EXPECTED[name]] < 0.95 * args.count for name, counts in given.items()))


if __name__ == "__main__":
    sys.exit(main())
