"""Real samples that the training never sees, read once, before it begins."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.data.opening import open_source
from ganwatch.data.source import NotIndexableError
from ganwatch.evaluation.resolution import Preparation
from ganwatch.isolation.generators import find_all_generators
from ganwatch.isolation.random_state import preserved_random_state

log = logging.getLogger("ganwatch")

MOST = 256
"""Samples that are read at most."""
LEAST = 40
"""Below so many chance decides what is measured."""
APART = 0.5
"""Distance of means, in standard deviations, from which on two batches are not prepared alike; and share of one deviation of the other."""


@dataclass(slots=True)
class Heldout:
    """Real samples as a loader would deliver them.

    Parameters
    ----------
    samples : Tensor, shape (N, …)
    labels : Tensor, shape (N,), int64, or None
    """

    samples: Tensor
    labels: Tensor | None = None
    _said: bool = False

    def like(self, reals: Tensor) -> Tensor | None:
        """The samples in the type and at the place of reals that the discriminator was shown; None where these were prepared otherwise.

        Examples
        --------
        >>> heldout = Heldout(torch.arange(3.0)[:, None])
        >>> heldout.like(torch.tensor([[0.0], [2.0]])) is None, heldout.like(torch.tensor([[0.0], [200.0]])) is None
        (False, True)
        """
        moved = self.samples.to(reals.device, reals.dtype)
        if Preparation.of(moved).like(Preparation.of(reals)):
            (low, high), (mean, other) = ([float(fact(x.float())) for x in (moved, reals)] for fact in (torch.std, torch.mean))
            low, high = sorted((low, high))
            if low >= APART * high and abs(mean - other) <= APART * high:
                return moved
        if not self._said:
            self._said = True
            log.warning(
                "heldout is left alone while it differs from the real samples that D is shown: it has %s where D is shown %s",
                described(self.samples), described(reals),
            )  # fmt: skip
        return None


def described(samples: Tensor) -> str:
    """What has to be the same of two batches that are prepared alike."""
    prepared, values = Preparation.of(samples), samples.float()
    fine = "" if math.isnan(prepared.detail) else f" and detail {prepared.detail:.2g}"
    return f"{prepared.shape} of mean {float(values.mean()):.3g}, deviation {float(values.std()):.3g}{fine}"


def read_heldout(data: Any) -> Heldout | None:
    """Up to 256 samples of a data set, loader, tensor, path or name, chosen by chance; no random state moves.

    Raises
    ------
    UserError
        They cannot be read by index, are fewer than 40, or differ in shape.
    """
    if data is None:
        return None
    with preserved_random_state(*find_all_generators(), seed=0):
        try:
            source = open_source(data, "heldout")
        except NotIndexableError as error:
            raise UserError(f"heldout must be readable by index: {error}") from error
        if source.size < LEAST:
            raise UserError(f"heldout must have at least {LEAST} samples, got {source.size}")
        chosen = np.sort(np.random.default_rng(0).choice(source.size, min(MOST, source.size), replace=False)).tolist()
        try:
            items = [source.read(index) for index in chosen]
        except Exception as error:
            raise UserError(f"heldout must be readable, got {type(error).__name__}: {error}") from error
    shapes = {item.array.shape for item in items}
    if len(shapes) > 1:
        raise UserError(f"heldout must have samples of one shape, got {', '.join(map(str, sorted(shapes)[:3]))}")
    labels = [item.label for item in items if isinstance(item.label, int)]
    samples = torch.from_numpy(np.stack([item.array for item in items]))
    return Heldout(samples, torch.tensor(labels) if len(labels) == len(items) else None)
