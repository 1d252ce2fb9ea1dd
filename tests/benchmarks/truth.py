"""Truth of the demo's trainings that no detector sees: generated samples, classified as digits."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC

MIN_PRESENT_SHARE = 0.02
"""Share of the samples from which a digit counts as present."""
SAMPLES = 500
"""Generated samples of one measurement."""
MIN_HEALTHY_DIGITS = 9
"""Digits, of 10, that a healthy run has at its end."""


def classifier() -> SVC:
    """Return support vectors trained on the 1,797 digits, in units of 0…16. They classify 99 % of held-out digits correctly."""
    images, labels = load_digits(return_X_y=True)
    return SVC(gamma=0.001, C=10.0).fit(images, labels)


class Truth(lightning.Callback):
    """Measures the number of digits present and the largest share every ``every`` steps, without any effect on the run."""

    def __init__(self, every: int = 100) -> None:
        self.every = every
        self.rows: list[tuple[int, int, float]] = []
        self._classifier = classifier()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        step = pl_module.g_updates
        if step and step % self.every == 0 and (not self.rows or self.rows[-1][0] != step):
            self.rows.append((step, *self.measure(pl_module)))

    def measure(self, model: Any) -> tuple[int, float]:
        state = torch.get_rng_state()
        samples = model.sample(SAMPLES).reshape(SAMPLES, -1).float()
        torch.set_rng_state(state)
        if not torch.isfinite(samples).all():
            return 0, 1.0
        shares = np.bincount(self._classifier.predict(((samples + 1.0) * 8.0).numpy()), minlength=10) / SAMPLES
        return int((shares >= MIN_PRESENT_SHARE).sum()), float(shares.max())
