"""Held-out real samples, which the training never sees; they are read once, before it begins."""

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
from ganwatch.evaluation.resolution import SampleResolution
from ganwatch.isolation.generators import find_all_generators
from ganwatch.isolation.random_state import preserved_random_state

log = logging.getLogger("ganwatch")

MAX_SAMPLES = 256
"""Samples that are read."""
MIN_SAMPLES = 40
"""Samples below which chance dominates what is measured."""
MAX_MEAN_DISTANCE = 0.5
"""Distance of the means, in standard deviations, of two batches with the same preprocessing."""
MIN_DEVIATION_RATIO = 0.5
"""Ratio of the standard deviations, smaller to larger, of two batches with the same preprocessing."""


@dataclass(slots=True)
class HeldoutSamples:
    """Held-out real samples, as a loader would deliver them.

    Parameters
    ----------
    samples : Tensor, shape (N, …)
    labels : Tensor, shape (N,), int64, or None
    """

    samples: Tensor
    labels: Tensor | None = None
    _has_warned: bool = False

    def convert_like(self, reals: Tensor) -> Tensor | None:
        """Return the samples in the type and on the device of training reals, or None if the two differ in their preprocessing.

        Examples
        --------
        >>> heldout = HeldoutSamples(torch.arange(3.0)[:, None])
        >>> heldout.convert_like(torch.tensor([[0.0], [2.0]])) is None, heldout.convert_like(torch.tensor([[0.0], [200.0]])) is None
        (False, True)
        """
        samples = self.samples.to(reals.device, reals.dtype)
        if SampleResolution.of(samples).matches(SampleResolution.of(reals)):
            (low, high), (mean, other) = ([float(fact(x.float())) for x in (samples, reals)] for fact in (torch.std, torch.mean))
            low, high = sorted((low, high))
            if low >= MIN_DEVIATION_RATIO * high and abs(mean - other) <= MAX_MEAN_DISTANCE * high:
                return samples
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "heldout differs from the real samples that D receives, so memorisation and overfitting of D are not measured meanwhile: "
                "heldout has %s, D receives %s; give heldout the same preprocessing",
                describe_batch(self.samples), describe_batch(reals),
            )  # fmt: skip
        return None


def describe_batch(samples: Tensor) -> str:
    """Describe the facts that two batches with the same preprocessing share."""
    resolution, values = SampleResolution.of(samples), samples.float()
    sharpness = "" if math.isnan(resolution.sharpness) else f" and sharpness {resolution.sharpness:.2g}"
    return f"{resolution.shape} of mean {float(values.mean()):.3g}, deviation {float(values.std()):.3g}{sharpness}"


def read_heldout(data: Any) -> HeldoutSamples | None:
    """Read up to 256 samples of a data set, loader, tensor, path or name, chosen at random; no random state changes.

    Raises
    ------
    UserError
        The samples cannot be read by index, are fewer than 40, or differ in shape.
    """
    if data is None:
        return None
    with preserved_random_state(*find_all_generators(), seed=0):
        try:
            source = open_source(data, "heldout")
        except NotIndexableError as error:
            raise UserError(f"heldout must be readable by index: {error}") from error
        if source.size < MIN_SAMPLES:
            raise UserError(f"heldout must have at least {MIN_SAMPLES} samples, got {source.size}")
        chosen = np.sort(np.random.default_rng(0).choice(source.size, min(MAX_SAMPLES, source.size), replace=False)).tolist()
        try:
            items = [source.read(index) for index in chosen]
        except Exception as error:
            raise UserError(f"heldout must be readable, got {type(error).__name__}: {error}") from error
    shapes = {item.array.shape for item in items}
    if len(shapes) > 1:
        raise UserError(f"heldout must have samples of one shape, got {', '.join(map(str, sorted(shapes)[:3]))}")
    labels = [item.label for item in items if isinstance(item.label, int)]
    samples = torch.from_numpy(np.stack([item.array for item in items]))
    return HeldoutSamples(samples, torch.tensor(labels) if len(labels) == len(items) else None)
