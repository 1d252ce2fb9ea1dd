"""Worlds: data with known modes, and the truth about samples of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from corpus.truth import Centres, Classified, Stacked, Truth
from torch import Tensor

from ganwatch.data.bundled import draw_grid, draw_ring, grid_centres, ring_centres
from ganwatch.trainer.data import load_digits

RARE_RATIO = 0.3
"""Share of a rare mode's samples that remain."""
HELD_OUT = 250
"""Reals of the truth, and as many for the detectors, that are in no training data."""
POINTS = 10_000
"""Samples of a world that is drawn."""


@dataclass(frozen=True)
class World:
    """Reals ``(N, *shape)`` float32 of a training, their modes ``(N,)`` int64, held-out reals for detectors, and the truth."""

    samples: Tensor
    modes: Tensor
    heldout: Tensor
    truth: Truth


@cache
def create_world(name: str, *, rare: bool = False) -> World:
    """Create a world by name.

    Parameters
    ----------
    name : str
        ``ring`` of 8 Gaussians (radius 2, sigma .02), ``grid`` of 25 (2 apart, sigma .05), ``digits``, or ``stacked``: three digits as
        the channels of an image.
    rare : bool
        Thin out every fourth mode.
    """
    if name == "stacked":
        return _stack(create_world("digits"))
    if name == "digits":
        images, modes = load_digits().tensors
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(images)))
        images, modes = images[order], modes[order]
        unseen, heldout = _rows(images[:HELD_OUT]), images[HELD_OUT : 2 * HELD_OUT]
        samples, labels = _thin(images[2 * HELD_OUT :], modes[2 * HELD_OUT :], rare=rare)
        return World(samples, labels, heldout, Classified(_rows(images), modes.numpy(), unseen, _shares(labels)))
    ring = name == "ring"
    scale = 2.0 if ring else 4.0
    draw, centres = (draw_ring, ring_centres() * scale) if ring else (draw_grid, grid_centres())
    samples, labels = _thin(*draw(POINTS, 0), rare=rare)
    (unseen, _), (heldout, _) = (_thin(*draw(POINTS, seed), rare=rare) for seed in (1, 2))
    truth = Centres(centres.double().numpy(), _rows(unseen[:2000] * scale), _shares(labels))
    return World(samples * scale, labels, heldout[:HELD_OUT] * scale, truth)


def _stack(digits: World) -> World:
    rng = np.random.default_rng(0)

    def stacks(images: Tensor, count: int) -> tuple[Tensor, Tensor]:
        places = torch.from_numpy(rng.integers(len(images), size=(count, 3)))
        return images[places].flatten(1, 2), places

    samples, places = stacks(digits.samples, POINTS)
    heldout, _ = stacks(digits.heldout, HELD_OUT)
    unseen, _ = stacks(torch.from_numpy(digits.truth.reals).float().unflatten(1, (1, 8, 8)), HELD_OUT)
    assert isinstance(digits.truth, Classified)
    return World(samples, digits.modes[places] @ torch.tensor([1, 10, 100]), heldout, Stacked(digits.truth, _rows(unseen)))


def _thin(samples: Tensor, modes: Tensor, *, rare: bool) -> tuple[Tensor, Tensor]:
    if not rare:
        return samples, modes
    kept = (modes % 4 != 0) | (torch.from_numpy(np.random.default_rng(1).random(len(modes))) < RARE_RATIO)
    return samples[kept], modes[kept]


def _rows(samples: Tensor) -> npt.NDArray[np.float64]:
    return samples.flatten(1).double().numpy()


def _shares(modes: Tensor) -> npt.NDArray[np.float64]:
    counts = np.bincount(modes.numpy())
    return np.asarray(counts / counts.sum(), dtype=np.float64)


class Stream(lightning.LightningDataModule):
    """Endless batches in their own order, whose size and sharpness may grow. The global random state is neither read nor changed.

    Parameters
    ----------
    samples : Tensor
    batch_size : int
    seed : int
    grows : sequence of (step, factor)
        From this batch on the size is ``factor`` times ``batch_size``.
    coarse : int
        Number of batches at the start whose images are averaged down to half their resolution and up again.
    """

    def __init__(self, samples: Tensor, *, batch_size: int, seed: int, grows: tuple[tuple[int, int], ...] = (), coarse: int = 0) -> None:
        super().__init__()
        self.samples, self.batch_size, self.seed, self.grows, self.coarse = samples, batch_size, seed, grows, coarse

    def train_dataloader(self) -> _Batches:
        return _Batches(self)


class _Batches:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[Tensor]:
        stream = self.stream
        rng = np.random.default_rng(stream.seed)
        delivered, queue = 0, np.empty(0, np.int64)
        while True:
            size = stream.batch_size * next((factor for step, factor in reversed(stream.grows) if delivered >= step), 1)
            while len(queue) < size:
                queue = np.concatenate([queue, rng.permutation(len(stream.samples))])
            batch, queue = stream.samples[torch.from_numpy(queue[:size])], queue[size:]
            if delivered < stream.coarse:
                batch = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(batch, 2), scale_factor=2.0)
            delivered += 1
            yield batch


def model_settings(name: str, loss: str, network: str, g_norm: str, d_norm: str) -> dict[str, Any]:
    """Return arguments of the reference GAN that are healthy for the world and the loss."""
    common = {"loss": loss, "network": network, "g_norm": g_norm, "d_norm": d_norm}
    if name in {"digits", "stacked"}:
        rates = {"g_lr": 5e-4, "d_lr": 1e-3 if d_norm == "spectral" else 5e-4}
        return common | {"shape": (1 if name == "digits" else 3, 8, 8), "latent_dim": 32, "channels": 16, "width": 128} | rates
    penalty = {"gp_weight": 1.0, "d_steps": 2} if loss == "wgan-gp" else {"r1_weight": 0.1, "r1_every": 1}
    return common | {"shape": (2,), "latent_dim": 4, "width": 64, "g_lr": 2e-3, "d_lr": 2e-3} | penalty | _safer_rates(loss, g_norm, d_norm)


def _safer_rates(loss: str, g_norm: str, d_norm: str) -> dict[str, Any]:
    """Return rates for point clouds on which the common ones lose modes: a discriminator of bounded gradient, or a loss that saturates."""
    if d_norm == "spectral" and g_norm == "none":
        return {"g_lr": 5e-4, "d_lr": 4e-3, "r1_weight": 0.0, "d_steps": 2}
    if loss == "hinge":
        return {"g_lr": 1e-3, "d_lr": 4e-3}
    return {"d_lr": 6e-3} if loss == "least-squares" else {}
