"""Each of the five verdicts, and why."""

from __future__ import annotations

import json
from statistics import NormalDist

import numpy as np
import pytest
import torch

from ganwatch.core.errors import UserError
from ganwatch.drift.columns import columns_of
from ganwatch.drift.verdict import decide


def normal(mean: float, count: int = 250, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, count, int(abs(mean) * 100)]).normal(mean, size=(count, 6))


@pytest.mark.parametrize(
    ("fresh", "generated", "verdict", "code"),
    [(0.0, 0.3, "unchanged", 0), (0.5, 0.3, "world_moved", 10), (0.0, 0.9, "generator_regressed", 11), (0.5, 0.9, "both", 12)],
)
def test_the_verdict_follows_from_what_moved(fresh: float, generated: float, verdict: str, code: int) -> None:
    found = decide(normal(0.0), normal(fresh, 200), normal(generated, 220), normal(0.3, 230))
    assert (found.verdict, found.verdict.exit_code) == (verdict, code)
    assert None not in {found.world, found.to_baseline, found.to_fresh, found.regression}
    assert found.to_baseline.low > 0  # a generator always differs
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["world"]["effect"] == found.world.effect


def borderline(seed: int) -> list[np.ndarray]:
    """Baseline, fresh, generated and reference with small changes."""
    sizes = {0.0: 100, 0.1: 90, 0.45: 80, 0.35: 70}
    return [np.random.default_rng([seed, size]).normal(mean, size=(size, 3)) for mean, size in sizes.items()]


@pytest.mark.parametrize(("seed", "verdict"), [(2, "world_moved"), (0, "generator_regressed")])
def test_the_world_and_the_generator_get_half_of_the_level_each(seed: int, verdict: str) -> None:
    sides = borderline(seed)
    found = decide(*sides, level=0.5)
    change = found.regression
    smallest = {  # share of the level from which on each test finds a change
        "world_moved": found.world.p_value,
        "generator_regressed": max(change.p_value, NormalDist().cdf(-change.difference / change.error)),
    }
    share = smallest.pop(verdict)
    [other] = smallest.values()
    assert other > 2 * share
    assert decide(*sides, level=1.5 * share).verdict == "unchanged"  # its half is too small, all of it would do
    assert decide(*sides, level=2.01 * share).verdict == verdict


def test_without_a_reference_the_world_gets_all_of_the_level() -> None:
    baseline, fresh, generated, _ = borderline(2)
    p_value = decide(baseline, fresh, level=0.5).world.p_value
    assert decide(baseline, fresh, level=p_value).verdict == "world_moved"
    assert decide(baseline, fresh, generated, level=p_value).verdict == "world_moved"
    assert decide(baseline, fresh, level=p_value / 1.01).verdict == "unchanged"


def test_a_better_generator_has_not_regressed() -> None:
    assert decide(normal(0.0), normal(0.0, 200), normal(0.1, 220), normal(0.6, 230)).verdict == "unchanged"


def test_without_an_accepted_reference_regressed_is_never_said() -> None:
    found = decide(normal(0.0), normal(0.0, 200), normal(9.0))
    assert found.verdict == "unchanged"
    assert "is not tested" in found.notes[0]


@pytest.mark.parametrize("side", range(4))
def test_too_few_samples_are_a_verdict(side: int) -> None:
    sides = [normal(0.0), normal(0.0, 200), normal(0.3), normal(0.3, 230)]
    sides[side] = sides[side][:3]
    found = decide(*sides)
    assert (found.verdict, found.verdict.exit_code) == ("insufficient_data", 3)
    assert ("baseline", "fresh", "generated", "reference")[side] in found.notes[0]


def test_bad_input_names_the_sides() -> None:
    with pytest.raises(UserError, match="6 in baseline, 5 in fresh"):
        decide(normal(0.0), normal(0.0)[:, :5])
    with pytest.raises(UserError, match=r"level must be in \(0, 1\), got 1"):
        decide(normal(0.0), normal(0.0), level=1)


def test_columns_say_what_moved() -> None:

    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.integers(0, 128, size=(200, 3, 6, 5), dtype=np.uint8))
    brighter = torch.from_numpy(rng.integers(40, 168, size=(150, 3, 6, 5), dtype=np.uint8))
    labels, fewer = rng.integers(3, size=200), rng.integers(2, size=150)
    flat = lambda images: images.flatten(1).double()
    found = decide(flat(images), flat(brighter), columns=(columns_of(images, labels), columns_of(brighter, fewer)))
    effects = {column.name: column.effect for column in found.changed_columns}
    assert effects["brightness"] > 1
    assert effects["label 2"] < -0.5
    assert effects["saturation"] < 0
    assert "sharpness" not in effects
    assert not {"height", "width"} & {column.name for column in found.columns}  # the same everywhere


def test_columns_of_vectors_are_the_columns() -> None:
    moved = normal(0.0, 200)
    moved[:, 3] += 0.6
    base = normal(0.0)

    found = decide(base, moved, columns=(columns_of(torch.from_numpy(base)), columns_of(torch.from_numpy(moved))))
    assert [column.name for column in found.changed_columns] == ["x3"]
    assert found.changed_columns[0].low < 0.6 < found.changed_columns[0].high
