"""Real and generated samples that are treated differently on their way to the discriminator.

An untrained generator's mean and spread differ from the data's by nature, so they give an info at most. What no training explains is
another shape, or values where real data have none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.audit.check import Check, CheckOutcome, Material, share
from ganwatch.audit.report import Level
from ganwatch.audit.survey import Row, Survey, moments
from ganwatch.core.detector import NotApplicable

OUTSIDE, MARGIN, NARROWER = 0.01, 0.02, 0.5


class Treatment(Check):
    """Speaks when shapes differ, or when over 1 % of generated values lie outside the range of the real ones (2 % of its width allowed)."""

    name, title, order = "treatment", "real and generated samples are treated differently", 70
    remedy = "Send both through the same preprocessing: same scaling, same normalisation, same augmentation, same size."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by shape, range, mean and deviation of both sides."""
        train, generated = material.train, material.generated
        if generated is None:
            return NotApplicable("needs a sample of generated data (generated)")
        if train.source.files:
            return NotApplicable("files hold raw pixels that a loader rescales; audit the data set that training reads")
        shapes = sorted({row.shape for row in train.rows})
        if generated.shape[1:] not in shapes:
            return self.finding(f"Real items have shape {', '.join(map(str, shapes[:4]))}, generated ones {generated.shape[1:]}.")
        return self._compare([row for row in train.rows if np.isfinite(row.low)], generated[np.isfinite(generated)], train)

    def _compare(self, rows: list[Row], values: NDArray[Any], train: Survey) -> CheckOutcome:
        if not rows or not values.size:
            return NotApplicable("one side has no finite value")
        low, high = min(row.low for row in rows), max(row.high for row in rows)
        margin = MARGIN * (high - low)
        outside = int(((values < low - margin) | (values > high + margin)).sum())
        mean, spread = moments(rows)
        both = (
            f"Real values: [{low:.4g}, {high:.4g}], mean {mean:.4g}, deviation {spread:.4g}{train.sample}. Generated: "
            f"[{values.min():.4g}, {values.max():.4g}], mean {values.mean():.4g}, deviation {values.std():.4g}."
        )
        if outside > OUTSIDE * values.size:
            return self.finding(f"{both} {share(outside, values.size)} generated values lie where no real one does.")
        if spread > 0 and abs(float(values.mean()) - mean) > spread and values.std() < NARROWER * spread:
            return self.finding(f"{both} An untrained generator may explain it; a trained one does not.", severity=Level.INFO)
        return self.clean(train)
