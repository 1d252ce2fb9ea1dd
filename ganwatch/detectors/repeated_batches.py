"""The training sees the same batch of real data, or of latents, step after step.

How it is detected
    Of the last twelve sampled batches, ten or more have exactly the samples of an earlier one of them, in any order.
    Batches that are drawn anew differ, also those of a data set of a hundred samples that come again in every epoch, because each is
    another choice. Steps are sampled unevenly, so that data that is read in a fixed order does not show the same place at each of them.

Why it matters
    The networks learn a few dozen samples by heart. Losses look as always, and samples from fresh latents, or a comparison with the rest of
    the data, are poor.

Likely causes
    `next(iter(loader))` inside the loop, which begins the data again at every step; a batch that was drawn once, above the loop; a cache
    that serves the same entry; a random generator that is seeded anew at every step; the fixed noise for pictures passed in training.

What to do
    Draw the batch and the latents inside the loop: `for real in loader:` and `torch.randn(…)`. Seed once, before the loop.

Blind spots
    A batch that is augmented anew each time differs. Data that is read in order over and over counts if it is two or four batches, and so
    does a data set that is one batch as a whole and comes from elsewhere than a `DataLoader`; from a `DataLoader`, a data set of one batch
    or less is the user's own choice. Where batches have fewer than eight samples, or D is updated several times a step and only the last of
    its batches is known, all sampled batches must be the same. A batch of one sample, and one most of whose samples are alike, such as
    labels, is not judged. Of a step that accumulates gradients over several batches, the last one is compared.

Calibration
    It is judged on the trainings of `tests/wiring` (`python tests/wiring/main.py`).

References
    Goodfellow et al., 2014, arXiv:1406.2661 (the objective is an expectation over data and prior, of which each step draws a sample).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite

ORIGINS = {"real": "real data", "latent": "latents"}
COMPARED = 12
"""Batches that a reading compares."""
SPACING = 14
"""Steps between two sampled batches, on average."""
SMALL_BATCH = 8
"""Samples of a batch below which even a data set of a few samples more has few different batches."""


class RepeatedBatches(Detector):
    """Fire when batches of real data or of latents are the same over steps.

    Parameters
    ----------
    min_repeats : int, in [1, 11]
        Batches among twelve sampled ones that must repeat an earlier one of them.

    Examples
    --------
    >>> readings, onset = RepeatedBatches.demo(seed=0)
    >>> detector = RepeatedBatches()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 160
    True
    """

    code = "GW005"
    title = "repeated batches"
    severity = Severity.PAGE
    kind = FailureKind.WIRING
    inputs = ("batches_repeated/real", "batches_repeated/latent", "batch_size/real", "dataset_size", "updates_performed/d")
    required = (("batches_repeated/real",),)
    is_optional = True
    tunable = {"min_repeats": (8, 11)}

    def __init__(self, *, min_repeats: int = 10) -> None:
        if not 1 <= min_repeats < COMPARED:
            raise ValueError(f"min_repeats must be 1 to {COMPARED - 1} (batches), got {min_repeats}")
        self.min_repeats = min_repeats
        self._count = 0
        self._repeats = dict.fromkeys(ORIGINS, 0.0)
        self._onsets = dict.fromkeys(ORIGINS, 1)
        """Last step at which no batch repeated another one, by origin."""
        self._batch_size, self._dataset_size, self._d_updates = math.inf, math.inf, 1.0

    def update(self, readings: Readings) -> DetectorResult:
        *repeats, batch_size, dataset_size, d_updates = readings.select(self.inputs)
        self._batch_size = batch_size if is_finite(batch_size) else self._batch_size
        self._dataset_size = dataset_size if is_finite(dataset_size) else self._dataset_size
        self._d_updates = d_updates if is_finite(d_updates) else self._d_updates
        self._count = min(self._count + is_finite(repeats[0]), COMPARED)
        for origin, count in zip(ORIGINS, repeats, strict=True):
            if is_finite(count):
                self._repeats[origin] = count
                self._onsets[origin] = self._onsets[origin] if count > 0.0 else readings.step
        return self._judge(readings.step, "real") or self._judge(readings.step, "latent")

    def _judge(self, step: int, origin: str) -> Verdict | None:
        repeats, onset = self._repeats[origin], self._onsets[origin]
        has_few_others = self._batch_size < SMALL_BATCH or self._d_updates > 1.0
        limit = COMPARED - 1 if has_few_others else self.min_repeats
        is_all_data = origin == "real" and self._dataset_size <= self._batch_size < math.inf
        if repeats < limit or is_all_data:
            return None
        text = f"Of the last {COMPARED} sampled batches of {ORIGINS[origin]}, {repeats:.0f} have the same samples as an earlier one."
        reason = "batches that are drawn anew differ"
        return Verdict(repeats, limit, f"batches_repeated/{origin}", max(1, step - onset + 1), reason, text, onset)

    @property
    def is_ready(self) -> bool:
        return self._count > self.min_repeats

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate batches that are the same one from a step on. Return the readings and the onset."""
        onset = 400 + seed % 10
        repeats = ((step, max(0, (step - onset) // SPACING)) for step in range(onset % SPACING + SPACING, 700, SPACING))
        most = float(COMPARED - 1)
        values = ((step, {"batches_repeated/real": min(count, most), "batches_repeated/latent": 0.0}) for step, count in repeats)
        return (Readings(step, each) for step, each in values), onset
