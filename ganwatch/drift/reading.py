"""Reads each side once, into features and interpretable columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.data.batches import SampleBatches
from ganwatch.data.sample_format import SIGNED_RANGE, SampleFormat, are_vectors, find_common_range, rescale_batches
from ganwatch.data.source import Item
from ganwatch.drift.columns import LABEL, Columns, columns_of
from ganwatch.features.cache import FeatureCache
from ganwatch.features.extraction import iterate_features
from ganwatch.features.extractor import Extractor
from ganwatch.features.registry import ExtractorSpec, make_extractor


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: features ``(N, D)``, columns by name, and a report of the samples read and left out."""

    features: Tensor
    columns: Columns
    report: dict[str, Any]


class Reader:
    """Reads every side the same way; the baseline decides how.

    If the baseline has 8-bit images, floating-point images of another side count as the same pixels in -1…1, 0…1 or 0…255, whichever range
    its first batch fits. If the baseline has floating-point images, another range is a difference in the data.

    Parameters
    ----------
    baseline : like that of ``ganwatch.data.opening.open_source``
        Decides between vectors and images, and gives the range of floating-point values.
    features, size : str, callable, Extractor or None; int or None
        An extractor, or the arguments of ``ganwatch.features.registry.make_extractor``.
    limit : int or None
        Largest number of samples to read per side, chosen at random.
    seed : int
    cache : FeatureCache or None
        Cache of features; with it an interrupted extraction continues.
    progress : callable or None
        Called with the side (``argument``, ``sample_size``) and the number of samples added.

    Raises
    ------
    UserError
        The baseline cannot be read, or the extractor does not fit it.
    """

    def __init__(
        self,
        baseline: Any,
        *,
        features: ExtractorSpec | Extractor = None,
        size: int | None = None,
        limit: int | None = None,
        seed: int = 0,
        cache: FeatureCache | None = None,
        progress: Callable[[SampleBatches, int], None] | None = None,
    ) -> None:
        self.limit, self.seed, self.cache, self.progress = limit, seed, cache, progress
        samples = SampleBatches(baseline, batch_size=64, seed=seed, argument="baseline")
        first = next(iter(samples))
        self._format = SampleFormat.from_batch(first)
        vectors = are_vectors({"baseline": self._format})
        self._bytes = not vectors and all(one.dtype == torch.uint8 for one in first)
        self.limits = SIGNED_RANGE if self._bytes else _range_of(samples, first)
        self.extractor: Extractor
        if isinstance(features, Extractor):
            self.extractor = features
        else:
            given = SIGNED_RANGE if vectors else self.limits
            self.extractor = make_extractor(features, vectors=vectors, size=size, input_range=given, seed=seed)

    def read(self, data: Any, argument: str) -> Side:
        """Read one side.

        Raises
        ------
        UserError
            It cannot be read, is images where the baseline is vectors or the reverse, or a feature is not finite.
        """
        samples = SampleBatches(data, limit=self.limit, seed=self.seed, argument=argument)
        first = next(iter(samples))
        are_vectors({"baseline": self._format, argument: SampleFormat.from_batch(first)})
        scaled = self._bytes and first[0].ndim > 1 and any(one.is_floating_point() for one in first)
        given = _range_of(samples, first) if scaled else SIGNED_RANGE
        labels: list[int | str | None] = []
        samples.source = replace(samples.source, read=_record_labels(samples.source.read, samples.source.labels, labels))
        found: list[Columns] = []

        def batches() -> Iterator[Any]:
            for batch in rescale_batches(samples, given, strict=False):
                parts = [batch] if isinstance(batch, Tensor) else [one[None] for one in batch]
                found.extend(columns_of(part, limits=_limits(part, self.limits)) for part in parts)
                yield batch
                if self.progress is not None:
                    self.progress(samples, len(batch))

        features = torch.cat(list(iterate_features(batches(), self.extractor, cache=self.cache)))
        shared = [name for name in found[0] if all(name in part for part in found)]
        columns = {name: np.concatenate([part[name] for part in found]) for name in shared}
        if labels and all(label is not None for label in labels):
            columns[LABEL] = np.asarray([str(label) for label in labels])
        return Side(features, columns, samples.report())

    def provenance(self) -> dict[str, Any]:
        """Return extractor, seed and limit as plain types."""
        return {"extractor": self.extractor.provenance(), "seed": self.seed, "limit": self.limit}


def _record_labels(read: Callable[[int], Item], known: Any, labels: list[int | str | None]) -> Callable[[int], Item]:
    """Wrap ``read`` so that it appends the label of each item to ``labels``."""

    def read_and_record(index: int) -> Item:
        item = read(index)
        labels.append(item.label if item.label is not None or known is None else known[index])
        return item

    return read_and_record


def _range_of(samples: SampleBatches, first: Any) -> tuple[float, float]:
    """Return the range of floating-point values: the usual one that the first batch fits, else the extremes of that batch."""
    floats = [one for one in first if one.is_floating_point()]
    if samples.source.value_range is not None or not floats:
        return samples.source.value_range or SIGNED_RANGE
    low, high = min(float(one.min()) for one in floats), max(float(one.max()) for one in floats)
    return find_common_range(low, high) or (low, high if high > low else low + 1.0)


def _limits(part: Tensor, limits: tuple[float, float]) -> tuple[float, float]:
    return (0.0, 255.0) if part.dtype == torch.uint8 else limits
