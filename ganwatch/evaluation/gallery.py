"""Images for people: fixed latents through time, real samples to compare, and the batches before an incident."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.options import NO_OPTIONS, Options
from ganwatch.capture.step import Arguments, StepView, find_tensors
from ganwatch.core.incidents import Incident
from ganwatch.core.readings import SampleImages
from ganwatch.evaluation.fixed_inputs import clone_first
from ganwatch.evaluation.generator_sampler import GeneratorSampler
from ganwatch.evaluation.recent_samples import INTERVAL, RecentSamples
from ganwatch.evaluation.tensor_state import pack, unpack

MAX_TILES = 36
"""Images of a grid."""
REAL_GRID_INTERVAL = 8
"""Grids of generated samples from one grid of real samples to the next."""
PLOT_PIXELS = 96
"""Side, in pixels, of the scatter plot of vectors."""


class Gallery:
    """Emits grids of the generator's samples for its own first inputs, and of real samples, through time.

    The generator is called in evaluation mode on cloned buffers, so that the run does not change.

    Parameters
    ----------
    sampler : GeneratorSampler
    emit : callable
        Receives ``SampleImages``.
    options : Options
        The user's inputs of the generator, if any.
    every : int, steps
        Steps between two grids at the start. The interval doubles with the length of the run, so that disk use grows with its logarithm
        only.
    """

    def __init__(
        self, sampler: GeneratorSampler, emit: Callable[[SampleImages], None], options: Options = NO_OPTIONS, *, every: int = 100
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be >= 1 (steps), got {every}")
        self.sampler, self.emit, self.every = sampler, emit, every
        self.fixed: Arguments | None = ([x[:MAX_TILES] for x in options.fixed], {}) if options.fixed else None
        self._range: tuple[float, float] | None = None
        self._recent = RecentSamples()

    def needs_calls(self, step: int) -> bool:
        """Return True if it needs the calls of a step."""
        return step % INTERVAL == 0 or self.is_due(step)

    def is_due(self, step: int) -> bool:
        """Return True if a grid is due: at the first step, then every ``every`` steps up to 32 grids, then half as often, and so on."""
        return step == 1 or step % self.interval_at(step) == 0

    def interval_at(self, step: int) -> int:
        """Return the number of steps between two grids around a step."""
        interval = self.every
        while step > interval * 32:
            interval *= 2
        return interval

    def on_step(self, step: StepView) -> None:
        """Remember the fakes of a step, and emit a grid if one is due."""
        if self.fixed is None:
            latent = step.last_call("g", "latent")
            if latent is not None and latent.inputs and latent.arguments is not None:
                self.fixed = clone_first(latent.arguments, len(latent.inputs[0]) if latent.inputs[0].ndim else 0, MAX_TILES)
        fake = step.batch("fake") if step.index == 1 or step.index % INTERVAL == 0 else None
        if fake is not None:
            self._recent.add(step.index, fake[:MAX_TILES].clone())
        if not self.is_due(step.index):
            return
        real = step.batch("real")
        if real is not None:
            self._range = self._range or _value_range(real)
            if step.index == 1 or step.index % (REAL_GRID_INTERVAL * self.interval_at(step.index)) == 0:
                self._emit(self._to_images(step.index, "real", real))
        if self.sampler.is_allowed and self.fixed is not None:
            self._emit(self._to_images(step.index, "fixed", self.generate()))

    def generate(self) -> Any:
        """Return the generator's output for the fixed latents."""
        assert self.fixed is not None
        return self.sampler(self.fixed)

    def evidence(self, incident: Incident) -> list[SampleImages]:
        """Return generated samples from before the onset of an incident and since then."""
        found = [self._to_images(step, "pinned", batch, incident.id) for step, batch in self._recent.around(incident.onset)]
        return [images for images in found if images is not None]

    def state_dict(self) -> dict[str, Any]:
        """Return fixed latents and value range, as plain types."""
        return {"fixed": None if self.fixed is None else pack(self.fixed), "range": list(self._range) if self._range else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with saved latents."""
        if state["fixed"] is not None and self.fixed is None:
            self.fixed = unpack(state["fixed"])
        self._range = tuple(state["range"]) if state["range"] else None

    def _emit(self, images: SampleImages | None) -> None:
        if images is not None:
            self.emit(images)

    def _to_images(self, step: int, kind: str, batch: Any, incident: str | None = None) -> SampleImages | None:
        tensor = next(iter(find_tensors(batch)), None)
        if tensor is None:
            return None
        pixels = to_pixels(tensor.detach()[: MAX_TILES if tensor.ndim == 4 else None], self._range or (-1.0, 1.0))
        shape = () if pixels is None else tuple(pixels.shape)
        return None if pixels is None else SampleImages(step, kind, shape, pixels.numpy().tobytes(), incident)  # type: ignore[arg-type]  # four


def to_pixels(batch: Tensor, value_range: tuple[float, float]) -> Tensor | None:
    """Return images (N, C, H, W) of 1 or 3 channels, or one scatter plot of vectors (N, F >= 2), as uint8 (N, H, W, C) on the host.

    Values are mapped linearly from ``value_range``, and NaN becomes mid-grey. Other shapes give None.
    """
    low, high = value_range
    batch = torch.nan_to_num((batch.float() - low) / max(high - low, 1e-12), nan=0.5).clamp(0.0, 1.0)
    if batch.ndim == 4 and batch.shape[1] in {1, 3}:
        return (batch * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
    if batch.ndim == 2 and batch.shape[1] >= 2:
        place = (batch[:, :2] * (PLOT_PIXELS - 1)).round().long().cpu()
        plot = torch.full((1, PLOT_PIXELS, PLOT_PIXELS, 1), 255, dtype=torch.uint8)
        plot[0, PLOT_PIXELS - 1 - place[:, 1], place[:, 0], 0] = 0
        return plot
    return None


def _value_range(real: Tensor) -> tuple[float, float]:
    finite = real[torch.isfinite(real)]
    if not finite.numel():
        return (-1.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    margin = 0.1 * (high - low) if real.ndim == 2 else 0.0
    return (low - margin, high + margin)
