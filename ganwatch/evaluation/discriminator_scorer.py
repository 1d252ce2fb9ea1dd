"""Calls of a discriminator outside the training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganwatch.capture.options import NO_OPTIONS, Options
from ganwatch.capture.step import reduce_to_scores
from ganwatch.isolation.isolated_call import IsolatedCall

MAX_BATCH = 64
"""Samples that are scored in one call."""


class DiscriminatorScorer:
    """A discriminator in evaluation mode on cloned buffers; a call changes nothing in the training.

    Parameters
    ----------
    discriminator : nn.Module
    options : Options
        The position of the score in its output.

    Attributes
    ----------
    is_allowed : bool
        True if it may be called outside the training, False if a call would wait for other processes.

    Examples
    --------
    >>> DiscriminatorScorer(nn.Linear(2, 1))(torch.zeros(4, 2)).shape
    torch.Size([4])
    """

    def __init__(self, discriminator: nn.Module, options: Options = NO_OPTIONS) -> None:
        self.discriminator = getattr(discriminator, "_orig_mod", discriminator)
        self.is_allowed = True
        self._call, self._options = IsolatedCall(self.discriminator), options

    def __call__(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one score a sample: shape (N,), float32.

        Raises
        ------
        TypeError
            The output has no score for each sample.
        """
        inputs = [samples] if labels is None else [samples, labels]
        batches = zip(*(torch.split(each, MAX_BATCH) for each in inputs), strict=True)
        return torch.cat([self._score(batch) for batch in batches])

    def _score(self, batch: tuple[Tensor, ...]) -> Tensor:
        leaf, channel = self._options.find_score(self._call(*batch))
        found = None if leaf is None else reduce_to_scores(leaf if channel is None else leaf[:, channel : channel + 1])
        if found is None or len(found) != len(batch[0]):
            raise TypeError(f"the discriminator must give a score for each of {len(batch[0])} samples")
        return found
