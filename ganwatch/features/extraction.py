"""Features of many samples, one batch at a time, from the cache where they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.cache import FeatureCache, content_key
from ganwatch.features.extractor import Batch, Extractor, extractor_hash


def iterate_features(batches: Iterable[Batch], extractor: Extractor, *, cache: FeatureCache | None = None) -> Iterator[Tensor]:
    """Features ``(N, D)`` float32 of one batch after the other.

    Parameters
    ----------
    batches : iterable
        Such as ``ganwatch.data.batches.SampleBatches``.
    extractor : Extractor
        Where its provenance has no hash of weights, nothing is kept.
    cache : FeatureCache or None
        Where features are kept and found again.

    Raises
    ------
    UserError
        Features are not finite, or their length changes from batch to batch.
    """
    identity = extractor_hash(extractor) if cache is not None else None
    dim, wrote = extractor.dim, False
    for batch in batches:
        key = None if cache is None or identity is None else content_key(batch, identity)
        features = cache.get(key) if cache is not None and key is not None else None
        if features is None:
            features = extractor(batch)
            bad = int((~torch.isfinite(features)).any(1).sum())
            if bad:
                what = f"{bad:,} of {len(features):,} samples with NaN or infinity from {extractor.name}"
                raise UserError(f"features must be finite, got {what}")
            if cache is not None and key is not None:
                cache.put(key, features)
                wrote = True
        dim = dim or features.shape[1]
        if features.shape[1] != dim:
            raise UserError(f"features of {extractor.name} must have the same length in all batches, {dim}, got {features.shape[1]}")
        yield features
    if cache is not None and wrote:
        cache.prune()


def extract(
    batches: Iterable[Batch], extractor: Extractor, *, cache: FeatureCache | None = None, progress: Callable[[int], None] | None = None
) -> Tensor:
    """Features ``(N, D)`` float32 of all samples; ``progress`` is told how many were added.

    Examples
    --------
    >>> from ganwatch.features.random_conv import RandomConv
    >>> tuple(extract([torch.zeros(4, 1, 8, 8), torch.zeros(2, 1, 8, 8)], RandomConv()).shape)
    (6, 140)
    """
    found = []
    for features in iterate_features(batches, extractor, cache=cache):
        found.append(features)
        if progress is not None:
            progress(len(features))
    if not found:
        raise UserError("samples must not be empty, got none")
    return torch.cat(found)
