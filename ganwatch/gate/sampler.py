"""Samples from a checkpoint of any generator, drawn by a function of the user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganwatch.checkpoints.folder import load_checkpoint, load_foreign_states
from ganwatch.checkpoints.manifest import CheckpointError
from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import is_folder
from ganwatch.core.import_path import import_attribute, working_folder
from ganwatch.isolation.random_state import preserved_random_state

BATCH_SIZE = 256
"""Samples in a batch."""


class SampledCheckpoint:
    """Batches that a function of the user draws from the states of a checkpoint.

    Parameters
    ----------
    path : str or Path
        Checkpoint of ``watching.checkpoint``, a folder of them, or a file of ``torch.save``; only tensors and plain types are loaded.
    sampler : str
        ``package.module:function``, called as ``function(states, count, seed)``: the states of the checkpoint, and the number of samples
        to return, as one tensor ``(count, …)`` float. Equal seeds must give equal latents.
    count : int, >= 1
    seed : int
    argument : str
        Name of the checkpoint in errors.

    Raises
    ------
    UserError
        The checkpoint or the function cannot be loaded, or the function returns something else.
    """

    value_range = None
    has_latents = True

    def __init__(self, path: str | Path, sampler: str, *, count: int, seed: int = 0, argument: str = "checkpoint") -> None:
        self.name, self.sample_size, self.seed, self.argument = str(path), count, seed, argument
        draw = import_attribute(sampler, "--sampler")
        try:
            states = load_checkpoint(path) if is_folder(Path(path)) else load_foreign_states(Path(path))
        except CheckpointError as error:
            raise UserError(f"{argument}: {error}") from error
        try:
            with working_folder(), preserved_random_state(seed=seed), torch.no_grad():
                samples = draw(states, count, seed)
        except (Exception, SystemExit) as error:
            raise UserError(f"--sampler must draw samples, got {type(error).__name__}: {show_value(str(error))} of {argument}") from error
        is_plain = isinstance(samples, Tensor) and samples.layout is torch.strided and not samples.is_meta and samples.is_floating_point()
        if not is_plain or samples.ndim < 2 or len(samples) != count or not samples.numel():
            got = f"{samples.dtype} {tuple(samples.shape)}" if isinstance(samples, Tensor) else type(samples).__name__
            raise UserError(f"--sampler must return a floating-point tensor ({count}, …), got {got}")
        self._samples = samples.detach().float().cpu()

    def __iter__(self) -> Iterator[Tensor]:
        """Return batches ``(N, …)`` float32."""
        return iter(torch.split(self._samples, BATCH_SIZE))

    def report(self) -> dict[str, Any]:
        """Describe the drawn samples, in plain types."""
        drawn = {"size": self.sample_size, "read": self.sample_size, "skipped": 0, "list": [], "rules": {}}
        return {"name": self.name} | drawn | {"seed": self.seed}
