"""A sampler whose latents have lost what makes samples differ.

Where something was seen, it was on the runs that ``rates.py`` tells of. What is drawn from latents as the loop has them then is poor at
once; from fresh latents the generator goes on drawing other kinds for some time. Latents that are merely smaller (by 0.3) do no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganwatch.drill.injection import Injection, repeat_rows

if TYPE_CHECKING:
    from torch import Tensor


class FewLatents(Injection):
    """The generator is trained on the first few latents that come, for ever.

    Seen: no more different samples than latents. From fresh latents the digits keep all kinds for 600 steps.

    Parameters
    ----------
    latents : int
        How many different ones are left.
    """

    name, label, codes = "few-latents", "latent-fault", ("GW504",)
    cause = "the generator is trained on the same few latents for ever, as where every worker has the same seed"

    def __init__(self, *, latents: int = 5) -> None:
        self._count = int(latents)
        self._kept: Tensor | None = None

    def latents(self, latents: Tensor) -> Tensor:
        if self._kept is None:
            self._kept = latents[: self._count].detach().clone()
        return repeat_rows(self._kept, len(latents))


class ConstantLatents(FewLatents):
    """The generator is trained on the first latent that comes, for ever.

    Seen: one sample is all that is drawn in training. From fresh latents five to nine kinds of digits are left after 350 to 550 steps.
    """

    name = "constant-latents"
    cause = "every latent is the same, as where a generator of random numbers is seeded anew for each"

    def __init__(self) -> None:
        super().__init__(latents=1)
