"""Preprocessing that differs between real and generated samples.

Mean and spread of an untrained generator differ from the data's by nature, so they give an info at most. No training explains another
shape, or values where real data have none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.audit.check import Check, CheckInput, CheckResult, format_share
from ganwatch.audit.report import Level
from ganwatch.audit.survey import ItemSummary, Survey, pool_moments
from ganwatch.core.detector import NotApplicable

MAX_OUTSIDE_SHARE = 0.01
"""Share of generated values that may lie outside the range of the real ones."""
RANGE_MARGIN = 0.02
"""Share of the width of that range by which values may leave it."""
NARROW_RATIO = 0.5
"""Ratio of deviations, generated to real, below which another mean is an info."""


class Treatment(Check):
    """Reports different shapes, or over 1 % of generated values outside the range of the real ones (2 % of its width allowed)."""

    name, title, order = "treatment", "real and generated samples are treated differently", 70
    remedy = "Send both through the same preprocessing: same scaling, same normalisation, same augmentation, same size."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Compare shape, range, mean and deviation of both sides."""
        train, generated = check_input.train, check_input.generated
        if generated is None:
            return NotApplicable("needs a sample of generated data (generated)")
        if train.source.files:
            return NotApplicable("files hold raw pixels that a loader rescales; audit the data set that training reads")
        shapes = sorted({item.shape for item in train.items})
        if generated.shape[1:] not in shapes:
            return self.finding(f"Real items have shape {', '.join(map(str, shapes[:4]))}, generated ones {generated.shape[1:]}.")
        return self._compare([item for item in train.items if np.isfinite(item.low)], generated[np.isfinite(generated)], train)

    def _compare(self, items: list[ItemSummary], values: NDArray[Any], train: Survey) -> CheckResult:
        if not items or not values.size:
            return NotApplicable("one side has no finite value")
        low, high = min(item.low for item in items), max(item.high for item in items)
        margin = RANGE_MARGIN * (high - low)
        outside = int(((values < low - margin) | (values > high + margin)).sum())
        mean, spread = pool_moments(items)
        both = (
            f"Real values: [{low:.4g}, {high:.4g}], mean {mean:.4g}, deviation {spread:.4g}{train.coverage}. Generated: "
            f"[{values.min():.4g}, {values.max():.4g}], mean {values.mean():.4g}, deviation {values.std():.4g}."
        )
        if outside > MAX_OUTSIDE_SHARE * values.size:
            return self.finding(f"{both} {format_share(outside, values.size)} generated values lie where no real one does.")
        if spread > 0 and abs(float(values.mean()) - mean) > spread and values.std() < NARROW_RATIO * spread:
            return self.finding(f"{both} An untrained generator may explain it; a trained one does not.", severity=Level.INFO)
        return self.pass_if_complete(train)
