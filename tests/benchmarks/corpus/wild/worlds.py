"""Worlds of the wild part: photographs, digits of three kinds, a table, signals, and mixtures of Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from corpus.truth import Points, Truth
from corpus.wild.truths import Combinations, Digits, Nearest
from corpus.worlds import HELD_OUT
from corpus.worlds import create_world as create_common
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_sample_images
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

PHOTO_SIZE, PHOTO_SCALE, PHOTO_MODES = 12, 4, 6
"""Side of a crop, factor by which photographs are averaged down, clusters of crops."""
CROPS = 4000
"""Crops of the photographs."""
SIGNAL_LENGTH, SIGNALS = 64, 4000
"""Values of a signal, and number of signals."""
TABLE_ROWS, TABLE_COLUMNS = 4000, 6
"""Rows of the table, and its continuous columns."""
TABLE_NOISE = 0.1
"""Noise of a resampled row, in standard deviations of its column (smoothed bootstrap)."""


@dataclass(frozen=True)
class World:
    """Data of a training and the truth about them.

    Attributes
    ----------
    name : str
    samples : (N, *shape) float32
    labels : (N,) int64
        Mode of each sample.
    truth : Truth
    max_distance : float
        Truth distance up to which a generator is good.
    family : str
        ``image``, ``signal`` or ``vector``: networks that fit.
    conditional : bool
        Generator and discriminator get labels.
    categories : tuple of int
        Sizes of the one-hot blocks at the end of a row.
    """

    name: str
    samples: Tensor
    labels: Tensor
    truth: Truth
    max_distance: float
    family: str
    conditional: bool = False
    categories: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample."""
        return tuple(self.samples.shape[1:])

    @property
    def kinds(self) -> int:
        """Number of labels."""
        return int(self.labels.max()) + 1

    @property
    def is_bounded(self) -> bool:
        """True if values lie in [-1, 1], so that a generator ends in a tanh."""
        return self.family != "vector"


@cache
def create_world(name: str) -> World:
    """Create a world by name."""
    return WORLDS[name]()


