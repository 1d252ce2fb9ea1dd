"""Values of the samples as features."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, NamedExtractor
from ganwatch.features.preprocessing import Preprocessing

PREPROCESSING = Preprocessing()


class Identity(NamedExtractor):
    """Extractor that takes every value as a feature: for vectors, and for small images whose pixels correspond.

    Parameters
    ----------
    preprocessing : Preprocessing
        Preprocessing of images; vectors are not changed.

    Examples
    --------
    >>> Identity()(torch.tensor([[0, 255]], dtype=torch.uint8)).tolist()
    [[0.0, 255.0]]
    """

    name = "identity"
    takes_vectors = True

    def __init__(self, preprocessing: Preprocessing = PREPROCESSING) -> None:
        self.preprocessing = preprocessing

    @classmethod
    def build(cls, preprocessing: Preprocessing, seed: int) -> Self:  # noqa: ARG003  # it has no weights
        return cls(preprocessing)

    def __call__(self, samples: Batch) -> Tensor:
        """Return features ``(N, D)``.

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
        """Return the name and the preprocessing."""
        return {"name": self.name, "weights": "none", "preprocessing": self.preprocessing.as_dict()}
