"""The table of feature extractors: which tells real samples from spoiled ones best, at which cost.

    python tests/benchmarks/features.py run --out runs/features            # resumable; one thread, a quarter of an hour
    python tests/benchmarks/features.py show --out runs/features           # prints the table
    python tests/benchmarks/features.py show --out runs/features --publish # and writes it into docs/feature-extractors.md and beside this file

For each of so many seeds, 200 samples of real data are compared with 200 others, once as they are and once spoiled. A cell is the
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
AFFORDABLE = 2000.0
RESULTS = Path(__file__).with_suffix(".json")
DOCUMENT = Path(__file__).parents[2] / "docs" / "feature-extractors.md"
BEGIN, END = "<!-- features -->", "<!-- /features -->"
FAULTS = ("dropped", "collapse", "blur", "noise", "copies")


@dataclass(frozen=True)
class Data:
    """A pool of real samples with the kind of each, and what spoils them a little and more."""

    samples: Tensor
    kinds: Tensor
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
        """Images smoothed by a Gaussian of so many pixels; vectors pulled by that share to the mean of their kind."""
        if self.images:
            reach = 4
            line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / strength) ** 2)
            kernel = torch.outer(line, line)[None, None] / line.sum() ** 2
            flat = self.samples.flatten(0, 1)[:, None]
            padded = torch.nn.functional.pad(flat, (reach,) * 4, mode="replicate")
            return torch.nn.functional.conv2d(padded, kernel).reshape(self.samples.shape)
        means = torch.stack([self.samples[self.kinds == kind].mean(0) for kind in range(int(self.kinds.max()) + 1)])
        return self.samples + strength * (means[self.kinds] - self.samples)

    def noised(self, strength: float) -> Tensor:
        noise = torch.randn(self.samples.shape, generator=torch.Generator().manual_seed(1))
        spoiled = self.samples + strength * noise
        return spoiled.clamp(-1, 1) if self.images else spoiled

    def variants(self) -> dict[str, Tensor]:
        """The pool as it is and spoiled sample by sample."""
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
    """Patches of 32x32 pixels of two photographs; the kinds are eight regions."""
    from sklearn.datasets import load_sample_images

    random, patches, kinds = np.random.default_rng(0), [], []
    for number, photo in enumerate(load_sample_images().images):
        high, wide = photo.shape[0] - 32, photo.shape[1] - 32
        for top, left in zip(random.integers(high, size=POOL // 2), random.integers(wide, size=POOL // 2), strict=True):
            patches.append(photo[top : top + 32, left : left + 32])
            kinds.append(4 * number + 2 * (top > high // 2) + (left > wide // 2))
    images = torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 127.5 - 1
    train = {"shape": (3, 32, 32), "steps": 250}
    return Data(images.contiguous(), torch.tensor(kinds), (1, 2), (0.8, 1.2), (0.1, 0.2), 0.1, 0.9, train)


def tumours() -> Data:
    """30 standardised measurements of each of 569 tumours (breast cancer of Wisconsin); kinds are benign and malignant, halved by size."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    values = torch.from_numpy((found.data - found.data.mean(0)) / found.data.std(0)).float()
    kinds = torch.from_numpy(found.target).long() * 2
    for kind in (0, 2):
        rows = kinds == kind
        kinds[rows] += (values[rows, 0] > values[rows, 0].median()).long()
    return Data(values, kinds, (1, 2), (0.1, 0.2), (0.2, 0.3), 0.1, 0.98, {"shape": (30,), "steps": 1500})


def grid() -> Data:
    from ganwatch.data.bundled import draw_grid

    points, modes = draw_grid(POOL, 0)
    return Data(points, modes, (3, 6), (0.5, 0.8), (0.2, 0.3), 0.002, 0.998, {"shape": (2,), "steps": 1500})


DATA = {"digits": digits, "photographs": photographs, "tumours": tumours, "grid": grid}


def extractors(data: Data) -> dict[str, Callable[[], Any]]:
    """What is compared on such data; what is made is not paid for unless it is used."""
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
    """The discriminator of a short training on the pool."""
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


def one(name: str, extractor: str) -> dict[str, Any]:
    """Areas under the curve by fault, and milliseconds of one core for 1,000 samples."""
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
        for cell, values in compared(data, features, seed).items():
            distances.setdefault(cell, []).append(values)
    areas = {}
    for fault in FAULTS:
        null = np.array(distances["copies null" if fault == "copies" else "null"])
        sign = -1 if fault == "copies" else 1
        parts = [auc(sign * null[:, column], sign * np.array(distances[f"{fault} {place}"])[:, column]) for place in (0, 1)
                 for column in range(null.shape[1])]  # fmt: skip
        areas[fault] = float(np.mean(parts))
    return {"data": name, "extractor": extractor, "dim": features["as it is"].shape[1], "ms": 1e6 * spent / count, "areas": areas}


