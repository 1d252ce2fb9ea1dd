"""Too few samples.

Images: a discriminator soon memorises a training set below 1,000. On faces an unaugmented StyleGAN2 goes from FID 5 with 70,000 images to
100 with 1,000 (Karras et al. 2020, arXiv:2006.06676). Other data: with fewer than two items a value their covariance, and with it every
Fréchet distance, cannot be estimated; fewer than 100 are too few to estimate the share of any mode. In both cases less than one batch gives
no step at all if the loader drops the last batch.
"""

from __future__ import annotations

import math

from ganwatch.audit.check import Check, CheckInput, CheckResult

MIN_IMAGES, MIN_VECTORS, MIN_VECTORS_PER_VALUE = 1_000, 100, 2


class SampleSize(Check):
    """Reports fewer than 1,000 images, fewer than max(100, 2 D) vectors of D values, and less than one batch."""

    name, title, order = "sample-size", "too few samples", 10
    remedy = "Add data. Failing that: differentiable augmentation in front of the discriminator, a smaller network, an early stop."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Compare the size with the minimum for the shape of the first item."""
        size = check_input.train.source.size
        if check_input.batch_size is not None and size < check_input.batch_size:
            return self.finding(
                f"{size:,} items do not fill one batch of {check_input.batch_size:,}; a loader that drops the last batch gives no step.",
                remedy="Lower the batch size or add data.",
            )
        if check_input.train.has_images:
            if size >= MIN_IMAGES:
                return None
            return self.finding(
                f"{size:,} images are fewer than {MIN_IMAGES:,}; a discriminator soon memorises so few (Karras et al. 2020, "
                "arXiv:2006.06676: FID 5 with 70,000 faces, 100 with 1,000)."
            )
        values = math.prod(check_input.train.items[0].shape)
        minimum = max(MIN_VECTORS, MIN_VECTORS_PER_VALUE * values)
        if size >= minimum:
            return None
        return self.finding(
            f"{size:,} items of {values:,} values are fewer than max({MIN_VECTORS}, {MIN_VECTORS_PER_VALUE} a value) = {minimum:,}; "
            "shares of modes and covariances cannot be estimated from so few."
        )
