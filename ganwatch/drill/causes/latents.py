"""A sampler whose latents have lost what makes samples differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganwatch.drill.injection import Injection, first_of

if TYPE_CHECKING:
    from torch import Tensor


class FewLatents(Injection):
    """The generator is trained on the first few latents that come, for ever.

    Parameters
    ----------
    latents : int
        How many different ones are left.
    """

    name, label, codes = "few-latents", "mode-dropping", ("GW504", "GW102", "GW101")
    cause = "the generator is trained on the same few latents for ever, as where every worker has the same seed"

    def __init__(self, *, latents: int = 5) -> None:
        self._count = int(latents)
        self._kept: Tensor | None = None

    def latents(self, latents: Tensor) -> Tensor:
        if self._kept is None:
            self._kept = latents[: self._count].detach().clone()
        return first_of(self._kept, len(latents))


class ConstantLatents(FewLatents):
    """The generator is trained on the first latent that comes, for ever."""

    name, label = "constant-latents", "mode-collapse"
    cause = "every latent is the same, as where a generator of random numbers is seeded anew for each"

    def __init__(self) -> None:
        super().__init__(latents=1)
