"""Labels as rows that a metric can store."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, Extractor


def label_rows(samples: Batch, classifier: Extractor | None = None) -> Tensor:
    """Return labels ``(N,)``, or the largest of a classifier's scores ``(N, C)``, as one float column ``(N, 1)``, exact below 2**24.

    >>> label_rows(torch.tensor([3, 0])).tolist()
    [[3.0], [0.0]]
    """
    labels = torch.as_tensor(samples) if classifier is None else classifier(samples).argmax(1)
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
        raise UserError(f"labels must be integers of shape (N,), got {labels.dtype} of shape {tuple(labels.shape)}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < 2**24:
        raise UserError(f"labels must be at least 0 and less than 2**24, got {int(labels.min())} to {int(labels.max())}")
    return labels.float()[:, None]
