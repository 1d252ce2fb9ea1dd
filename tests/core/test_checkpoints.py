"""Which checkpoints stay, over long runs with any distance between saves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from ganwatch.core.checkpoints import (
    RECENT_STEPS,
    CheckpointVerdict,
    Quality,
    SavedCheckpoint,
    find_last_good,
    judge_checkpoint,
    select_kept,
)


@pytest.mark.parametrize(("interval", "keep"), [(1, 3), (10, 5), (30, 1), (45, 2), (100, 5), (333, 4)])
def test_the_last_good_one_stays_and_the_others_are_spread(interval, keep):
    kept: list[SavedCheckpoint] = []
    for step in range(interval, 8001, interval):
        kept.append(SavedCheckpoint(f"step-{step}", step))
        kept = select_kept([replace(one, verdict=judge_checkpoint(one, [], step)) for one in kept], keep)
        last_good = find_last_good(kept)
        assert step < RECENT_STEPS or (last_good is not None and last_good.step >= step - RECENT_STEPS)
    steps = [one.step for one in kept]
    spread = steps[: len(steps) - sum(step >= 8000 - RECENT_STEPS - interval for step in steps)]
    assert len(spread) >= min(keep, 2) - 1
    assert len(kept) <= keep + 11
    if keep > 2:
        gaps = [after - before for before, after in pairwise(spread)]
        assert max(gaps) <= 8000 / (keep - 1) * 2.5


def test_bad_ones_are_not_kept_for_what_they_may_become():
    bad = CheckpointVerdict(Quality.BAD, "mode collapse")
    every = [SavedCheckpoint(f"step-{step}", step, verdict=bad) for step in range(100, 1100, 100)]
    assert [one.step for one in select_kept(every, 1)][-1] == 1000
    assert len(select_kept(every, 1)) == 2
