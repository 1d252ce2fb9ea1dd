"""What no detector sees: a digit classifier's view of the generated samples."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC

PRESENT = 0.02
"""Share of the samples from which on a digit counts as present."""
SAMPLES = 500
HEALTHY_KINDS = 9
"""Digits that a healthy run shows at its end, of 10."""


def classifier() -> SVC:
    """Support vectors on the 1,797 digits, in units of 0…16; 99 % right on held-out ones."""
    images, labels = load_digits(return_X_y=True)
    return SVC(gamma=0.001, C=10.0).fit(images, labels)


class Truth(lightning.Callback):
    """Kinds present and the largest share, every so many steps, the run undisturbed."""

    def __init__(self, every: int = 100) -> None:
        self.every = every
        self.rows: list[tuple[int, int, float]] = []
        self._classifier = classifier()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        step = pl_module.g_updates
        if step and step % self.every == 0 and (not self.rows or self.rows[-1][0] != step):
            self.rows.append((step, *self.look(pl_module)))

    def look(self, model: Any) -> tuple[int, float]:
        state = torch.get_rng_state()
        samples = model.sample(SAMPLES).reshape(SAMPLES, -1).float()
        torch.set_rng_state(state)
        if not torch.isfinite(samples).all():
            return 0, 1.0
        shares = np.bincount(self._classifier.predict(((samples + 1.0) * 8.0).numpy()), minlength=10) / SAMPLES
        return int((shares >= PRESENT).sum()), float(shares.max())
