"""The design of the corpus, and its labels."""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus.design import FINAL_SEED, GROWING_CAUSE, LOSSES, NETWORKS, NORMS, VARIANTS, Plan, corpus
from corpus.label import label
from corpus.main import pack
from corpus.truth import memorised_share
from corpus.worlds import create_world

from ganwatch.recordings import Recording, read_recordings, write_recordings

FACTORS = ("world", "loss", "network", "norms", "what", "onset", "part")


def levels(plan: Plan) -> dict[str, str]:
    onset = "none" if plan.cause is None else "start" if plan.at <= 1 else "half-way"
    return {
        "world": plan.world, "loss": plan.loss, "network": plan.network, "norms": f"{plan.g_norm} {plan.d_norm}",
        "what": plan.cause or plan.variant, "onset": onset, "part": plan.part,
    }  # fmt: skip


def test_each_pair_of_factors_meets_at_least_twice_and_names_are_unique() -> None:
    plans = corpus()
    assert len({plan.name for plan in plans}) == len(plans)
    met = Counter((one, two, levels(plan)[one], levels(plan)[two]) for plan in plans for one, two in itertools.combinations(FACTORS, 2))
    whats = {levels(plan)["what"] for plan in plans} - {"growing-resolution"}  # of images alone
    norms = [f"{g} {d}" for g, d in NORMS]
    spectral = [f"{g} {d}" for g, d in NORMS if d == "spectral"]
    wanted = {("loss", "norms"): (LOSSES, norms), ("loss", "what"): (LOSSES, whats), ("norms", "what"): (norms, whats)}
    wanted[("world", "loss")] = (("ring", "digits"), LOSSES)
    wanted[("world", "what")] = (("ring", "digits"), whats)
    wanted[("network", "what")] = (("mlp", "conv", "residual"), whats)
    for (one, two), (ones, twos) in wanted.items():
        scarce = [(a, b) for a in ones for b in twos if met[one, two, a, b] < 2 and not (a in spectral and b == GROWING_CAUSE)]
        assert not scarce, f"{one} and {two}: {scarce}"
    assert {plan.network for plan in plans if plan.world == "digits"} == set(NETWORKS["digits"])
    assert set(VARIANTS) <= {levels(plan)["what"] for plan in plans}


def test_the_final_part_shares_no_seed_with_the_tuning_part() -> None:
    parts = {part: {(plan.world, plan.seed) for plan in corpus() if plan.part == part} for part in ("tuning", "final")}
    assert not parts["tuning"] & parts["final"]
    assert min(seed for _, seed in parts["final"]) == FINAL_SEED


def rows(modes: list[int], distance: list[float] | None = None, copied: float = 0.5) -> list[dict[str, float]]:
    distances = distance or [0.1] * len(modes)
    return [
        {"step": 25 * (place + 1), "modes": float(k), "distance": d, "copies": copied, "good": 1.0, "variety": k / 8}
        for place, (k, d) in enumerate(zip(modes, distances, strict=True))
    ]


@pytest.mark.parametrize(
    ("cause", "truth", "expected"),
    [
        (None, rows([2, 8, 8, 8, 8, 8, 8, 8]), ("healthy", None)),
        (None, rows([8, 8, 8, 8, 8, 8, 4, 8]), ("undetermined", None)),
        (("mode-collapse", 110), rows([2, 8, 8, 8, 8, 8, 6, 3, 1, 1, 1]), ("mode-collapse", (110, 175))),
        (("mode-collapse", 110), rows([2, 8, 8, 8, 3, 8, 8, 8]), ("undetermined", None)),
        (("mode-collapse", 110), rows([2, 2, 2, 2, 2, 2, 2, 1]), ("undetermined", None)),
        (("discriminator-domination", 110), rows([2, 2, 2, 2, 2, 2, 2, 1]), ("discriminator-domination", (110, 110))),
        (("discriminator-domination", 1), rows([0, 0, 0, 0, 0, 0, 0, 0]), ("discriminator-domination", (1, 1))),
        (("discriminator-domination", 1), rows([0, 2, 8, 8, 8, 8, 8, 8]), ("undetermined", None)),
        (("stall", 110), rows([2, 8, 8, 8, 8, 8, 8, 8]), ("undetermined", None)),
        (("range-mismatch", 110), rows([8, 8, 8, 8, 8, 8, 8, 8]), ("range-mismatch", (110, 110))),
        (("exploding-gradient", 110), rows([8] * 8, [0.1] * 4 + [-1.0] * 4), ("exploding-gradient", (110, 125))),
        (("few-samples", 1), rows([8] * 8, copied=0.9), ("memorisation", (1, 25))),
    ],
)  # fmt: skip
def test_labels_follow_the_truth(cause: tuple[str, int] | None, truth: list[dict[str, float]], expected: tuple[str, Any]) -> None:
    facts = {"truth": truth, "cause": cause and {"name": cause[0], "step": cause[1]}, "modes": 8, "complete": 8, "steps": 200}
    found = label(facts)
    onset = expected[1]
    assert (found["label"], found["onset_low"], found["onset"]) == (expected[0], *(onset or (None, None)))
    assert bool(found["codes"]) == (onset is not None)


