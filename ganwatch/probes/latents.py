"""Scale and repetition of the generator's inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe
from ganwatch.probes.row_hashes import hash_rows

MAX_VALUES = 2**14
"""Values, about, of a batch of latents among which equal ones are looked for."""


class Latents(Probe):
    """Scale of the latents, the share of them that repeats another one of the batch, and if that could be by chance.

    Continuous random numbers do not repeat; labels, masks and latents of few values do. The values themselves tell which they are. Only
    those of different latents are compared: each one is new if they are continuous. So five latents that fill the whole batch are seen to
    be continuous too.
    """

    name = "latents"
    signals = ("latent_scale", "latent_repeated", "latent_continuity")
    every = 20
    is_paced = True

    def read(self, step: StepView) -> dict[str, Tensor]:
        latents = step.batch("latent")
        if latents is None or not latents.is_floating_point() or latents.ndim < 2 or not latents.numel():
            return {}
        flat = latents.float().flatten(1)
        hashes, order = hash_rows(flat).sort()
        is_new = torch.cat([torch.ones_like(hashes[:1], dtype=torch.bool), hashes[1:] != hashes[:-1]])
        return {
            "latent_scale": flat.std(correction=0),
            "latent_repeated": 1.0 - is_new.float().mean(),
            "latent_continuity": measure_continuity(flat[order], is_new),
        }


def measure_continuity(rows: Tensor, is_new: Tensor) -> Tensor:
    """Return the share of values of the rows (N, F) that are new, 0-d, beyond one for each row; ``is_new`` (N,) leaves out repeated rows.

    A label is one value for each row whatever its length, and one value tells nothing: then it is 0.

    >>> first = torch.tensor([True, False, True])
    >>> measure_continuity(torch.tensor([[0.2, 0.7], [0.2, 0.7], [0.1, 0.4]]), first).item()
    1.0
    >>> measure_continuity(torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), first).item()
    0.0
    """
    columns = max(2, MAX_VALUES // len(rows))
    values = rows[:, :: -(-rows.shape[1] // columns)]
    values = values.where(is_new[:, None], values[:1])
    ordered = values.flatten().sort().values
    different = 1 + (ordered[1:] != ordered[:-1]).sum()
    n_rows = is_new.sum()
    return ((different - n_rows) / (n_rows * (values.shape[1] - 1)).clamp_min(1)).clamp(0.0, 1.0)
