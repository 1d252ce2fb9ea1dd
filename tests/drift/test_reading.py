"""The same pixels are the same data, however they are scaled."""

import numpy as np
import pytest

from ganwatch.drift.reading import Reader
from ganwatch.trainer.data import load_digits

PIXELS = ((load_digits().tensors[0].numpy()[:120] + 1.0) * 127.5).round().astype(np.uint8)
FORMS = {
    "bytes": PIXELS,
    "0…1": PIXELS.astype(np.float32) / 255,
    "-1…1": PIXELS.astype(np.float32) / 127.5 - 1,
    "0…255": PIXELS.astype(np.float32),
}


PAIRS = [("bytes", "0…1"), ("bytes", "-1…1"), ("bytes", "0…255"), ("0…1", "bytes"), ("0…255", "bytes")]


@pytest.mark.parametrize(("baseline", "other"), PAIRS)
def test_scaled_pixels_are_the_same_samples(baseline, other):
    reader = Reader(FORMS[baseline])
    one, two = reader.read(FORMS[baseline], "baseline"), reader.read(FORMS[other], "fresh")
    np.testing.assert_allclose(one.features, two.features, atol=1e-4)
    for name, values in one.columns.items():
        np.testing.assert_allclose(values, two.columns[name], atol=1e-4, err_msg=name)


def test_another_range_than_that_of_a_floating_point_baseline_is_another_world():
    reader = Reader(FORMS["0…1"])
    assert not np.allclose(reader.read(FORMS["0…1"], "baseline").features, reader.read(FORMS["-1…1"], "fresh").features, atol=0.1)


def test_vectors_far_from_zero_are_read():
    vectors = np.random.default_rng(0).normal(size=(100, 3)) + 1e6
    assert Reader(vectors).read(vectors, "baseline").features.shape == (100, 3)