@pytest.mark.parametrize(("modes", "half_gone"), [([8, 8, 8, 8, 6, 5, 4, 3, 1, 1], 175), ([8, 8, 8, 8, 5, 5, 5, 5], None), ([2] * 8, None)])
def test_half_of_the_kinds_can_only_go_where_they_were(modes: list[int], half_gone: int | None) -> None:
    facts = {"truth": rows(modes), "cause": {"name": "generator-domination", "step": 1}, "modes": 8, "complete": 8, "steps": 250}
    assert label(facts)["half_gone"] == half_gone


@pytest.mark.parametrize("name", ["ring", "grid", "digits"])
def test_the_truth_knows_reals_from_one_kind_from_noise(name: str) -> None:
    world = create_world(name)
    samples = world.samples.flatten(1).double().numpy()
    rng = np.random.default_rng(0)
    drawn = samples[rng.permutation(len(samples))[:500]]
    real = world.truth.measure(drawn)
    lone = world.truth.measure(np.repeat(samples[:1], 500, 0))
    noise = world.truth.measure(rng.uniform(samples.min(), samples.max(), drawn.shape))
    assert real["modes"] == world.truth.modes
    assert lone["modes"] == 1
    assert real["distance"] < 0.1 < min(lone["distance"], noise["distance"])
    assert 0.8 < real["spread"] < 1.25
    assert lone["spread"] < 0.01


def test_copies_are_nearer_to_what_was_seen() -> None:
    rng = np.random.default_rng(0)
    seen, unseen = rng.normal(size=(2, 300, 8))
    assert memorised_share(seen[:100] + 1e-3, seen, unseen) == 1.0
    assert 0.3 < memorised_share(rng.normal(size=(200, 8)), seen, unseen) < 0.7


def test_a_part_of_the_runs_joins_those_that_are_packed(tmp_path: Path) -> None:
    one, two = [plan for plan in corpus() if plan.world == "stacked" and plan.part == "tuning"][:2]
    facts = {"truth": rows([8] * 8), "cause": None, "modes": 8, "complete": 8, "steps": 200}
    for plan in (one, two):
        write_recordings(tmp_path / f"{plan.name}.parquet", [Recording(plan.name, [], facts)])
    given = argparse.Namespace(out=tmp_path, packed=tmp_path / "packed", part=None, world=None, cause=None)
    assert pack(given) == 0
    (tmp_path / f"{two.name}.parquet").unlink()
    write_recordings(tmp_path / f"{one.name}.parquet", [Recording(one.name, [], facts | {"steps": 300})])
    assert pack(given) == 0
    packed = read_recordings(given.packed / "tuning-stacked.parquet")
    assert [(run.name, run.facts["steps"]) for run in packed] == [(one.name, 300), (two.name, 200)]


@pytest.mark.slow
def test_a_killed_generation_goes_on_and_gives_what_it_would_have(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "corpus" / "main.py"
    command = [sys.executable, str(script), "run", "--world", "ring", "--limit", "2", "--jobs", "1", "--out", str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("1/2"))
        process.kill()
        process.stdout.read()  # until its worker has ended too
    (first,) = [read_one(path) for path in (tmp_path / "killed").glob("*.parquet")]
    subprocess.run([*command[:-1], str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    same = read_one(tmp_path / "whole" / f"{first.name}.parquet")
    assert [one.values for one in first.readings] == [one.values for one in same.readings]
    again = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "1/2" in again
    assert len(list((tmp_path / "killed").glob("*.parquet"))) == 3  # two more than the one that was there


def read_one(path: Path) -> Recording:
    (recording,) = read_recordings(path)
    return recording
