"""Features of any callable."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.features.extractor import Batch, as_features, module_hash
from ganwatch.features.preprocessing import Preprocessing
from ganwatch.isolation.isolated_call import evaluation_mode


class CallableExtractor:
    """Features that a function or a module returns.

    Parameters
    ----------
    function : callable
        Takes samples ``(N, …)`` float32 and returns features ``(N, …)``. A module is called in evaluation mode; its own mode is restored.
    preprocessing : Preprocessing or None
        Applied to the samples first; None passes them unchanged, uint8 as float32.
    name : str or None
        Name in messages; None takes that of the function.

    Examples
    --------
    >>> extractor = CallableExtractor(lambda samples: samples.mean((2, 3)), name="brightness")
    >>> tuple(extractor(torch.zeros(5, 3, 8, 8)).shape)
    (5, 3)
    """

    dim: int | None = None

    def __init__(
        self, function: Callable[[Tensor], Any], *, preprocessing: Preprocessing | None = None, name: str | None = None
    ) -> None:
        self.function = function
        self.preprocessing = preprocessing
        self.name = name or str(getattr(function, "__qualname__", type(function).__name__))

    @torch.no_grad()
    def __call__(self, samples: Batch) -> Tensor:
        """Return features ``(N, D)``.

        Raises
        ------
        UserError
            The function returns no floating-point tensor with one row per sample.
        """
        if self.preprocessing is not None:
            prepared = self.preprocessing(samples)
        else:
            prepared = (samples if isinstance(samples, Tensor) else torch.stack(list(samples))).to(torch.float32)
        with evaluation_mode(self.function) if isinstance(self.function, nn.Module) else nullcontext():
            return as_features(self.function(prepared), len(prepared), self.name)

    def provenance(self) -> dict[str, Any]:
        """Return the name, preprocessing and a hash of a module's weights; None for a function, whose versions nothing distinguishes."""
        return {
            "name": self.name,
            "weights": module_hash(self.function) if isinstance(self.function, nn.Module) else None,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.as_dict(),
        }
