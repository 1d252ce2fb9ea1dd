"""The first real samples as projected values with modes, to which batches of the loop are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ganwatch.evaluation.batch_sums import BatchSums
from ganwatch.evaluation.tensor_state import pack, unpack
from ganwatch.metrics.clusters import find_clusters
from ganwatch.metrics.modes import MIN_REALS_PER_CLUSTER
from ganwatch.metrics.neighbours import nearest_neighbours

MAX_DIMENSIONS = 32
MIN_REALS_PER_DIMENSION = 8
"""Reals for each dimension of the features; fewer reduce the dimensions."""
MAX_CLUSTERS = 25
NEIGHBOURS = 5
MIN_TOLD_LABELS = 0.75
"""Share of reals whose label their neighbours tell, from which labels are modes."""
MIN_COLUMN_SCALE = 0.1
"""Standard deviation of a column of vectors, against the median of those that vary, below which it counts as that large."""
MAX_NEIGHBOUR_RATIO = 0.5
"""Distance to the nearest neighbour against the usual one below which samples are grouped; about 0.66 for noise in 32 dimensions."""
MIN_RELATIVE_SPREAD = 1e-5
"""Standard deviation of a column against its largest value below which it is constant but for rounding."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Linear map of values ``(N, F)`` to their first principal components ``(N, D)``.

    Parameters
    ----------
    centre, scale : Tensor, shape (F,)
    basis : Tensor, shape (F, D)
    """

    centre: Tensor
    scale: Tensor
    basis: Tensor

    @classmethod
    def fit(cls, values: Tensor, *, are_vectors: bool) -> Projection:
        """Fit to values of reals. Columns of vectors are scaled to one spread, as each has a unit of its own; pixels are not."""
        spread, centre = values.std(0), values.mean(0)
        varying = spread[spread > MIN_RELATIVE_SPREAD * values.abs().amax(0)]
        has_scale = are_vectors and bool(len(varying))
        scale = spread.clamp_min(MIN_COLUMN_SCALE * float(varying.median())) if has_scale else torch.ones_like(spread)
        dimensions = max(1, min(MAX_DIMENSIONS, values.shape[1], len(values) // MIN_REALS_PER_DIMENSION))
        return cls(centre, scale, principal_components((values - centre) / scale, dimensions))

    def __call__(self, values: Tensor) -> Tensor:
        """Return the features of values."""
        return ((values - self.centre) / self.scale) @ self.basis

    def to(self, device: torch.device) -> Projection:
        """Return the projection on a device."""
        return Projection(self.centre.to(device), self.scale.to(device), self.basis.to(device))


class OnlineReference:
    """Features of the first real samples and their modes: their labels, where similar samples tell these, or else clusters.

    Projection and clusters are fitted to one half of the samples and measured on the other, so that further reals have the same moments and
    shares.

    Parameters
    ----------
    values : Tensor, shape (N, F), float32
        At least 40 finite samples; images averaged down.
    labels : Tensor, shape (N,), int64, optional
    are_vectors : bool
        True if each column has a unit of its own.

    Attributes
    ----------
    real : BatchSums
        Sums over the reals so far, without those that projection and clusters were fitted to.
    count : int
        Number of these.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> kinds = torch.randint(4, (200, 1), generator=generator)
    >>> reals = torch.cat([kinds, kinds % 2], 1) + 0.01 * torch.randn(200, 2, generator=generator)
    >>> reference = OnlineReference(reals, are_vectors=True)
    >>> reference.sum_batches([(reals[:20], None)])[0].by_mode.sort().values
    tensor([3., 4., 6., 7.])
    """

    def __init__(self, values: Tensor, labels: Tensor | None = None, *, are_vectors: bool = False) -> None:
        half = len(values) // 2
        self.projection = Projection.fit(values[:half], are_vectors=are_vectors)
        self.points, self.labels = self.projection(values), labels
        self.centres, self.count = self.points[:0], len(values) - half
        if labels is None or float(self._sum_reals(half).agreeing) < MIN_TOLD_LABELS * self.count:
            clusters = max(1, min(MAX_CLUSTERS, len(values) // MIN_REALS_PER_CLUSTER))
            self.centres = find_clusters(self.points[:half], clusters)
        self.real = self._sum_reals(half)

    def _sum_reals(self, first: int) -> BatchSums:
        """Return the sums over the reals from one on, whose labels the others tell."""
        others = None
        if self.labels is not None:
            others = nearest_neighbours(self.points, None, min(NEIGHBOURS, len(self.points) - 1))[1][first:]
        own = None if self.labels is None else self._number(self.labels[first:])
        return BatchSums.of(self.points[first:], *self._classify(self.points[first:], others), own)

    @property
    def size(self) -> int:
        """Number of values of a sample."""
        return len(self.projection.centre)

    @property
    def has_label_modes(self) -> bool:
        """True if modes are labels."""
        return not len(self.centres)

    @cached_property
    def has_neighbours(self) -> bool:
        """True if samples lie much nearer to their nearest neighbour than to others, so that similar ones can tell a label."""
        distances = torch.cdist(self.points, self.points)
        distances.fill_diagonal_(torch.inf)
        nearest, usual = distances.amin(1).median(), distances.median()
        return bool(nearest < MAX_NEIGHBOUR_RATIO * usual)

    @property
    def modes(self) -> int:
        """Number of modes."""
        return len(self.centres) or len(self.kinds)

    @cached_property
    def kinds(self) -> Tensor:
        """Different labels in rising order, shape (K,), int64; empty without labels."""
        labels = self.points.new_empty(0, dtype=torch.int64) if self.labels is None else self.labels
        kinds: Tensor = torch.unique(labels)
        return kinds

    @cached_property
    def _numbers(self) -> Tensor:
        """Number of each real's label, shape (N,), int64."""
        assert self.labels is not None
        return torch.searchsorted(self.kinds, self.labels)

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.points.device

    def to(self, device: torch.device) -> None:
        """Move all tensors to a device."""
        for cached in ("kinds", "_numbers"):
            self.__dict__.pop(cached, None)
        self.projection, self.real = self.projection.to(device), replace(self.real, vectors=self.real.vectors.to(device))
        self.points, self.centres = self.points.to(device), self.centres.to(device)
        if self.labels is not None:
            self.labels = self.labels.to(device)

    def add(self, sums: BatchSums, count: int) -> None:
        """Count further reals, by their sums and their number."""
        self.real, self.count = replace(self.real, vectors=self.real.vectors + sums.vectors), self.count + count

    def sum_batches(self, batches: Sequence[tuple[Tensor, Tensor | None]]) -> list[BatchSums]:
        """Return the sums over each of several batches: samples ``(N, F)`` with their requested labels ``(N,)``, if they are known."""
        points = self.projection(torch.cat([values for values, _ in batches]))
        neighbours = None
        if self.labels is not None:
            squares = torch.addmm(self.points.square().sum(1), points, self.points.T, alpha=-2.0)  # but for a term of the query's own
            neighbours = squares.topk(min(NEIGHBOURS, len(self.points)), largest=False, sorted=False).indices
        places, modes, produced = self._classify(points, neighbours)
        sums, start = [], 0
        for values, labels in batches:
            part = slice(start, start := start + len(values))
            of_labels = None if produced is None else produced[part], self._number(labels)
            sums.append(BatchSums.of(points[part], places[part], modes, *of_labels))
        return sums

    def _number(self, labels: Tensor | None) -> Tensor | None:
        """Return labels as their numbers among those of the reals, -1 for unknown ones and one beyond them for others."""
        if labels is None or self.labels is None:
            return None
        places = torch.searchsorted(self.kinds, labels)
        is_kind = self.kinds[places.clamp_max(len(self.kinds) - 1)] == labels
        return places.where(is_kind, len(self.kinds)).where(labels >= 0, -1)

    def _classify(self, points: Tensor, neighbours: Tensor | None) -> tuple[Tensor, int, Tensor | None]:
        """Return the mode of each sample, the number of modes, and the number of the label that most of its neighbours have."""
        produced = None
        if self.labels is not None and neighbours is not None:
            places = self._numbers[neighbours]
            votes = points.new_zeros(len(points), len(self.kinds)).scatter_add_(1, places, points.new_ones(1).expand(places.shape))
            produced = votes.argmax(1)  # not every device has a mode
        if len(self.centres) or produced is None:
            return self._assign(points), len(self.centres), produced
        return produced, len(self.kinds), produced

    def _assign(self, points: Tensor) -> Tensor:
        """Return the number of the nearest cluster of each sample."""
        return torch.addmm(self.centres.square().sum(1), points, self.centres.T, alpha=-2.0).argmin(1)

    def find_members(self, is_wanted: Tensor, limit: int) -> list[int]:
        """Return places of the first reals, at most ``limit`` of each mode, whose mode is wanted: ``is_wanted`` has shape (K,), bool."""
        modes = self._assign(self.points) if self.labels is None or len(self.centres) else torch.searchsorted(self.kinds, self.labels)
        wanted = is_wanted.nonzero()[:, 0].tolist()
        return [place for mode in wanted for place in (modes == mode).nonzero()[:limit, 0].tolist()]

    def state_dict(self) -> dict[str, Any]:
        """Return plain types."""
        one = self.projection
        tensors = {"centre": one.centre, "scale": one.scale, "basis": one.basis, "points": self.points, "centres": self.centres}
        tensors["real"] = self.real.vectors
        return {name: pack(value) for name, value in (tensors | {"labels": self.labels}).items()} | {"count": self.count}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> OnlineReference:
        """Restore a saved reference, on the host."""
        self = cls.__new__(cls)
        self.projection = Projection(*(unpack(state[name]) for name in ("centre", "scale", "basis")))
        self.points, self.centres, self.labels = (unpack(state[name]) for name in ("points", "centres", "labels"))
        self.count, real = state["count"], unpack(state["real"])
        self.real = BatchSums(real, self.points.shape[1], self.modes)
        return self


def principal_components(rows: Tensor, dimensions: int) -> Tensor:
    """Return the directions of the largest spread of centred rows (N, F), by descending spread: shape (F, dimensions), orthonormal.

    >>> principal_components(torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 1).abs()
    tensor([[1.],
            [0.]])
    """
    n, size = rows.shape
    if size <= n:
        return _leading_eigenvectors(rows.T @ rows, dimensions)
    directions: Tensor = rows.T @ _leading_eigenvectors(rows @ rows.T, dimensions)
    unit: Tensor = directions / torch.linalg.vector_norm(directions, dim=0).clamp_min(1e-30)
    return unit


def _leading_eigenvectors(gram: Tensor, count: int) -> Tensor:
    """Return the eigenvectors of the largest eigenvalues, by descending ones; on the host, as not every device has them."""
    vectors: Tensor = torch.linalg.eigh(gram.cpu().double()).eigenvectors
    return vectors[:, -count:].flip(1).to(gram)
