"""Images for people: fixed latents through time, real samples beside them, and the recent past of an incident."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.options import NOTHING_SAID, Options
from ganwatch.capture.step import Arguments, Step, tensors
from ganwatch.records import Samples
from ganwatch.undisturbed import Undisturbed

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
    generator : nn.Module
    emit : callable
        Gets ``Samples``.
    options : Options
        With the inputs to draw it from and what makes a sample of its output, where the user has said so.
    every : int, steps
        Shortest distance of two grids. It doubles with the length of the run, so that disk use grows with its logarithm only.

    Attributes
    ----------
    draws : bool
        Whether the generator may be called beside the training.
    """

    def __init__(self, generator: nn.Module, emit: Callable[[Samples], None], options: Options = NOTHING_SAID, *, every: int = 100) -> None:
        if every < 1:
            raise ValueError(f"every must be >= 1 (steps), got {every}")
        self.generator, self.emit, self.every = generator, emit, every
        self.fixed: Arguments | None = ([x[:TILES] for x in options.fixed], {}) if options.fixed else None
        self.draws = True
        self._call = Undisturbed(generator)
        self._sample = None if options.sample is None else Undisturbed(options.sample)
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
                self.fixed = _first(latent.arguments, len(latent.inputs[0]) if latent.inputs[0].ndim else 0)
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
        if self.draws and self.fixed is not None:
            self._show(step.index, "fixed", self.draw())

    def draw(self) -> Any:
        """The generator's output for the fixed latents, nothing of the run touched."""
        assert self.fixed is not None
        args, kwargs = _on(self.fixed, next(self.generator.parameters()).device)
        made = self._call(*args, **kwargs)
        return made if self._sample is None else self._sample(made)

    def pin(self, incident: str) -> None:
        """Emit what is remembered as evidence of an incident."""
        for index, batch in self._recent:
            self._show(index, "pinned", batch, incident)

    def state_dict(self) -> dict[str, Any]:
        """Fixed latents and value range, as plain types."""
        return {"fixed": None if self.fixed is None else to_plain(self.fixed), "range": list(self._range) if self._range else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the same latents."""
        if state["fixed"] is not None and self.fixed is None:
            self.fixed = from_plain(state["fixed"], next(self.generator.parameters()).device)
        self._range = tuple(state["range"]) if state["range"] else None

    def _show(self, step: int, kind: str, batch: Any, incident: str | None = None) -> None:
        tensor = next(iter(tensors(batch)), None)
        if tensor is None:
            return
        pixels = to_pixels(tensor.detach()[: TILES if tensor.ndim == 4 else None], self._range or (-1.0, 1.0))
        if pixels is not None:
            self.emit(Samples(step, kind, tuple(pixels.shape), pixels.numpy().tobytes(), incident))  # type: ignore[arg-type]  # four sizes


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


def to_plain(nest: Any) -> Any:
    """A nest of tensors and plain values as plain types.

    >>> from_plain(to_plain(([torch.ones(1, 2)], {"labels": torch.tensor([3]), "scale": 0.5})), torch.device("cpu"))
    [[tensor([[1., 1.]])], {'labels': tensor([3]), 'scale': 0.5}]
    """
    if isinstance(nest, Tensor):
        return {"dtype": str(nest.dtype).removeprefix("torch."), "shape": list(nest.shape), "tensor": nest.flatten().tolist()}
    if isinstance(nest, dict):
        return {"dict": {str(key): to_plain(item) for key, item in nest.items()}}
    return [to_plain(item) for item in nest] if isinstance(nest, list | tuple) else nest


def from_plain(plain: Any, device: torch.device) -> Any:
    """The inverse of ``to_plain``, tuples as lists."""
    if isinstance(plain, list):
        return [from_plain(item, device) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "dict" in plain:
        return {key: from_plain(item, device) for key, item in plain["dict"].items()}
    return torch.tensor(plain["tensor"], dtype=getattr(torch, plain["dtype"]), device=device).reshape(plain["shape"])


def _on(nest: Any, device: torch.device) -> Any:
    """The same nest with its tensors on a device."""
    if isinstance(nest, Tensor):
        return nest.to(device)
    if isinstance(nest, dict):
        return {key: _on(item, device) for key, item in nest.items()}
    return [_on(item, device) for item in nest] if isinstance(nest, list | tuple) else nest


def _first(nest: Any, count: int) -> Any:
    """Copies of the tensors in a nest, those of ``count`` samples cut to the tiles of a grid."""
    if isinstance(nest, Tensor):
        return nest[:TILES].clone() if nest.ndim and len(nest) == count else nest.clone()
    if isinstance(nest, dict):
        return {key: _first(item, count) for key, item in nest.items()}
    return [_first(item, count) for item in nest] if isinstance(nest, list | tuple) else nest


def _range_of(real: Tensor) -> tuple[float, float]:
    clean = real[torch.isfinite(real)]
    if not clean.numel():
        return (-1.0, 1.0)
    low, high = float(clean.min()), float(clean.max())
    margin = 0.1 * (high - low) if real.ndim == 2 else 0.0
    return (low - margin, high + margin)
