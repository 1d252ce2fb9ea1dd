"""Images for people: fixed latents through time, real samples beside them, and the recent past of an incident."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.options import NOTHING_SAID, Options
from ganwatch.capture.step import Arguments, Step, tensors
from ganwatch.core.readings import SampleImages
from ganwatch.evaluation.generator_sampler import GeneratorSampler, first
from ganwatch.evaluation.tensor_state import packed, unpacked

TILES = 36
"""Images in a grid."""
REAL_EVERY = 8
"""Grids of generated samples for one of real samples."""
PINNED_EVERY = 20
"""Steps between two batches that are remembered for incidents."""
PINNED_KEPT = 6
"""Batches remembered."""
PLOT_SIDE = 96
"""Pixels a side of the scatter plot that stands for vectors."""


class Gallery:
    """Draws the generator from its own first inputs, in evaluation mode, on cloned buffers: the run does not notice.

    Parameters
    ----------
    sampler : GeneratorSampler
    emit : callable
        Gets ``SampleImages``.
    options : Options
        With the inputs to draw it from and what makes a sample of its output, where the user has said so.
    every : int, steps
        Shortest distance of two grids. It doubles with the length of the run, so that disk use grows with its logarithm only.
    """

    def __init__(
        self, sampler: GeneratorSampler, emit: Callable[[SampleImages], None], options: Options = NOTHING_SAID, *, every: int = 100
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be >= 1 (steps), got {every}")
        self.sampler, self.emit, self.every = sampler, emit, every
        self.fixed: Arguments | None = ([x[:TILES] for x in options.fixed], {}) if options.fixed else None
        self._range: tuple[float, float] | None = None
        self._recent: deque[tuple[int, Tensor]] = deque(maxlen=PINNED_KEPT)

    def looks(self, step: int) -> bool:
        """Whether it wants the calls of a step."""
        return step % PINNED_EVERY == 0 or self.due(step)

    def due(self, step: int) -> bool:
        """Whether a grid is drawn: at the first step, then every ``every`` steps up to 32 grids, then half as often, and so on."""
        return step == 1 or step % self.stride(step) == 0

    def stride(self, step: int) -> int:
        """Distance of grids around a step."""
        stride = self.every
        while step > stride * 32:
            stride *= 2
        return stride

    def observe(self, step: Step) -> None:
        """Remember this step's fakes, and draw a grid where one is due."""
        if self.fixed is None:
            latent = step.last("g", "latent")
            if latent is not None and latent.inputs and latent.arguments is not None:
                self.fixed = first(latent.arguments, len(latent.inputs[0]) if latent.inputs[0].ndim else 0, TILES)
        fake = step.batch("fake") if step.index == 1 or step.index % PINNED_EVERY == 0 else None
        if fake is not None:
            self._recent.append((step.index, fake[:TILES].clone()))
        if not self.due(step.index):
            return
        real = step.batch("real")
        if real is not None:
            self._range = self._range or _range_of(real)
            if step.index == 1 or step.index % (REAL_EVERY * self.stride(step.index)) == 0:
                self._show(step.index, "real", real)
        if self.sampler.allowed and self.fixed is not None:
            self._show(step.index, "fixed", self.draw())

    def draw(self) -> Any:
        """The generator's output for the fixed latents, nothing of the run touched."""
        assert self.fixed is not None
        return self.sampler(self.fixed)

    def pin(self, incident: str) -> None:
        """Emit what is remembered as evidence of an incident."""
        for index, batch in self._recent:
            self._show(index, "pinned", batch, incident)

    def state_dict(self) -> dict[str, Any]:
        """Fixed latents and value range, as plain types."""
        return {"fixed": None if self.fixed is None else packed(self.fixed), "range": list(self._range) if self._range else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the same latents."""
        if state["fixed"] is not None and self.fixed is None:
            self.fixed = unpacked(state["fixed"])
        self._range = tuple(state["range"]) if state["range"] else None

    def _show(self, step: int, kind: str, batch: Any, incident: str | None = None) -> None:
        tensor = next(iter(tensors(batch)), None)
        if tensor is None:
            return
        pixels = to_pixels(tensor.detach()[: TILES if tensor.ndim == 4 else None], self._range or (-1.0, 1.0))
        if pixels is not None:
            self.emit(SampleImages(step, kind, tuple(pixels.shape), pixels.numpy().tobytes(), incident))  # type: ignore[arg-type]  # four sizes


def to_pixels(batch: Tensor, value_range: tuple[float, float]) -> Tensor | None:
    """Images (N, C, H, W) with 1 or 3 channels, or vectors (N, F >= 2) as one scatter plot, as uint8 of shape (N, H, W, C) on the host.

    Values are mapped linearly from ``value_range``; what is not finite becomes mid-grey. None for other shapes.
    """
    low, high = value_range
    batch = torch.nan_to_num((batch.float() - low) / max(high - low, 1e-12), nan=0.5).clamp(0.0, 1.0)
    if batch.ndim == 4 and batch.shape[1] in {1, 3}:
        return (batch * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
    if batch.ndim == 2 and batch.shape[1] >= 2:
        place = (batch[:, :2] * (PLOT_SIDE - 1)).round().long().cpu()
        plot = torch.full((1, PLOT_SIDE, PLOT_SIDE, 1), 255, dtype=torch.uint8)
        plot[0, PLOT_SIDE - 1 - place[:, 1], place[:, 0], 0] = 0
        return plot
    return None


def _range_of(real: Tensor) -> tuple[float, float]:
    clean = real[torch.isfinite(real)]
    if not clean.numel():
        return (-1.0, 1.0)
    low, high = float(clean.min()), float(clean.max())
    margin = 0.1 * (high - low) if real.ndim == 2 else 0.0
    return (low - margin, high + margin)
