"""Table of feature extractors: how well each separates real samples from spoiled ones, and at which cost.

    python tests/benchmarks/features.py run --out runs/features            # resumable; one thread, a quarter of an hour
    python tests/benchmarks/features.py show --out runs/features           # prints the table
    python tests/benchmarks/features.py show --out runs/features --publish # and writes it to docs/ and next to this file

For each seed, 200 samples of real data are compared with 200 others, once unchanged and once spoiled. A cell is the
probability that the spoiled ones give the larger distance (area under the ROC curve, 0.5 is chance), averaged over the Fréchet and the
kernel distance and over two strengths. For copies it is the median distance to the nearest real sample that must be smaller.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.features.extraction import extract
from ganwatch.metrics.frechet import frechet_distance
from ganwatch.metrics.kernel import kernel_distance

SEEDS, SAMPLES, POOL = 30, 200, 800
MAX_MILLISECONDS = 2000.0
"""Cost for 1,000 images up to which an extractor can be the best."""
RESULTS = Path(__file__).with_suffix(".json")
DOCUMENT = Path(__file__).parents[2] / "docs" / "feature-extractors.md"
BEGIN, END = "<!-- features -->", "<!-- /features -->"
FAULTS = ("dropped", "collapse", "blur", "noise", "copies")


@dataclass(frozen=True)
class Data:
    """A pool of real samples with their modes, and two strengths of each fault."""

    samples: Tensor
    modes: Tensor
    dropped: tuple[int, int]
    blur: tuple[float, float]
    noise: tuple[float, float]
    copy_noise: float
    copy_contrast: float
    train: dict[str, Any]

    @property
    def images(self) -> bool:
        return self.samples.ndim == 4

    def blurred(self, strength: float) -> Tensor:
        """Smooth images by a Gaussian of ``strength`` pixels, or pull vectors by that share to the mean of their mode."""
        if self.images:
            reach = 4
            line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / strength) ** 2)
            kernel = torch.outer(line, line)[None, None] / line.sum() ** 2
            flat = self.samples.flatten(0, 1)[:, None]
            padded = torch.nn.functional.pad(flat, (reach,) * 4, mode="replicate")
            return torch.nn.functional.conv2d(padded, kernel).reshape(self.samples.shape)
        means = torch.stack([self.samples[self.modes == kind].mean(0) for kind in range(int(self.modes.max()) + 1)])
        return self.samples + strength * (means[self.modes] - self.samples)

    def noised(self, strength: float) -> Tensor:
        noise = torch.randn(self.samples.shape, generator=torch.Generator().manual_seed(1))
        spoiled = self.samples + strength * noise
        return spoiled.clamp(-1, 1) if self.images else spoiled

    def variants(self) -> dict[str, Tensor]:
        """Return the pool unchanged and spoiled sample by sample."""
        found = {"as it is": self.samples, "copies 0": self.noised(self.copy_noise), "copies 1": self.copy_contrast * self.samples}
        for place in (0, 1):
            found |= {f"blur {place}": self.blurred(self.blur[place]), f"noise {place}": self.noised(self.noise[place])}
        return found


def digits() -> Data:
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(found.images[:POOL]).float()[:, None] / 8 - 1
    train = {"shape": (1, 8, 8), "steps": 600}
    return Data(images, torch.from_numpy(found.target[:POOL]).long(), (1, 2), (0.3, 0.4), (0.1, 0.2), 0.1, 0.9, train)


def photographs() -> Data:
    """Return patches of 32x32 pixels of two photographs. The modes are eight regions."""
    from sklearn.datasets import load_sample_images

    random, patches, modes = np.random.default_rng(0), [], []
    for number, photo in enumerate(load_sample_images().images):
        high, wide = photo.shape[0] - 32, photo.shape[1] - 32
        for top, left in zip(random.integers(high, size=POOL // 2), random.integers(wide, size=POOL // 2), strict=True):
            patches.append(photo[top : top + 32, left : left + 32])
            modes.append(4 * number + 2 * (top > high // 2) + (left > wide // 2))
    images = torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 127.5 - 1
    train = {"shape": (3, 32, 32), "steps": 250}
    return Data(images.contiguous(), torch.tensor(modes), (1, 2), (0.8, 1.2), (0.1, 0.2), 0.1, 0.9, train)


def tumours() -> Data:
    """30 standardised measurements of each of 569 tumours (breast cancer of Wisconsin); modes are benign and malignant, halved by size."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    values = torch.from_numpy((found.data - found.data.mean(0)) / found.data.std(0)).float()
    modes = torch.from_numpy(found.target).long() * 2
    for kind in (0, 2):
        rows = modes == kind
        modes[rows] += (values[rows, 0] > values[rows, 0].median()).long()
    return Data(values, modes, (1, 2), (0.1, 0.2), (0.2, 0.3), 0.1, 0.98, {"shape": (30,), "steps": 1500})


