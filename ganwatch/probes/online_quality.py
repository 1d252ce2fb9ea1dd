"""Distance, modes and labels of the loop's own batches against the first reals, at a fixed cadence and little cost."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.step import Call, StepView
from ganwatch.core.probe import Probe
from ganwatch.core.readings import SampleImages
from ganwatch.evaluation.batch_sums import BatchSums
from ganwatch.evaluation.gallery import MAX_TILES, to_pixels
from ganwatch.evaluation.labels import UNKNOWN, read_real_labels, read_requested_labels
from ganwatch.evaluation.online_reference import OnlineReference
from ganwatch.evaluation.resolution import ResolutionWatch, SampleResolution
from ganwatch.evaluation.tensor_state import pack, unpack
from ganwatch.metrics.modes import MAX_EXAMPLES
from ganwatch.metrics.online import find_missing, limit_expected, unbiased_frechet
from ganwatch.probes.diversity import downsample
from ganwatch.probes.precision import to_double
from ganwatch.probes.quality_reals import MIN_SAMPLES, RealCollector, infer_range

log = logging.getLogger("ganwatch")

INTERVAL = 80
"""Steps between two evaluations."""
REALS = 512
"""Reals of the reference."""
MIN_REALS, MAX_COLLECTED = MIN_SAMPLES, 25
"""Reals that are enough for the reference once so many batches were collected."""
MAX_REALS = 2048
"""Reals that are counted in all; later ones are compared with them."""
MIN_POOLED, MIN_BATCHES, MAX_BATCHES = 480, 8, 25
"""Samples of each side that an evaluation pools, and numbers of sampled batches: the latest eight, or more if they are small."""
MIN_NEWEST, NEWEST_SIGMAS = 160, 4.5
"""Samples of the newest batches in which a common mode may be missing already, and the standard errors that this takes."""
MAX_SAMPLES = 256
"""Samples of a batch."""
MAX_MEAN_SHIFT, CHANCE_FACTOR = 0.25, 8.0
"""Squared distance of a batch's mean from that of the reals, in their variance, up to which its samples may join them; and what is
added over the number of samples, 1 being usual."""
PARTS = 4
"""Parts of the pooled samples; the distances without each part give the standard error."""
ORIGINS = ("fake", "real")


class OnlineQuality(Probe):
    """Compares the latest fakes, and as many of the latest reals, with the first reals of the run, in projected pixels.

    Nothing is generated: the samples are those that the loop trains with, so generators without averaged weights are judged as they are.
    The distance is Fréchet's between the first principal components, without its bias for small samples, so that both sides compare with
    0. The reals of the loop are its null, and differ from 0 where the data has changed since the start. Modes are the labels that D or
    the loop receives with the reals, where similar reals tell them, or else clusters. If the shape or the resolution of the reals changes,
    new reals replace the first (``online_reference`` counts them).
    """

    name = "online_quality"
    signals = (
        "online_frechet", "online_frechet_error", "online_modes", "online_modes_missing", "online_share_missing",
        "online_label_agreement", "online_label_agreement_error", "online_label_chance", "online_reference",
    )  # fmt: skip
    every = 20
    early_every = 5

    def __init__(self) -> None:
        self._reference_count = 0
        self._latest = dict.fromkeys(ORIGINS, 0)
        self._start()

    def _start(self) -> None:
        """Begin with new first reals."""
        self._collector, self._collected = RealCollector(REALS), 0
        self._reference: OnlineReference | None = None
        self._resolution: SampleResolution | None = None
        self._resolution_watch = ResolutionWatch()
        self._pixels: Tensor | None = None
        self._has_requests: bool | None = None
        """True if the labels of which fakes are requested are known; None before the first fakes."""
        self._recent: dict[str, deque[tuple[int, BatchSums]]] = {origin: deque() for origin in ORIGINS}
        """Latest batches of each side: number of samples, and sums over them."""
        self._reference_count += 1

    def read(self, step: StepView) -> dict[str, float | Tensor]:
        device = next((call.inputs[0].device.type for call in step.calls if call.inputs), "cpu")
        if not torch.amp.is_autocast_available(device):
            return self._read(step)
        with torch.autocast(device, enabled=False):  # the loop may be within one
            return self._read(step)

    def _read(self, step: StepView) -> dict[str, float | Tensor]:
        is_due = step.tick % INTERVAL == 0
        calls = {}
        for origin in ORIGINS:
            call = step.last_call("d", origin)
            if call is not None and call.index > self._latest[origin] and _has_samples(call):
                self._latest[origin] = call.index
                calls[origin] = call
        if "real" in calls and is_due and self._has_other_resolution(calls["real"]):
            return {}
        if self._reference is None:
            if "real" in calls:
                self._collect(calls["real"].inputs[0], read_real_labels(step, calls["real"]))
        else:
            self._add(self._reference, calls, step)
        if self._reference is None or not is_due or min(map(len, self._recent.values())) < 2:
            return {}
        return self._evaluate(self._reference)

    def _has_other_resolution(self, call: Call) -> bool:
        """Return True if reals have another resolution than the reference; once that is confirmed, begin with new ones."""
        if self._resolution is None or not self._resolution_watch.update(self._resolution, call.inputs[0][:MAX_SAMPLES]):
            return False
        if self._resolution_watch.is_confirmed:
            log.info("real samples have changed their shape or resolution: the loop's own batches are compared with new ones")
            self._start()
        return True

    def _add(self, reference: OnlineReference, calls: Mapping[str, Call], step: StepView) -> None:
        """Add the batches of calls that are as large as those of the reference."""
        batches = {}
        for origin, call in calls.items():
            values = downsample(call.inputs[0][:MAX_SAMPLES])
            if values.shape[1] != reference.size:
                continue
            if reference.device != values.device:  # after a resume
                self._move(reference, values.device)
            if origin == "real":  # an incident of its own; here it would stay in the sums for ever
                values = values.where(torch.isfinite(values), reference.projection.centre)
            labels = None
            if reference.labels is not None:
                labels = read_requested_labels(step, call) if origin == "fake" else read_real_labels(step, call)
                if origin == "fake" and self._has_requests is None:  # waits for the device once
                    self._has_requests = labels is not None and bool((labels != UNKNOWN).any())
            batches[origin] = values, None if labels is None else labels[:MAX_SAMPLES].to(values.device)  # the loader's are on the host
        for (origin, (values, _)), sums in zip(batches.items(), reference.sum_batches([*batches.values()]) if batches else (), strict=True):
            self._recent[origin].append((len(values), sums))
            self._drop_old(reference, origin)

    def _drop_old(self, reference: OnlineReference, origin: str) -> None:
        """Drop the oldest batches that an evaluation does not need; reals join those that the others are compared with."""
        recent = self._recent[origin]
        while len(recent) > MAX_BATCHES or (len(recent) > MIN_BATCHES and sum(count for count, _ in recent) - recent[0][0] >= MIN_POOLED):
            count, oldest = recent.popleft()
            if origin == "real" and reference.count < MAX_REALS:
                vectors = oldest.vectors.where(is_usual(reference.real, oldest), 0.0)  # a product would keep what overflowed
                reference.add(replace(oldest, vectors=vectors), count)

    def _move(self, reference: OnlineReference, device: torch.device) -> None:
        reference.to(device)
        for origin, recent in self._recent.items():
            self._recent[origin] = deque((count, replace(sums, vectors=sums.vectors.to(device))) for count, sums in recent)

    def _collect(self, samples: Tensor, labels: Tensor | None) -> None:
        """Collect reals, and make the reference once there are enough."""
        self._collector.add(samples, labels)
        self._collected += 1
        if not (self._collector.is_full or (self._collected >= MAX_COLLECTED and self._collector.size >= MIN_REALS)):
            return
        reals, labels = self._collector.take()
        if len(reals) < MIN_REALS:
            return
        labels = None if labels is None or bool((labels == UNKNOWN).any()) else labels.to(reals.device)
        self._reference = OnlineReference(downsample(reals), labels, are_vectors=reals.ndim == 2)
        self._resolution = SampleResolution.of(reals)
        self._pixels = to_pixels(reals, infer_range(reals))

    def _evaluate(self, reference: OnlineReference) -> dict[str, float | Tensor]:
        values: dict[str, float | Tensor] = {"online_reference": float(self._reference_count), "online_modes": float(reference.modes)}
        recent = {origin: [sums for _, sums in batches] for origin, batches in self._recent.items()}
        sets = {"fake": pool_parts(recent["fake"]), "real": pool_parts(recent["real"][-MIN_BATCHES:])}  # reals may change at once
        distances = measure_distances(reference.real, list(sets.values()))
        for (origin, pooled), (distance, error) in zip(sets.items(), distances, strict=True):
            values |= {f"online_frechet/{origin}": distance, f"online_frechet_error/{origin}": error}
            found = self._find_missing(reference, origin)
            if found is not None:
                is_missing, expected = found
                values[f"online_modes_missing/{origin}"] = is_missing.sum().float()
                values[f"online_share_missing/{origin}"] = (expected * is_missing).sum() / expected.sum()
            if self._has_requests:
                one = replace(pooled, vectors=pooled.vectors[0])
                if origin == "real":
                    one = replace(one, vectors=one.vectors.where(one.labelled > 0, reference.real.vectors))
                produced = one.by_mode if reference.has_label_modes else reference.real.by_request
                agreement = measure_agreement(one)
                if origin == "fake" or reference.has_neighbours:
                    agreement["online_label_chance"] = measure_chance(one.by_request, produced)
                values |= {f"{name}/{origin}": value for name, value in agreement.items()}
        return values

    def _find_missing(self, reference: OnlineReference, origin: str) -> tuple[Tensor, Tensor] | None:
        """Return for each mode whether it is missing, shape (K,), bool, and how many samples of it were expected, shape (K,).

        It is missing among all batches, or surely among the newest. None if what is expected is unknown.
        """
        whole, newest = (self._sum_recent(origin, n_samples) for n_samples in (math.inf, MIN_NEWEST))
        expected, expected_newest = (self._expect_modes(reference, origin, sums) for sums in (whole, newest))
        if expected is None or expected_newest is None:
            return None
        is_missing = find_missing(expected, whole.by_mode) | find_missing(expected_newest, newest.by_mode, NEWEST_SIGMAS)
        return is_missing, expected

    def _expect_modes(self, reference: OnlineReference, origin: str, sums: BatchSums) -> Tensor | None:
        """Return the samples of each mode that are expected, shape (K,): as among reals, or as requested; None if that is unknown."""
        first = reference.real.by_mode
        if origin == "real":
            return first
        if self._has_requests:
            return sums.by_request if reference.has_label_modes else None
        return limit_expected(first, self._sum_recent("real").by_mode) if self._recent["real"] else first

    def _sum_recent(self, origin: str, n_samples: float = math.inf) -> BatchSums:
        """Return the sums over the recent batches of an origin, or over the newest ones that have so many samples."""
        newest: list[BatchSums] = []
        for count, sums in reversed(self._recent[origin]):
            newest.append(sums)
            n_samples -= count
            if n_samples <= 0:
                break
        return replace(newest[0], vectors=torch.stack([sums.vectors for sums in newest]).sum(0))

    def incident_samples(self, code: str, step: int, incident: str) -> SampleImages | None:
        """Return real samples of the modes that are missing among the latest fakes as evidence of GW102."""
        reference, pixels = self._reference, self._pixels
        if code != "GW102" or reference is None or pixels is None or not self._recent["fake"]:
            return None
        found = self._find_missing(reference, "fake")
        places = [] if found is None else reference.find_members(found[0], MAX_EXAMPLES)[:MAX_TILES]
        if not places:
            return None
        pixels = pixels if len(pixels) == 1 else pixels[places]
        return SampleImages(step, "missing", tuple(pixels.shape), pixels.numpy().tobytes(), incident)  # type: ignore[arg-type]  # four sizes

    def state_dict(self) -> dict[str, Any]:
        """Return plain types; reals that are no reference yet are collected anew."""
        state: dict[str, Any] = {"references": self._reference_count, "latest": dict(self._latest)}
        if self._reference is None or self._resolution is None:
            return state
        return state | {
            "reference": self._reference.state_dict(),
            "resolution": [list(self._resolution.shape), self._resolution.sharpness],
            "has_requests": self._has_requests,
            "recent": {origin: [[count, pack(sums.vectors)] for count, sums in recent] for origin, recent in self._recent.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with saved first reals and sums."""
        self._reference_count, self._latest = state["references"], dict(state["latest"])
        if "reference" in state:
            self._reference = OnlineReference.from_state(state["reference"])
            shape, sharpness = state["resolution"]
            self._resolution, self._has_requests = SampleResolution(tuple(shape), sharpness), state["has_requests"]
            size = self._reference.real.dimensions, self._reference.modes
            for origin, recent in self._recent.items():
                recent.extend((count, BatchSums(unpack(vectors), *size)) for count, vectors in state["recent"][origin])


