"""A sampler whose latents have lost what makes samples differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganwatch.drill.injection import Injection

if TYPE_CHECKING:
    from torch import Tensor


class Repeated(Injection):
    """The generator is trained on the first few latents that come, for ever.

    Parameters
    ----------
    count : int
        How many different ones are left.
    """

    def __init__(self, *, count: int) -> None:
        self.count = int(count)
        self._kept: Tensor | None = None

    def latents(self, latents: Tensor) -> Tensor:
        if self._kept is None:
            self._kept = latents[: self.count].detach().clone()
        few = self._kept
        return few.repeat(-(-len(latents) // len(few)), *[1] * (latents.ndim - 1))[: len(latents)]


class FewLatents(Repeated):
    """The generator is trained on a handful of latents."""

    name, label, codes = "few-latents", "mode-dropping", ("GW504", "GW102", "GW101")
    cause = "the generator is trained on the same few latents for ever, as where every worker has the same seed"

    def __init__(self, *, count: int = 5) -> None:
        super().__init__(count=count)


class ConstantLatents(Repeated):
    """The generator is trained on one latent for ever."""

    name, label, codes = "constant-latents", "mode-collapse", ("GW504", "GW101")
    cause = "every latent is the same"

    def __init__(self) -> None:
        super().__init__(count=1)
