"""What a user may say about a training instead of leaving it to be found out; checked before anything begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganwatch.capture.step import score_leaf
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.evaluation.heldout import Heldout


@dataclass(frozen=True, slots=True)
class Options:
    """As said by the user.

    Parameters
    ----------
    optimizers : mapping of str to list of Optimizer
        By role (``g``, ``d``): only these count as updates of it.
    logits : tuple of int and str, callable, or None
        Where in the discriminator's output the score is.
    sample : callable or None
        Turns the generator's output into a sample.
    fixed : tuple of Tensor
        What the generator is given for the gallery.
    ema : nn.Module or None
        Averaged weights of the generator, which quality is measured with.
    heldout : Heldout or None
        Reals that the training never sees.
    """

    optimizers: Mapping[str, Sequence[torch.optim.Optimizer]] = field(default_factory=dict)
    logits: tuple[int | str, ...] | Callable[[Any], Tensor] | None = None
    sample: Callable[[Any], Any] | None = None
    fixed: tuple[Tensor, ...] = ()
    ema: nn.Module | None = None
    heldout: Heldout | None = None

    def score(self, output: Any) -> tuple[Tensor | None, int | None]:
        """The tensor of a discriminator's output that judges, and the channel of it where only one does.

        Raises
        ------
        UserError
            ``logits`` leads to no floating tensor.

        Examples
        --------
        >>> output = {"scale": [torch.zeros(2, 8), torch.ones(2, 3)]}
        >>> Options(logits=("scale", 1, 0)).score(output)
        (tensor([[1., 1., 1.],
                [1., 1., 1.]]), 0)
        """
        if self.logits is None:
            return score_leaf(output), None
        found, channel = output, None
        if not isinstance(self.logits, tuple):
            with torch.no_grad():
                found = self.logits(output)
        else:
            for place in self.logits:
                if isinstance(found, Tensor) and found.ndim > 1 and channel is None and place in range(found.shape[1]):
                    channel = int(place)
                else:
                    found = _within(found, place)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            raise UserError(f"logits must lead to a floating tensor in what D returns, got {type(found).__name__}")
        return found, channel


NOTHING_SAID = Options()


def _within(nest: Any, place: int | str) -> Any:
    by_name = isinstance(place, str) and not isinstance(nest, Mapping)
    try:
        if not isinstance(nest, Tensor):
            return getattr(nest, str(place)) if by_name else nest[place]
    except (LookupError, AttributeError, TypeError):
        pass
    raise UserError(f"logits must lead to a floating tensor in what D returns, got {place!r}, which is not in its {type(nest).__name__}")
