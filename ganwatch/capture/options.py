"""Facts about a training that a user gives instead of leaving them to inference; checked before anything begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganwatch.capture.step import find_score
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.evaluation.heldout import HeldoutSamples


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the user.

    Parameters
    ----------
    optimizers : mapping of str to list of Optimizer
        By role (``g``, ``d``): only these count as updates of it.
    logits : tuple of int and str, callable, or None
        Path to the score in the discriminator's output.
    sample : callable or None
        Turns the generator's output into a sample.
    fixed : tuple of Tensor
        Inputs of the generator for the gallery.
    ema : nn.Module or None
        Averaged weights of the generator, of which quality is measured.
    heldout : HeldoutSamples or None
        Reals that the training never sees.
    """

    optimizers: Mapping[str, Sequence[torch.optim.Optimizer]] = field(default_factory=dict)
    logits: tuple[int | str, ...] | Callable[[Any], Tensor] | None = None
    sample: Callable[[Any], Any] | None = None
    fixed: tuple[Tensor, ...] = ()
    ema: nn.Module | None = None
    heldout: HeldoutSamples | None = None

    def find_score(self, output: Any) -> tuple[Tensor | None, int | None]:
        """Return the score in a discriminator's output, and its channel if only one channel is the score.

        Raises
        ------
        UserError
            ``logits`` leads to no floating tensor.

        Examples
        --------
        >>> output = {"scale": [torch.zeros(2, 8), torch.ones(2, 3)]}
        >>> Options(logits=("scale", 1, 0)).find_score(output)
        (tensor([[1., 1., 1.],
                [1., 1., 1.]]), 0)
        """
        if self.logits is None:
            return find_score(output), None
        leaf, channel = output, None
        if not isinstance(self.logits, tuple):
            with torch.no_grad():
                leaf = self.logits(output)
        else:
            for key in self.logits:
                if isinstance(leaf, Tensor) and leaf.ndim > 1 and channel is None and key in range(leaf.shape[1]):
                    channel = int(key)
                else:
                    leaf = _get_item(leaf, key)
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
            raise UserError(f"logits must lead to a floating tensor in what D returns, got {type(leaf).__name__}")
        return leaf, channel


NO_OPTIONS = Options()


def _get_item(nest: Any, key: int | str) -> Any:
    is_attribute = isinstance(key, str) and not isinstance(nest, Mapping)
    try:
        if not isinstance(nest, Tensor):
            return getattr(nest, str(key)) if is_attribute else nest[key]
    except (LookupError, AttributeError, TypeError):
        pass
    raise UserError(f"logits must lead to a floating tensor in what D returns, got {key!r}, which is not in its {type(nest).__name__}")
