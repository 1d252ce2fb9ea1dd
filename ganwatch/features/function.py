"""Any callable as an extractor."""

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
        Samples ``(N, …)`` float32 to features ``(N, …)``; a module is called in evaluation mode and stays in its own.
    preprocessing : Preprocessing or None
        Applied first; None gives samples as they are, uint8 as float32.
    name : str or None
        For people; None takes the function's own.

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
        """Features ``(N, D)``.

        Raises
        ------
        UserError
            The function returns no floating-point tensor with one row a sample.
        """
        if self.preprocessing is not None:
            prepared = self.preprocessing(samples)
        else:
            prepared = (samples if isinstance(samples, Tensor) else torch.stack(list(samples))).to(torch.float32)
        with evaluation_mode(self.function) if isinstance(self.function, nn.Module) else nullcontext():
            return as_features(self.function(prepared), len(prepared), self.name)

    def provenance(self) -> dict[str, Any]:
        """Name and preprocessing; a hash of the weights where it is a module, None for a function, whose versions nothing tells apart."""
        return {
            "name": self.name,
            "weights": module_hash(self.function) if isinstance(self.function, nn.Module) else None,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.as_dict(),
        }
