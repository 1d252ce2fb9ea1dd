"""How images are brought to the form that a network wants: the same way for both sides, and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganwatch.core.errors import UserError

_BYTE = 255.0
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Size, range and channels.

    Parameters
    ----------
    size : int or None, pixels
        Side of the square to which every image is resized, bilinearly, whatever its proportions; None leaves sizes, which must then be
        equal.
    antialias : bool
        Whether what is made smaller is smoothed first; without it fine texture turns into false coarse texture (Parmar et al. 2022,
        arXiv 2104.11222).
    given : (low, high)
        Range of floating-point samples; uint8 samples are 0…255.
    wanted : (low, high)
        Range that the network wants.
    channels : {1, 3} or None
        Grey is repeated, colour becomes luminance (ITU-R BT.601), a fourth channel is refused. None leaves them.

    Examples
    --------
    >>> prepare = Preprocessing(size=4, channels=3)
    >>> prepared = prepare(torch.full((2, 1, 8, 8), 255, dtype=torch.uint8))
    >>> tuple(prepared.shape), float(prepared.max())
    ((2, 3, 4, 4), 1.0)
    """

    size: int | None = None
    antialias: bool = True
    given: tuple[float, float] = (-1.0, 1.0)
    wanted: tuple[float, float] = (-1.0, 1.0)
    channels: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise UserError(f"size must be >= 1 (pixels), got {self.size}")
        if self.channels not in {None, 1, 3}:
            raise UserError(f"channels must be 1, 3 or None, got {self.channels}")
        for name, (low, high) in {"given": self.given, "wanted": self.wanted}.items():
            if not low < high:
                raise UserError(f"{name} must be (low, high) with low < high, got {(low, high)}")

    def __call__(self, samples: Tensor | Sequence[Tensor]) -> Tensor:
        """Images ``(N, C, H, W)``, or N of any sizes, as one float32 tensor.

        Raises
        ------
        UserError
            They are no images, or differ in size or channels and nothing says what to bring them to.
        """
        if isinstance(samples, Tensor):
            return self._prepared(samples)
        prepared = [self._prepared(one[None]) for one in samples]
        shapes = sorted({tuple(one.shape[1:]) for one in prepared})
        if len(shapes) > 1:
            raise UserError(f"images must have one shape (C, H, W), or size and channels be given, got {', '.join(map(str, shapes[:4]))}")
        return torch.cat(prepared)

    def _prepared(self, images: Tensor) -> Tensor:
        if images.ndim != 4:  # N, C, H, W
            raise UserError(f"images must have shape (N, C, H, W), got {tuple(images.shape)}")
        low, high = (0.0, _BYTE) if images.dtype == torch.uint8 else self.given
        wanted_low, wanted_high = self.wanted
        factor = (wanted_high - wanted_low) / (high - low)
        images = self._with_channels(images.to(torch.float32) * factor + (wanted_low - low * factor))
        if self.size is None or images.shape[2:] == (self.size, self.size):
            return images
        return interpolate(images, (self.size, self.size), mode="bilinear", antialias=self.antialias)

    def _with_channels(self, images: Tensor) -> Tensor:
        have = images.shape[1]
        if self.channels is None or have == self.channels:
            return images
        if have == 1:
            return images.expand(-1, self.channels, -1, -1)
        if have == 3:  # red, green, blue
            return torch.einsum("nchw,c->nhw", images, images.new_tensor(_LUMINANCE))[:, None]
        raise UserError(f"images must have 1 or 3 channels to become {self.channels}, got {have}")

    def as_dict(self) -> dict[str, Any]:
        """Plain types for the provenance."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
