"""Calls a discriminator beside the training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganwatch.capture.options import NOTHING_SAID, Options
from ganwatch.capture.step import scores
from ganwatch.isolation.isolated_call import IsolatedCall

BATCH = 64


class DiscriminatorScorer:
    """A discriminator in evaluation mode on cloned buffers: the training does not notice.

    Parameters
    ----------
    discriminator : nn.Module
    options : Options
        Where its score is.

    Attributes
    ----------
    allowed : bool
        Whether it may be called beside the training; a call of a network that waits for other processes may not.

    Examples
    --------
    >>> DiscriminatorScorer(nn.Linear(2, 1))(torch.zeros(4, 2)).shape
    torch.Size([4])
    """

    def __init__(self, discriminator: nn.Module, options: Options = NOTHING_SAID) -> None:
        self.discriminator = getattr(discriminator, "_orig_mod", discriminator)
        self.allowed = True
        self._call, self._options = IsolatedCall(self.discriminator), options

    def __call__(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """One score a sample: shape (N,), float32.

        Raises
        ------
        TypeError
            What it returns has no score for each sample.
        """
        given = [samples] if labels is None else [samples, labels]
        batches = zip(*(torch.split(each, BATCH) for each in given), strict=True)
        return torch.cat([self._score(batch) for batch in batches])

    def _score(self, batch: tuple[Tensor, ...]) -> Tensor:
        leaf, channel = self._options.score(self._call(*batch))
        found = None if leaf is None else scores(leaf if channel is None else leaf[:, channel : channel + 1])
        if found is None or len(found) != len(batch[0]):
            raise TypeError(f"the discriminator must give a score for each of {len(batch[0])} samples")
        return found