def _has_samples(call: Call) -> bool:
    return bool(call.inputs) and call.inputs[0].ndim >= 2 and call.inputs[0].is_floating_point()


def is_usual(real: BatchSums, batch: BatchSums) -> Tensor:
    """Return True if the mean of a batch is no further from that of the reals than chance allows, 0-d: others are a fault and no reals."""
    spread = real.covariance.diagonal().sum()
    return (batch.mean - real.mean).square().sum() <= (MAX_MEAN_SHIFT + CHANCE_FACTOR / batch.count) * spread


def pool_parts(batches: Sequence[BatchSums]) -> BatchSums:
    """Return the sums over all batches, and those without each of at most four parts of them: vectors of shape (1 + P, S)."""
    vectors = torch.stack([batch.vectors for batch in batches])
    parts = min(PARTS, len(batches))
    weights = vectors.new_ones(1 + parts, len(batches))
    for part in range(parts):
        weights[1 + part, part::parts] = 0.0
    return replace(batches[0], vectors=weights @ vectors)


def measure_distances(real: BatchSums, sets: Sequence[BatchSums]) -> list[tuple[Tensor, Tensor]]:
    """Return the distance of each set of pooled batches to the reals, and its standard error from leaving out one part after the other."""
    sizes = [len(one.vectors) for one in sets]
    pooled = replace(real, vectors=torch.cat([one.vectors for one in sets]))
    one, several = ((to_double(sums.count), to_double(sums.mean), to_double(sums.covariance)) for sums in (real, pooled))
    distances = torch.split(unbiased_frechet(one, several), sizes)
    return [(values[0], ((len(values) - 2) * values[1:].var(correction=0)).sqrt()) for values in distances]


def measure_agreement(sums: BatchSums) -> dict[str, Tensor]:
    """Return the share of samples classified as their label, and its standard error; NaN without labels."""
    share = sums.agreeing / sums.labelled
    return {"online_label_agreement": share, "online_label_agreement_error": (share * (1.0 - share) / sums.labelled).sqrt()}


def measure_chance(requested: Tensor, produced: Tensor) -> Tensor:
    """Return the agreement, 0-d, of labels that have nothing to do with each other, from how often each is requested and produced (K,).

    >>> measure_chance(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 2.0]))
    tensor(0.5000)
    """
    return (requested * produced).sum() / (requested.sum() * produced.sum())