def compared(data: Data, features: dict[str, Tensor], seed: int) -> dict[str, list[float]]:
    """Distances of one draw: of 200 reals to 200 others, as they are and spoiled."""
    random = np.random.default_rng(seed)
    order = torch.from_numpy(random.permutation(len(data.samples)))
    real, rest = order[:SAMPLES], order[SAMPLES:]
    fresh, plain = rest[:SAMPLES], features["as it is"]
    found = {"null": apart(plain[real], plain[fresh]), "copies null": [nearest(plain[real], plain[fresh])]}
    for place in (0, 1):
        gone = random.choice(int(data.kinds.max()) + 1, data.dropped[place], replace=False)
        kept = rest[~torch.isin(data.kinds[rest], torch.from_numpy(gone))]
        few = rest[: (80, 40)[place]]
        found[f"dropped {place}"] = apart(plain[real], plain[drawn(kept, random)])
        found[f"collapse {place}"] = apart(plain[real], plain[few.repeat(SAMPLES // len(few) + 1)[:SAMPLES]])
        for fault in ("blur", "noise"):
            found[f"{fault} {place}"] = apart(plain[real], features[f"{fault} {place}"][fresh])
        found[f"copies {place}"] = [nearest(plain[real], features[f"copies {place}"][real])]
    return found


def drawn(rows: Tensor, random: np.random.Generator) -> Tensor:
    """200 of some rows, without repetition while there are so many."""
    return rows[:SAMPLES] if len(rows) >= SAMPLES else rows[torch.from_numpy(random.integers(len(rows), size=SAMPLES))]


def apart(real: Tensor, fake: Tensor) -> list[float]:
    return [frechet_distance(real, fake), kernel_distance(real, fake)]


def nearest(real: Tensor, fake: Tensor) -> float:
    return float(torch.cdist(fake, real).min(1).values.median())


def auc(null: np.ndarray[Any, Any], spoiled: np.ndarray[Any, Any]) -> float:
    """Probability that a spoiled value is larger, ties counting half."""
    return float(((spoiled[:, None] > null) + 0.5 * (spoiled[:, None] == null)).mean())


def run(args: argparse.Namespace) -> int:
    """Measure what is not there yet; can be stopped and started again at any time."""
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, make in DATA.items():
        for extractor in extractors(make()):
            path = args.out / f"{name}-{extractor.replace(', ', '-').replace(' ', '-')}.json"
            if path.exists():
                continue
            started = time.time()
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(one(name, extractor)))
            partial.replace(path)
            print(f"{name} {extractor}: {time.time() - started:.0f} s", flush=True)
    return show(args)


def measured(out: Path) -> list[dict[str, Any]]:
    """Rows in the order of the table."""
    rows = [json.loads(path.read_text()) for path in out.glob("*.json")]
    names = list(DATA)
    return sorted(rows, key=lambda row: (names.index(row["data"]), row["ms"]))


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table."""
    lines = [f"| data | extractor | {' | '.join(FAULTS)} | mean | values | ms for 1,000 |", "|---" * (len(FAULTS) + 5) + "|"]
    for row in rows:
        areas = [row["areas"][fault] for fault in FAULTS]
        cells = [f"{area:.2f}" for area in (*areas, sum(areas) / len(areas))]
        lines.append(f"| {row['data']} | {row['extractor']} | {' | '.join(cells)} | {row['dim']:,} | {row['ms']:,.0f} |")
    return "\n".join(lines)


def best(rows: list[dict[str, Any]]) -> str:
    """Of the extractors of the registry that cost at most two seconds for 1,000 images, the one that tells most of them on average."""
    from ganwatch.features.registry import NAMED_EXTRACTORS

    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["data"] in ("digits", "photographs") and row["extractor"] in NAMED_EXTRACTORS:
            found.setdefault(row["extractor"], []).append(row)
    cheap = [name for name, parts in found.items() if max(part["ms"] for part in parts) <= AFFORDABLE]
    return max(cheap, key=lambda name: np.mean([area for part in found[name] for area in part["areas"].values()]))


def show(args: argparse.Namespace) -> int:
    """Print the table."""
    rows = measured(args.out)
    print(markdown(rows))
    if args.publish:
        RESULTS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(before + BEGIN + "\n" + markdown(rows) + "\n" + END + rest.partition(END)[2])
    return 0


def main() -> int:
    """Parse and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "show"))
    parser.add_argument("--out", type=Path, default=Path("runs/features"))
    parser.add_argument("--publish", action="store_true", help="write the table into docs/feature-extractors.md and its rows beside this file")
    args = parser.parse_args()
    return run(args) if args.action == "run" else show(args)


if __name__ == "__main__":
    sys.exit(main())
