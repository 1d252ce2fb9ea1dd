"""Preprocessing of images for a network: the same for real and generated ones, and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganwatch.core.errors import UserError

_MAX_UINT8 = 255.0
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Size, range and channels to which images are converted.

    Parameters
    ----------
    size : int or None, pixels
        Side of the square to which every image is resized, bilinearly, whatever its proportions. None keeps the sizes, which must then be
        equal.
    antialias : bool
        True if an image is smoothed before it is made smaller; otherwise fine texture becomes false coarse texture (Parmar et al. 2022,
        arXiv 2104.11222).
    input_range : (low, high)
        Range of floating-point samples; uint8 samples are 0…255.
    output_range : (low, high)
        Range that the network takes.
    channels : {1, 3} or None
        Grey is repeated, colour becomes luminance (ITU-R BT.601), a fourth channel is refused. None keeps the channels.

    Examples
    --------
    >>> prepare = Preprocessing(size=4, channels=3)
    >>> prepared = prepare(torch.full((2, 1, 8, 8), 255, dtype=torch.uint8))
    >>> tuple(prepared.shape), float(prepared.max())
    ((2, 3, 4, 4), 1.0)
    """

    size: int | None = None
    antialias: bool = True
    input_range: tuple[float, float] = (-1.0, 1.0)
    output_range: tuple[float, float] = (-1.0, 1.0)
    channels: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise UserError(f"size must be >= 1 (pixels), got {self.size}")
        if self.channels not in {None, 1, 3}:
            raise UserError(f"channels must be 1, 3 or None, got {self.channels}")
        for name, (low, high) in {"input_range": self.input_range, "output_range": self.output_range}.items():
            if not low < high:
                raise UserError(f"{name} must be (low, high) with low < high, got {(low, high)}")

    def __call__(self, samples: Tensor | Sequence[Tensor]) -> Tensor:
        """Convert images ``(N, C, H, W)``, or N of any sizes, to one float32 tensor.

        Raises
        ------
        UserError
            Samples are no images, or differ in a size or number of channels that is not set.
        """
        if isinstance(samples, Tensor):
            return self._convert(samples)
        prepared = [self._convert(one[None]) for one in samples]
        shapes = sorted({tuple(one.shape[1:]) for one in prepared})
        if len(shapes) > 1:
            raise UserError(f"images must have one shape (C, H, W), or set size and channels, got {', '.join(map(str, shapes[:4]))}")
        return torch.cat(prepared)

    def _convert(self, images: Tensor) -> Tensor:
        if images.ndim != 4:  # N, C, H, W
            raise UserError(f"images must have shape (N, C, H, W), got {tuple(images.shape)}")
        low, high = (0.0, _MAX_UINT8) if images.dtype == torch.uint8 else self.input_range
        output_low, output_high = self.output_range
        factor = (output_high - output_low) / (high - low)
        images = self._with_channels(images.to(torch.float32, copy=True).mul_(factor).add_(output_low - low * factor))
        if self.size is None or images.shape[2:] == (self.size, self.size):
            return images
        return interpolate(images, (self.size, self.size), mode="bilinear", antialias=self.antialias)

    def _with_channels(self, images: Tensor) -> Tensor:
        channels = images.shape[1]
        if self.channels is None or channels == self.channels:
            return images
        if channels == 1:
            return images.expand(-1, self.channels, -1, -1)
        if channels == 3:  # red, green, blue
            return torch.einsum("nchw,c->nhw", images, images.new_tensor(_LUMINANCE))[:, None]
        raise UserError(f"images must have 1 or 3 channels to become {self.channels}, got {channels}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain types for the provenance."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
