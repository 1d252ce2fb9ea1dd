"""``GeneratedBatches``: draws samples from a checkpoint of the reference trainer."""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganwatch.checkpoints.safe_load import load_archive
from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Extractor
from ganwatch.features.penultimate import Penultimate
from ganwatch.features.preprocessing import Preprocessing
from ganwatch.isolation.random_state import preserved_random_state
from ganwatch.trainer.data import SCALES
from ganwatch.trainer.module import GAN

MAX_BATCH_VALUES = 2**24
"""Most values of a batch that is drawn."""


class GeneratedBatches:
    """Batches of a saved generator, drawn with its averaged weights if there are any. Every iteration draws the same samples.

    Parameters
    ----------
    path : path
        Checkpoint of ``ganwatch train``; only its tensors and plain types are loaded.
    count : int, >= 1
        Samples to draw.
    seed : int, >= 0
        Determines latents (and labels); the random state of the process does not change.
    batch_size : int
        Samples in a batch.
    argument : str
        Name of the checkpoint in errors.

    Attributes
    ----------
    name : str
        The path.
    sample_size : int
        Number of samples that an iteration draws.
    value_range : (low, high) or None
        Range of its training data, if the checkpoint has it.

    Raises
    ------
    UserError
        The file does not exist or is no such checkpoint.
    """

    has_latents = True

    def __init__(self, path: str | Path, *, count: int, seed: int = 0, batch_size: int = 256, argument: str = "checkpoint") -> None:
        self.name, self.sample_size, self.seed, self.argument = str(path), count, seed, argument
        self.gan, self.value_range = _load_gan(path, argument)
        self.averaged = self.gan.average is not None
        self.batch_size = max(1, min(batch_size, MAX_BATCH_VALUES // math.prod(self.gan.shape)))

    def __iter__(self) -> Iterator[Tensor]:
        """Draw batches ``(N, *shape)`` float32."""
        for start in range(0, self.sample_size, self.batch_size):
            with preserved_random_state(seed=self.seed + start):
                batch = self.gan.sample(min(self.batch_size, self.sample_size - start))
            yield batch

    def discriminator_features(self, given: tuple[float, float]) -> Extractor:
        """Build an extractor of the saved discriminator's last features; floating-point values of its images have the range ``given``."""
        if len(self.gan.shape) == 1:
            return Penultimate(self.gan.discriminator)
        channels, size, _ = self.gan.shape
        preprocessing = Preprocessing(
            size=size, channels=channels if channels in {1, 3} else None, input_range=given, output_range=self.value_range or given
        )
        return Penultimate(self.gan.discriminator, preprocessing=preprocessing)

    def report(self) -> dict[str, Any]:
        """Describe the drawn samples, in plain types."""
        drawn = {"size": self.sample_size, "read": self.sample_size, "skipped": 0, "list": [], "rules": {}}
        return {"name": self.name} | drawn | {"seed": self.seed, "averaged_weights": self.averaged, "updates": self.gan.g_updates}


def _load_gan(path: str | Path, argument: str) -> tuple[GAN, tuple[float, float] | None]:
    try:
        checkpoint, size = load_archive(path, argument)
        gan = _build_gan(checkpoint["hyper_parameters"], size)
        gan.load_state_dict(checkpoint["state_dict"])
        gan.on_load_checkpoint(checkpoint)
        scale = checkpoint.get("datamodule_hyper_parameters", {}).get("scale")
        factor, offset = SCALES[scale] if isinstance(scale, str) and scale in SCALES else (0.0, 0.0)
    except FileNotFoundError:
        raise UserError(f"{argument} must be a checkpoint of ganwatch train, got {str(path)!r}, which is not there") from None
    except Exception as error:
        unsafe = isinstance(error, pickle.UnpicklingError)  # torch's own message advises to load it all the same
        reason = "it holds more than weights" if unsafe else "".join(str(error).strip().splitlines()[:1])
        what = f"{str(path)!r} ({type(error).__name__}: {reason}); of another generator, give samples"
        raise UserError(f"{argument} must be a checkpoint of ganwatch train, got {what}") from error
    return gan, (offset - factor, offset + factor) if factor else None


def _build_gan(hyper_parameters: Mapping[str, Any], size: int) -> GAN:
    """Build the networks, after a look at how large they would be: no larger than a file of ``size`` bytes."""
    known = inspect.signature(GAN).parameters
    arguments = {name: value for name, value in hyper_parameters.items() if name in known}
    with preserved_random_state():
        with torch.device("meta"):
            needed = sum(tensor.nbytes for tensor in GAN(**arguments).state_dict().values())
        if needed > size:
            raise ValueError(f"its networks must fit its {size:,} bytes of tensors, got networks of {needed:,} bytes")
        return GAN(**arguments)
