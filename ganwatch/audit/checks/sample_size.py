"""Too few samples.

Images: below 1,000 a discriminator soon knows its training set by heart; on faces an unaugmented StyleGAN2 goes from FID 5 with 70,000
images to 100 with 1,000 (Karras et al. 2020, arXiv:2006.06676). Other data: with fewer than two items a value their covariance, and with
it every Fréchet distance, cannot be estimated; and fewer than 100 are too few to judge any share of kinds. In both cases less than one
batch gives no step at all where loaders drop the last one.
"""

from __future__ import annotations

import math

from ganwatch.audit.check import Check, CheckOutcome, Material

IMAGES, VECTORS, PER_VALUE = 1_000, 100, 2


class SampleSize(Check):
    """Speaks below 1,000 images, below max(100, 2 D) vectors of D values, and below one batch."""

    name, title, order = "sample-size", "too few samples", 10
    remedy = "Add data. Failing that: differentiable augmentation in front of the discriminator, a smaller network, an early stop."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by the size and the shape of the first item."""
        size = material.train.source.size
        if material.batch_size is not None and size < material.batch_size:
            return self.finding(
                f"{size:,} items do not fill one batch of {material.batch_size:,}; a loader that drops the last batch gives no step.",
                remedy="Lower the batch size or add data.",
            )
        if material.train.images:
            if size >= IMAGES:
                return None
            return self.finding(
                f"{size:,} images are fewer than {IMAGES:,}; a discriminator soon knows so few by heart (Karras et al. 2020, "
                "arXiv:2006.06676: FID 5 with 70,000 faces, 100 with 1,000)."
            )
        values = math.prod(material.train.rows[0].shape)
        least = max(VECTORS, PER_VALUE * values)
        if size >= least:
            return None
        return self.finding(
            f"{size:,} items of {values:,} values are fewer than max({VECTORS}, {PER_VALUE} a value) = {least:,}; "
            "shares of kinds and covariances cannot be estimated from so few."
        )
