"""Samples as their own features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch
from ganwatch.features.preprocessing import Preprocessing

PREPROCESSING = Preprocessing()


class Identity:
    """Every value is a feature: for vectors, and for small images whose pixels correspond.

    Parameters
    ----------
    preprocessing : Preprocessing
        Of images; vectors are taken as they are.

    Examples
    --------
    >>> Identity()(torch.tensor([[0, 255]], dtype=torch.uint8)).tolist()
    [[0.0, 255.0]]
    """

    name = "identity"
    dim: int | None = None

    def __init__(self, preprocessing: Preprocessing = PREPROCESSING) -> None:
        self.preprocessing = preprocessing

    def __call__(self, samples: Batch) -> Tensor:
        """Features ``(N, D)``.

        Raises
        ------
        UserError
            Samples differ in shape.
        """
        first = samples[0]
        if first.ndim == 3:  # C, H, W
            return self.preprocessing(samples).detach().flatten(1)
        shapes = sorted({tuple(one.shape) for one in samples})
        if len(shapes) > 1:
            raise UserError(f"samples must have one shape for features 'identity', got {', '.join(map(str, shapes[:4]))}")
        vectors = samples if isinstance(samples, Tensor) else torch.stack([one.to(torch.float32) for one in samples])
        return vectors.detach().to(torch.float32).reshape(len(vectors), -1)

    def provenance(self) -> dict[str, Any]:
        """The name and the preprocessing."""
        return {"name": self.name, "weights": "none", "preprocessing": self.preprocessing.as_dict()}
