"""Recognises a batch as real or fake, by the batches that the loader delivered and the generator returned."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.attribution.fingerprints import compute_fingerprints, identify_samples
from ganwatch.capture.step import find_tensors

MAX_BATCHES = 24
"""Batches that are remembered per origin."""
MAX_BYTES = 64 * 2**20
"""Memory of the remembered batches per origin, in bytes, if all are as large as the latest …"""
MIN_BATCHES = 2
"""… but at least so many batches are remembered."""
PREFILTER_VALUES = 8
"""Values of a sample that are compared before the whole batch is."""
MIN_REAL_SHARE = 0.75
"""Share of the samples of a batch that must be known as real, where the others are unknown, as samples that were altered."""
MAX_FAILURES = 8
"""Failed searches sample by sample in a row, after which only one search in so many is made."""

ALL_SAMPLES = slice(None)
Selection = slice | Tensor
"""Consecutive samples of a batch, or their positions."""


@dataclass(slots=True)
class _Batch:
    step: int
    samples: Tensor
    fingerprints: list[int] | None = None


class BatchOrigin:
    """Origin of batches, by comparison with recent ones, which are remembered by reference.

    Examples
    --------
    >>> batch_origin = BatchOrigin()
    >>> real, fake = torch.zeros(2, 3), torch.ones(2, 3)
    >>> batch_origin.remember("real", real)
    >>> batch_origin.remember("fake", fake)
    >>> batch_origin.identify(fake.detach()), batch_origin.identify(torch.cat([real, fake]))
    ([('fake', slice(None, None, None))], [('real', slice(0, 2, None)), ('fake', slice(2, 4, None))])
    >>> batch_origin.identify(real + 2.0)
    [('unknown', slice(None, None, None))]
    """

    def __init__(self) -> None:
        self.current_step = 0
        """Step of the batches that are remembered and identified now."""
        self.used_earlier_batch = False
        """True if a batch of an earlier step was recognised; the reader resets it."""
        self.sample_shape: torch.Size | None = None
        """Shape of one sample, as the generator returned it last."""
        self._batches: dict[str, deque[_Batch]] = {"fake": deque(), "real": deque()}
        self._deferred: deque[tuple[int, str, Any]] = deque(maxlen=MIN_BATCHES)
        self._sample_end: str | None = None
        """End of a longer sample, ``first`` or ``last``, at which the sample itself was found."""
        self._sample_input: int | None = None
        """Number of the discriminator's input that was fake last."""
        self._had_two_reals = False
        """True if several inputs of one call were all real."""
        self._failures = 0

    def remember_deferred(self, origin: str, nest: Any) -> None:
        """Add a batch that will hardly be compared: it is not examined before a comparison needs it, and only the latest are kept."""
        self._deferred.append((self.current_step, origin, nest))

    def remember(self, origin: str, nest: Any) -> None:
        """Add batches of samples, of shape (N, …), from a nest; other tensors are skipped."""
        if self._deferred:
            self._add_deferred()
        self._add(self.current_step, origin, nest)

    def _add_deferred(self) -> None:
        for _ in range(len(self._deferred)):
            self._add(*self._deferred.popleft())

    def _add(self, step: int, origin: str, nest: Any) -> None:
        for tensor in (nest,) if isinstance(nest, Tensor) else find_tensors(nest):
            if tensor.ndim >= 2 and tensor.is_floating_point() and len(tensor):
                self._add_batch(step, origin, tensor)

    def _add_batch(self, step: int, origin: str, tensor: Tensor) -> None:
        batches = self._batches[origin]
        batches.append(_Batch(step, tensor.detach()))
        if len(batches) > MIN_BATCHES and (len(batches) > MAX_BATCHES or len(batches) * tensor.nbytes > MAX_BYTES):
            batches.popleft()

    def nonfinite_share(self, origin: str, step: int) -> float | None:
        """Return the largest share of samples with NaN or infinity among the batches of a step or the one before it.

        None if none of them is remembered any more.
        """
        self._add_deferred()
        recent = [batch.samples for batch in [*self._batches[origin]] if step - 1 <= batch.step <= step]
        return max((float(1.0 - torch.isfinite(x.flatten(1)).all(1).float().mean()) for x in recent), default=None)

    def find_candidates(self, arguments: Sequence[Tensor]) -> list[Tensor]:
        """Return the discriminator's arguments that may be samples: those of the generator's shape, or else the first batch."""
        batches = [x for x in arguments if x.ndim >= 2 and x.is_floating_point()]
        return [x for x in batches if x.shape[1:] == self.sample_shape] or batches[:1]

    def choose_candidate(self, origins: Sequence[str]) -> tuple[int, str]:
        """Return the number and the origin of the candidate that is scored; others are its condition, such as the image to translate."""
        if "fake" in origins:
            self._sample_input = origins.index("fake")
            return self._sample_input, "fake"
        self._had_two_reals |= all(origin == "real" for origin in origins)
        number = len(origins) - 1 if self._sample_input is None else min(self._sample_input, len(origins) - 1)
        return number, "real" if all(origin == "real" for origin in origins) else "unknown"

    def is_pair(self, origins: Sequence[str]) -> bool:
        """Return True if one call scores a real and a fake batch, rather than a fake with its condition."""
        return sorted(origins) == ["fake", "real"] and not self._had_two_reals

    def identify(self, samples: Tensor) -> list[tuple[str, Selection]]:
        """Return the origin of samples: one for the whole batch, or several with their samples; ``unknown`` if it is not certain."""
        self._add_deferred()
        address = storage_address(samples)
        same_storage = {
            origin: batch.step
            for origin, batches in self._batches.items()
            for batch in [*batches]
            if storage_address(batch.samples) == address
        }
        if len(same_storage) == 1:
            [(origin, step)] = same_storage.items()
            self.used_earlier_batch |= step < self.current_step
            return [(origin, ALL_SAMPLES)]
        parts: list[tuple[str, Selection]] = []
        start = 0
        while start < len(samples):
            match = self._match_beginning(samples[start:])
            if match is None:
                return self._identify_each(samples)
            origin, length = match
            parts.append((origin, slice(start, start + length)))
            start += length
        return parts if len(parts) > 1 else [(origin, ALL_SAMPLES) for origin, _ in parts] or [("unknown", ALL_SAMPLES)]

    def strip_condition(self, samples: Tensor) -> Tensor:
        """Return samples without a condition: the known end of those that are longer than the generator's."""
        size = 0 if self.sample_shape is None else self.sample_shape.numel()
        if self.sample_shape is None or self._sample_end is None or samples[0].numel() <= size:
            return samples
        flat = samples.reshape(len(samples), -1)
        return (flat[:, :size] if self._sample_end == "first" else flat[:, -size:]).reshape(len(samples), *self.sample_shape)

    def _identify_each(self, samples: Tensor) -> list[tuple[str, Selection]]:
        self._failures += 1
        if self.sample_shape is None or (self._failures > MAX_FAILURES and self._failures % MAX_FAILURES):
            return [("unknown", ALL_SAMPLES)]
        size = self.sample_shape.numel()
        known = {origin: self._fingerprints(batches, size) for origin, batches in self._batches.items()}
        origins, by_end = identify_samples(samples, known, size)
        if len(by_end) == 2 and origins[0] != "unknown":
            self._note_sample_end(origins[0], by_end)
        if "fake" not in origins and origins.count("real") >= MIN_REAL_SHARE * len(origins):
            origins = ["real"] * len(origins)
        if "unknown" in origins:
            parts = split_fakes(origins)
            self._failures = 0 if len(parts) == 2 else self._failures
            return parts
        self._failures = 0
        self.used_earlier_batch = True
        if len(set(origins)) == 1:
            return [(origins[0], ALL_SAMPLES)]
        return [
            (origin, torch.tensor([position for position, other in enumerate(origins) if other == origin], device=samples.device))
            for origin in sorted(set(origins))
        ]

    def _note_sample_end(self, origin: str, by_end: Mapping[str, list[str]]) -> None:
        """Note the end of longer samples at which some of this origin were found, if it is one only."""
        ends = [end for end, found in by_end.items() if origin in found]
        if len(ends) == 1:
            self._sample_end = ends[0]

    @staticmethod
    def _fingerprints(batches: deque[_Batch], size: int) -> list[list[int]]:
        same_size = [batch for batch in [*batches] if batch.samples[0].numel() == size]
        for batch in same_size:
            if batch.fingerprints is None:
                batch.fingerprints = compute_fingerprints(batch.samples.reshape(len(batch.samples), -1))
        return [batch.fingerprints for batch in same_size if batch.fingerprints is not None]

    def _match_beginning(self, samples: Tensor) -> tuple[str, int] | None:
        """Return origin and length of the batch that the samples begin with; None if there is none, or one of each origin."""
        first_values = _first_values(samples)
        matches: dict[str, tuple[int, int]] = {}
        for origin, batches in self._batches.items():
            for batch in [*batches][::-1]:
                other, length = _channels_like(batch.samples, samples), len(batch.samples)
                is_comparable = other.shape[1:] == samples.shape[1:] and other.dtype == samples.dtype and length <= len(samples)
                if is_comparable and _first_values(other) == first_values and torch.equal(other, samples[:length]):
                    matches[origin] = length, batch.step
                    break
        if len(matches) != 1:
            return None
        [(origin, (length, step))] = matches.items()
        self.used_earlier_batch |= step < self.current_step
        return origin, length


