"""The wild part of the corpus: its causes, variants, plans and labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from corpus.wild.causes import find_causes
from corpus.wild.design import failing_plans, healthy_plans, wild
from corpus.wild.generate import create_loop
from corpus.wild.healthy import find_variants
from corpus.wild.label import FAILURES, label
from corpus.wild.plan import FINAL_SEED, WildPlan
from corpus.wild.recorder import TruthRecorder

from ganwatch.core.detector_settings import discover_detectors

TRAINED = {plan.cause: plan for plan in failing_plans(0, 1)}
USUAL = {plan.variant: plan for plan in healthy_plans(0, repeats=1, images=0)}


def train_three_steps(plan: WildPlan) -> None:
    loop = create_loop(replace(plan, at=min(plan.at, 2)))
    truth = TruthRecorder(loop)
    loop.watched()
    for step in (1, 2, 3):
        loop.train_step(step)
    state = torch.random.get_rng_state()
    truth.measure(3)
    assert torch.equal(state, torch.random.get_rng_state())
    assert truth.rows[0]["step"] == 3


@pytest.mark.parametrize("name", find_causes())
def test_a_cause_trains(name: str) -> None:
    train_three_steps(TRAINED[name])


@pytest.mark.parametrize("name", find_variants())
def test_a_variant_trains(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpus.wild.healthy.schedules.FineTuning.earlier", 2)
    train_three_steps(USUAL[name])


def test_plans_are_unique_and_enough() -> None:
    plans = wild()
    assert len({plan.name for plan in plans}) == len(plans)
    seeds = Counter((plan.part, plan.seed) for plan in plans)
    assert max(seeds.values()) == 1
    final = [plan for plan in plans if plan.part == "wild-final"]
    assert min(plan.seed for plan in final) == FINAL_SEED
    failing = Counter(plan.cause for plan in final if plan.cause)
    assert set(failing) == set(find_causes())
    assert min(failing.values()) >= 4
    healthy = [plan for plan in final if not plan.cause]
    assert sum(failing.values()) >= 220
    assert len(healthy) >= 300
    assert sum(plan.steps for plan in healthy) >= 500_000
    assert sum(plan.steps for plan in healthy if plan.world in {"photos", "enlarged", "digits", "stacked"}) >= 100_000
    assert sum(plan.steps == 10_000 for plan in healthy) == 20
    assert {plan.variant for plan in healthy} == set(find_variants())


def test_every_code_exists_and_has_a_name() -> None:
    known = {cls.code for cls in discover_detectors()}
    for cause in find_causes().values():
        assert set(cause.codes) <= known
        assert cause.codes[0] in FAILURES


def rows(modes: list[int], distance: list[float] | None = None) -> list[dict[str, float]]:
    distances = distance or [0.1] * len(modes)
    return [
        {"step": 25 * (place + 1), "modes": float(k), "distance": d, "copies": 0.5}
        for place, (k, d) in enumerate(zip(modes, distances, strict=True))
    ]


@pytest.mark.parametrize(
    ("cause", "truth", "expected"),
    [
        (None, rows([2, 8, 8, 8, 8, 8, 7, 8]), ("healthy", None)),
        (None, rows([2, 8, 8, 8, 8, 8, 4, 5]), ("undetermined", None)),
        (None, rows([2, 8, 8, 3, 8, 8, 8, 8, 8, 8, 8]), ("undetermined", None)),
        (None, rows([8] * 8, [0.1] * 4 + [0.9] * 4), ("undetermined", None)),
        (("sign-of-generator", 110), rows([8] * 8), ("flipped-objective", (110, 110))),
        (("fast-discriminator", 110), rows([8] * 8), ("undetermined", None)),
        (("fast-discriminator", 110), rows([8, 8, 8, 8, 8, 3, 2, 1, 1, 1]), ("discriminator-domination", (110, 150))),
        (("fast-discriminator", 110), rows([1, 2, 1, 2, 2, 3, 2, 1, 1, 1]), ("undetermined", None)),
        (("fast-discriminator", 1), rows([0, 0, 1, 2, 2, 2, 2, 2]), ("discriminator-domination", (1, 1))),
        (("deep-sigmoids", 1), rows([0, 0, 1, 2, 6, 7, 6, 6]), ("undetermined", None)),
        (("fast-generator", 110), rows([8] * 8, [0.1] * 4 + [-1.0] * 4), ("generator-domination", (110, 125))),
    ],
)  # fmt: skip
def test_labels_follow_the_truth(cause: tuple[str, int] | None, truth: list[dict[str, float]], expected: tuple[str, Any]) -> None:
    named = cause and {"name": cause[0], "step": cause[1]}
    found = label({"truth": truth, "cause": named, "modes": 8, "complete": 8, "max_distance": 0.3, "steps": 25 * len(truth)})
    onset = expected[1]
    assert (found["label"], found["onset_low"], found["onset"]) == (expected[0], *(onset or (None, None)))
    assert bool(found["codes"]) == (onset is not None)