def grid() -> Data:
    from ganwatch.data.bundled import draw_grid

    points, modes = draw_grid(POOL, 0)
    return Data(points, modes, (3, 6), (0.5, 0.8), (0.2, 0.3), 0.002, 0.998, {"shape": (2,), "steps": 1500})


DATA = {"digits": digits, "photographs": photographs, "tumours": tumours, "grid": grid}


def extractors(data: Data) -> dict[str, Callable[[], Any]]:
    """Return the extractors for the data as functions that create them."""
    from ganwatch.features.identity import Identity
    from ganwatch.features.pretrained import PretrainedNetwork
    from ganwatch.features.random_conv import RandomConv

    if not data.images:
        return {"identity": Identity, "discriminator": lambda: discriminator(data)}
    return {
        "identity": Identity,
        "random-conv": RandomConv,
        "pretrained": PretrainedNetwork,
        "discriminator": lambda: discriminator(data),
    }


def discriminator(data: Data) -> Any:
    """Return the discriminator of a short training on the pool."""
    from lightning import LightningDataModule
    from torch.utils.data import TensorDataset

    from ganwatch.features.penultimate import Penultimate
    from ganwatch.trainer.data import Batches
    from ganwatch.trainer.module import GAN
    from ganwatch.trainer.run import fit

    class Pool(LightningDataModule):
        def train_dataloader(self) -> Batches:
            return Batches(TensorDataset(data.samples), batch_size=64)

    torch.manual_seed(0)
    given = dict(data.train)
    steps = given.pop("steps")
    model = GAN(**given)
    fit(model, Pool(), steps=steps, seed=0, threads=1)
    return Penultimate(model.discriminator)


def evaluate(name: str, extractor: str) -> dict[str, Any]:
    """Return areas under the curve by fault, and milliseconds of one core for 1,000 samples."""
    data = DATA[name]()
    made = extractors(data)[extractor]()
    features, spent = {}, 0.0
    for variant, samples in data.variants().items():
        started = time.process_time()
        features[variant] = extract(samples.split(100), made)
        spent += time.process_time() - started
    count = len(features) * len(data.samples)
    distances: dict[str, list[list[float]]] = {}
    for seed in range(SEEDS):
        for cell, values in measure_distances(data, features, seed).items():
            distances.setdefault(cell, []).append(values)
    areas = {}
    for fault in FAULTS:
        null = np.array(distances["copies null" if fault == "copies" else "null"])
        sign = -1 if fault == "copies" else 1
        parts = [auc(sign * null[:, column], sign * np.array(distances[f"{fault} {place}"])[:, column]) for place in (0, 1)
                 for column in range(null.shape[1])]  # fmt: skip
        areas[fault] = float(np.mean(parts))
    return {"data": name, "extractor": extractor, "dim": features["as it is"].shape[1], "ms": 1e6 * spent / count, "areas": areas}