def split_fakes(origins: Sequence[str]) -> list[tuple[str, Selection]]:
    """Return the two parts of a call on fakes and on other samples that come before or after all of them.

    The others are of one origin, or unknown.

    >>> split_fakes(["real", "unknown", "fake"])
    [('unknown', slice(0, 2, None)), ('fake', slice(2, 3, None))]
    >>> split_fakes(["unknown", "fake", "unknown"])
    [('unknown', slice(None, None, None))]
    """
    is_fake = [origin == "fake" for origin in origins]
    cut = next((place for place, other in enumerate(is_fake) if other != is_fake[0]), len(origins))
    if len(set(is_fake[cut:])) != 1:
        return [("unknown", ALL_SAMPLES)]
    parts = (slice(0, cut), slice(cut, len(origins)))
    return [(origins[part][0] if len(set(origins[part])) == 1 else "unknown", part) for part in parts]


def storage_address(tensor: Tensor) -> int:
    """Address of a tensor's storage."""
    return tensor.untyped_storage().data_ptr()


def _channels_like(batch: Tensor, samples: Tensor) -> Tensor:
    """Return a batch with its channels where those of the samples are: last or second."""
    if batch.ndim != 4 or samples.ndim != 4 or batch.shape[1:] == samples.shape[1:]:
        return batch
    height, width, channels = batch.shape[1:]
    return batch.permute(0, 3, 1, 2) if samples.shape[1:] == (channels, height, width) else batch


def _first_values(samples: Tensor) -> list[float]:
    """Some values of the first sample."""
    first = samples[0].reshape(-1)
    values: list[float] = first[:: max(1, len(first) // PREFILTER_VALUES)].tolist()
    return values
