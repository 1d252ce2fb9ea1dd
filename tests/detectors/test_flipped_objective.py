"""Streams on which flipped objectives are found, and similar ones on which they are not."""

from itertools import cycle, islice

import pytest

from ganwatch.core.readings import Readings
from ganwatch.core.replay import replay
from ganwatch.detectors.flipped_objective import D_FAKE, D_REAL, G_FAKE, ORDER, FlippedObjective


def alarms(*blocks, length=12):
    """Return steps of the alarm and of the onset; a block is the values that repeat for so many sampled steps."""
    rows = [row for block in blocks for row in islice(cycle(block), length)]
    readings = [Readings(20 * number, dict(zip((D_REAL, D_FAKE, G_FAKE, ORDER), row, strict=True))) for number, row in enumerate(rows, 1)]
    return [(one.fired, one.onset) for one in replay(readings, [FlippedObjective()]) if one.fired is not None]


HEALTHY, INVERTED = [(1, -1, 1, -0.9)], [(-1, 1, -1, 0.9)]
FLIPPED_BATCH = [*18 * HEALTHY, (-1, 1, 1, -0.9)]

SILENT = {
    "usual": HEALTHY,
    "inverted": INVERTED,
    "margins met": [(0, 0, 1, -1.0)],
    "margins met, saturated": [(0, 0, 0, -1.0)],
    "least squares, D at rest": [(0.2, -0.3, 1, -1.0), (-0.4, 0.3, 1, -1.0), (-0.7, -0.6, 1, -1.0)],
    "least squares, G's target in the middle": [(0.7, -1, 0.4, -0.3), (0.8, -1, -0.3, -0.2), (0.6, -1, -0.6, -0.2)],
    "a flipped batch in twenty": FLIPPED_BATCH,
    "D ranks by chance": [(0.4, -0.4, 1, 0.2)],
}
FOUND = {
    "G's sign": [(1, -1, -1, -1.0)],
    "D's labels": [(-1, 1, 1, 1.0)],
    "both real": [(1, 1, 1, 0.1)],
    "both fake": [(-1, -1, 1, 0.1)],
    "margins met, G's sign": [(0, 0, -1, -1.0)],
    "least squares, G's target that of fakes": [(0.2, 0.3, -0.2, -1.0), (0.2, -0.1, 0.3, -1.0)],
}


@pytest.mark.parametrize("block", SILENT.values(), ids=SILENT)
def test_no_alarm(block):
    assert alarms(HEALTHY, block, HEALTHY, length=100) == []


@pytest.mark.parametrize("block", FOUND.values(), ids=FOUND)
@pytest.mark.parametrize("before", [[], [HEALTHY], [FLIPPED_BATCH]], ids=["from the start", "later", "after flipped batches"])
def test_alarm(block, before):
    [(fired, onset)] = alarms(*before, block, length=40)
    start = 20 * (40 * len(before) + 1)
    assert onset == start
    assert fired <= start + 100


def test_what_comes_and_goes_by_itself_needs_longer():
    wandering = [*3 * HEALTHY, *3 * [(1, -1, -0.6, -0.2)]]
    assert alarms(wandering, length=100) == []