def create_photos() -> World:
    """Create crops of two photographs; modes are clusters of crops."""
    rng = np.random.default_rng(0)
    crops = []
    for photo in load_sample_images().images:
        image = F.avg_pool2d(torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0, PHOTO_SCALE)[0]
        tops, lefts = (rng.integers(size - PHOTO_SIZE + 1, size=CROPS // 2) for size in image.shape[1:])
        places = zip(tops.tolist(), lefts.tolist(), strict=True)
        crops += [image[:, top : top + PHOTO_SIZE, left : left + PHOTO_SIZE] for top, left in places]
    samples = torch.stack(crops)[torch.from_numpy(rng.permutation(len(crops)))]
    rows = samples.flatten(1).double().numpy()
    clusters = KMeans(PHOTO_MODES, n_init=4, random_state=0).fit(rows)
    labels, centres = torch.from_numpy(clusters.labels_.astype(np.int64)), clusters.cluster_centers_
    return _split("photos", samples, labels, partial(Nearest, centres), distance=0.5, family="image")


def create_digits() -> World:
    """Create the digits of 8x8 pixels, with labels for both networks."""
    return _digits("digits", lambda images: images, conditional=True)


def create_enlarged() -> World:
    """Create the digits of 16x16 pixels."""
    return _digits("enlarged", lambda images: F.interpolate(images, scale_factor=2.0, mode="bilinear"), conditional=False)


def _digits(name: str, enlarge: Callable[[Tensor], Tensor], *, conditional: bool) -> World:
    common = create_common("digits")
    unseen, seen = torch.from_numpy(common.truth.reals).float().view(-1, 1, 8, 8), enlarge(common.samples)
    images = np.concatenate([_rows(seen), _rows(enlarge(unseen))])
    labels = np.concatenate([common.modes.numpy(), common.truth.mode_of(common.truth.reals)[0]])
    truth = Digits(images, labels, _rows(enlarge(unseen)), common.truth.shares)
    return World(name, seen, common.modes, truth, 0.35, "image", conditional=conditional)


def create_stacked() -> World:
    """Create three digits as the channels of an image."""
    common = create_common("stacked")
    return World("stacked", common.samples, common.modes, common.truth, 0.4, "image")


def create_table() -> World:
    """Create rows of the breast-cancer table: six columns, a diagnosis and a texture in three classes. Modes are their combinations."""
    data = load_breast_cancer()
    rng = np.random.default_rng(0)
    columns = (data.data - data.data.mean(0)) / data.data.std(0)
    texture = np.digitize(columns[:, 1], np.quantile(columns[:, 1], [1 / 3, 2 / 3]))
    chosen = rng.integers(len(columns), size=TABLE_ROWS)
    continuous = columns[chosen][:, [0, 4, 5, 6, 8, 9]] + TABLE_NOISE * rng.normal(size=(TABLE_ROWS, TABLE_COLUMNS))
    diagnosis, classes = data.target[chosen], texture[chosen]
    rows = np.concatenate([continuous, np.eye(2)[diagnosis], np.eye(3)[classes]], axis=1)
    samples, labels = torch.from_numpy(rows).float(), torch.from_numpy(3 * diagnosis + classes).long()

    centres = np.stack([continuous[3 * diagnosis + classes == mode].mean(0) for mode in range(6)])
    truth = partial(Combinations, centres, sizes=(2, 3))
    return _split("table", samples, labels, truth, distance=0.45, family="vector", categories=(2, 3))


def create_signals() -> World:
    """Create windows of six families of signals with a random phase, amplitude and noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(6, size=SIGNALS)
    time = np.linspace(0.0, 1.0, SIGNAL_LENGTH, endpoint=False)
    phase = rng.uniform(-0.06, 0.06, (SIGNALS, 1)) + time
    families = [
        np.sin(4 * np.pi * phase),
        2.0 * ((2 * phase) % 1.0) - 1.0,
        np.sign(np.sin(6 * np.pi * phase)),
        np.sin(2 * np.pi * (1.0 + 4.0 * phase) * phase),
        2.0 * np.exp(-(((phase - 0.5) / 0.1) ** 2)) - 1.0,
        1.0 - np.abs(4.0 * (phase % 1.0) - 2.0),
    ]
    clean = np.stack(families, 1)[np.arange(SIGNALS), labels] * rng.uniform(0.6, 0.9, (SIGNALS, 1))
    samples = torch.from_numpy((clean + 0.05 * rng.normal(size=clean.shape)).clip(-1.0, 1.0)).float().unsqueeze(1)
    kinds = torch.from_numpy(labels)
    rows = _rows(samples)
    centres = np.stack([rows[labels == mode].mean(0) for mode in range(6)])
    return _split("signals", samples, kinds, partial(Nearest, centres), distance=0.35, family="signal")


def create_mixture(name: str) -> World:
    """Create a ring of 8 Gaussians or a grid of 25."""
    common = create_common(name)
    return World(name, common.samples, common.modes, common.truth, 0.3, "vector")


WORLDS: dict[str, Callable[[], World]] = {
    "photos": create_photos,
    "enlarged": create_enlarged,
    "digits": create_digits,
    "stacked": create_stacked,
    "table": create_table,
    "signals": create_signals,
    "ring": lambda: create_mixture("ring"),
    "grid": lambda: create_mixture("grid"),
}
"""Constructors by name."""


def _split(
    name: str,
    samples: Tensor,
    labels: Tensor,
    truth: Callable[[Points, Points], Truth],
    *,
    distance: float,
    family: str,
    categories: tuple[int, ...] = (),
) -> World:
    """Keep the first samples apart for the truth."""
    unseen, rest = _rows(samples[: 2 * HELD_OUT]), slice(2 * HELD_OUT, None)
    counts = np.bincount(labels[rest].numpy())
    return World(name, samples[rest], labels[rest], truth(unseen, counts / counts.sum()), distance, family, categories=categories)


def _rows(samples: Tensor) -> Points:
    return samples.flatten(1).double().numpy()
