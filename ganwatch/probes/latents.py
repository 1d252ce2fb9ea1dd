"""Scale and repetition of the generator's inputs."""

from __future__ import annotations

from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class Latents(Probe):
    """Scale of the latents, and the share of them that repeats another one of the batch."""

    name = "latents"
    signals = ("latent_scale", "latent_repeated")
    every = 20

    def read(self, step: StepView) -> dict[str, Tensor]:
        latents = step.batch("latent")
        if latents is None or not latents.is_floating_point() or latents.ndim < 2:
            return {}
        flat = latents.float().flatten(1)
        ordered = flat.sum(1).sort().values
        return {"latent_scale": flat.std(correction=0), "latent_repeated": (ordered[1:] == ordered[:-1]).sum() / len(flat)}
