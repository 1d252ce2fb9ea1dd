"""Faults of the latent sampler: too few different latents.

Observations were made on the runs that ``rates.py`` describes. Samples of the loop's own latents are poor at once; from fresh latents the
generator keeps other modes for some time. Latents that are merely smaller (by 0.3) do no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganwatch.drill.injection import Injection, repeat_rows

if TYPE_CHECKING:
    from torch import Tensor


class FewLatents(Injection):
    """Trains the generator on the first few latents only.

    Observed: no more different samples than latents. From fresh latents all ten digits remain for 600 steps.

    Parameters
    ----------
    latents : int
        Number of different latents that remain.
    """

    name, label, codes = "few-latents", "latent-fault", ("GW504",)
    cause = "the generator is trained on the same few latents only, as if every worker had the same seed"

    def __init__(self, *, latents: int = 5) -> None:
        self._count = int(latents)
        self._first: Tensor | None = None

    def change_latents(self, latents: Tensor) -> Tensor:
        if self._first is None:
            self._first = latents[: self._count].detach().clone()
        return repeat_rows(self._first, len(latents))


class ConstantLatents(FewLatents):
    """Trains the generator on the first latent only.

    Observed: in training all samples are the same. From fresh latents five to nine digits remain after 350 to 550 steps.
    """

    name = "constant-latents"
    cause = "every latent is the same, as if the random number generator were seeded again for each"

    def __init__(self) -> None:
        super().__init__(latents=1)