def measure_distances(data: Data, features: dict[str, Tensor], seed: int) -> dict[str, list[float]]:
    """Return the distances of one draw: 200 reals to 200 others, unchanged and spoiled."""
    random = np.random.default_rng(seed)
    order = torch.from_numpy(random.permutation(len(data.samples)))
    real, rest = order[:SAMPLES], order[SAMPLES:]
    fresh, plain = rest[:SAMPLES], features["as it is"]
    found = {"null": distances_between(plain[real], plain[fresh]), "copies null": [nearest_distance(plain[real], plain[fresh])]}
    for place in (0, 1):
        gone = random.choice(int(data.modes.max()) + 1, data.dropped[place], replace=False)
        kept = rest[~torch.isin(data.modes[rest], torch.from_numpy(gone))]
        few = rest[: (80, 40)[place]]
        found[f"dropped {place}"] = distances_between(plain[real], plain[draw(kept, random)])
        found[f"collapse {place}"] = distances_between(plain[real], plain[few.repeat(SAMPLES // len(few) + 1)[:SAMPLES]])
        for fault in ("blur", "noise"):
            found[f"{fault} {place}"] = distances_between(plain[real], features[f"{fault} {place}"][fresh])
        found[f"copies {place}"] = [nearest_distance(plain[real], features[f"copies {place}"][real])]
    return found


def draw(rows: Tensor, random: np.random.Generator) -> Tensor:
    """Draw 200 of some rows, without repetition if there are enough."""
    return rows[:SAMPLES] if len(rows) >= SAMPLES else rows[torch.from_numpy(random.integers(len(rows), size=SAMPLES))]


def distances_between(real: Tensor, fake: Tensor) -> list[float]:
    return [frechet_distance(real, fake), kernel_distance(real, fake)]


def nearest_distance(real: Tensor, fake: Tensor) -> float:
    return float(torch.cdist(fake, real).min(1).values.median())


def auc(null: np.ndarray[Any, Any], spoiled: np.ndarray[Any, Any]) -> float:
    """Return the probability that a spoiled value is larger. Ties count half."""
    return float(((spoiled[:, None] > null) + 0.5 * (spoiled[:, None] == null)).mean())


def run(args: argparse.Namespace) -> int:
    """Measure what is missing. It can be stopped and started again at any time."""
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, make in DATA.items():
        for extractor in extractors(make()):
            path = args.out / f"{name}-{extractor.replace(', ', '-').replace(' ', '-')}.json"
            if path.exists():
                continue
            started = time.time()
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(evaluate(name, extractor)))
            partial.replace(path)
            print(f"{name} {extractor}: {time.time() - started:.0f} s", flush=True)
    return show(args)


def read_rows(out: Path) -> list[dict[str, Any]]:
    """Read the rows in the order of the table."""
    rows = [json.loads(path.read_text()) for path in out.glob("*.json")]
    names = list(DATA)
    return sorted(rows, key=lambda row: (names.index(row["data"]), row["ms"]))


def markdown(rows: list[dict[str, Any]]) -> str:
    """Format the table."""
    lines = [f"| data | extractor | {' | '.join(FAULTS)} | mean | values | ms for 1,000 |", "|---" * (len(FAULTS) + 5) + "|"]
    for row in rows:
        areas = [row["areas"][fault] for fault in FAULTS]
        cells = [f"{area:.2f}" for area in (*areas, sum(areas) / len(areas))]
        lines.append(f"| {row['data']} | {row['extractor']} | {' | '.join(cells)} | {row['dim']:,} | {row['ms']:,.0f} |")
    return "\n".join(lines)


def best(rows: list[dict[str, Any]]) -> str:
    """Return the best extractor of the registry, on average, that takes at most two seconds for 1,000 images."""
    from ganwatch.features.registry import NAMED_EXTRACTORS

    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["data"] in ("digits", "photographs") and row["extractor"] in NAMED_EXTRACTORS:
            found.setdefault(row["extractor"], []).append(row)
    cheap = [name for name, parts in found.items() if max(part["ms"] for part in parts) <= MAX_MILLISECONDS]
    return max(cheap, key=lambda name: np.mean([area for part in found[name] for area in part["areas"].values()]))


def show(args: argparse.Namespace) -> int:
    """Print the table."""
    rows = read_rows(args.out)
    print(markdown(rows))
    if args.publish:
        RESULTS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(before + BEGIN + "\n" + markdown(rows) + "\n" + END + rest.partition(END)[2])
    return 0


def main() -> int:
    """Measure or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "show"))
    parser.add_argument("--out", type=Path, default=Path("runs/features"))
    publish = "write the table to docs/feature-extractors.md and its rows next to this file"
    parser.add_argument("--publish", action="store_true", help=publish)
    args = parser.parse_args()
    return run(args) if args.action == "run" else show(args)


if __name__ == "__main__":
    sys.exit(main())
