"""A sampler whose latents have lost what makes samples differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganwatch.drill.injection import Injection

if TYPE_CHECKING:
    from torch import Tensor


class ConstantLatents(Injection):
    """The generator is trained on the first latent that comes, for ever."""

    name, label, codes = "constant-latents", "mode-collapse", ("GW504", "GW101")
    cause = "every latent is the same, as where a generator of random numbers is seeded anew for each"

    def __init__(self) -> None:
        self._kept: Tensor | None = None

    def latents(self, latents: Tensor) -> Tensor:
        if self._kept is None:
            self._kept = latents[:1].detach().clone()
        return self._kept.expand_as(latents)
