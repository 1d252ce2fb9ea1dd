"""Features of many samples, one batch at a time, from the cache if it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.cache import FeatureCache, content_key
from ganwatch.features.extractor import Batch, Extractor, extractor_hash


def iterate_features(batches: Iterable[Batch], extractor: Extractor, *, cache: FeatureCache | None = None) -> Iterator[Tensor]:
    """Yield the features ``(N, D)`` float32 of each batch.

    Parameters
    ----------
    batches : iterable
        For example ``ganwatch.data.batches.SampleBatches``.
    extractor : Extractor
        Without a hash of weights in its provenance, nothing is stored.
    cache : FeatureCache or None
        Cache that features are read from and stored in.

    Raises
    ------
    UserError
        Features are not finite, or their length changes from batch to batch.
    """
    hash_of_extractor = extractor_hash(extractor) if cache is not None else None
    dim, has_written = extractor.dim, False
    for batch in batches:
        key = None if cache is None or hash_of_extractor is None else content_key(batch, hash_of_extractor)
        features = cache.get(key) if cache is not None and key is not None else None
        if features is None:
            features = extractor(batch)
            bad = int((~torch.isfinite(features)).any(1).sum())
            if bad:
                got = f"{bad:,} of {len(features):,} samples with NaN or infinity from {extractor.name}"
                raise UserError(f"features must be finite, got {got}")
            if cache is not None and key is not None:
                cache.put(key, features)
                has_written = True
        dim = dim or features.shape[1]
        if features.shape[1] != dim:
            raise UserError(f"features of {extractor.name} must have the same length in all batches, {dim}, got {features.shape[1]}")
        yield features
    if cache is not None and has_written:
        cache.prune()


def extract(
    batches: Iterable[Batch], extractor: Extractor, *, cache: FeatureCache | None = None, progress: Callable[[int], None] | None = None
) -> Tensor:
    """Return the features ``(N, D)`` float32 of all samples; ``progress`` is called with the size of each batch.

    Examples
    --------
    >>> from ganwatch.features.random_conv import RandomConv
    >>> tuple(extract([torch.zeros(4, 1, 8, 8), torch.zeros(2, 1, 8, 8)], RandomConv()).shape)
    (6, 140)
    """
    batches_of_features = []
    for features in iterate_features(batches, extractor, cache=cache):
        batches_of_features.append(features)
        if progress is not None:
            progress(len(features))
    if not batches_of_features:
        raise UserError("samples must not be empty, got none")
    return torch.cat(batches_of_features)
