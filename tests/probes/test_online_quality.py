"""The loop's own batches are compared with the first reals: distance, modes and labels, at a fixed cadence."""

import copy
import json

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from sklearn.datasets import load_digits

from ganwatch.capture.step import Call, Step, StepView
from ganwatch.evaluation.batch_sums import BatchSums
from ganwatch.evaluation.labels import read_requested_labels
from ganwatch.evaluation.online_reference import OnlineReference, Projection
from ganwatch.metrics.online import find_missing
from ganwatch.probes.online_quality import INTERVAL, OnlineQuality, measure_distances, pool_parts

BUNCH = load_digits()
DIGITS, LABELS = torch.from_numpy(BUNCH.images[:, None]).float() / 8.0 - 1.0, torch.from_numpy(BUNCH.target)


def call(images, origin, index, labels=None):
    inputs = (images,) if labels is None else (images, labels)
    return Call("d", inputs, torch.zeros(len(images), 1), origin, training=True, index=index)


def watch(probe, steps, real, fake, *, batch=64, labels=None, requested=None, draw=None):
    """Feed sampled steps. ``real`` and ``fake`` return the pool of images at a step; return the readings by step."""
    draw, found = draw or torch.Generator().manual_seed(0), {}
    for index in steps:
        calls = []
        for origin, pool, kinds in (("real", real(index), labels), ("fake", fake(index), requested)):
            places = torch.randint(len(pool), (batch,), generator=draw)
            calls.append(call(pool[places], origin, index, None if kinds is None else kinds[places]))
        values = probe.read(StepView(Step(index, calls=calls)))
        if values:
            found[index] = {name: float(value) for name, value in values.items()}
    return found


def every(first, last):
    return range(first, last + 1, OnlineQuality.every)


def test_equal_distributions_are_near_zero_and_lack_no_mode():
    found = watch(OnlineQuality(), every(20, 1600), lambda _: DIGITS, lambda _: DIGITS)
    assert list(found) == [*range(240, 1601, INTERVAL)]
    for values in found.values():
        assert all(abs(values[f"online_frechet/{origin}"]) < 0.012 for origin in ("real", "fake"))
        assert all(values[f"online_modes_missing/{origin}"] <= 1.0 for origin in ("real", "fake"))
        assert 0.0 < values["online_frechet_error/fake"] < 0.01
        assert (values["online_modes"], values["online_reference"]) == (25.0, 1.0)


@pytest.mark.parametrize("origin", ["real", "fake"])
@pytest.mark.parametrize("lost", [1, 3])
def test_lost_digits_are_missing_on_the_side_that_lost_them(origin, lost):
    fewer = DIGITS[lost <= LABELS]
    pools = {side: (lambda step, side=side: fewer if side == origin and step > 800 else DIGITS) for side in ("real", "fake")}
    found = watch(OnlineQuality(), every(20, 1600), **pools)
    other = {"real": "fake", "fake": "real"}[origin]
    late = [values for step, values in found.items() if step > 960]
    assert all(values[f"online_modes_missing/{origin}"] >= lost for values in late)
    assert all(values[f"online_share_missing/{origin}"] > 0.06 * lost > values[f"online_share_missing/{other}"] for values in late)
    assert min(values[f"online_frechet/{origin}"] for values in late) > max(abs(values[f"online_frechet/{other}"]) for values in late)


def feed_labels(*, of_reals=None, of_fakes=None, to_g=None, loaded=None, steps=400, batch=64):
    """Feed a conditional loop: labels by digit that D gets with reals and fakes, that G gets, and that the loader delivers."""
    probe, draw, found = OnlineQuality(), torch.Generator().manual_seed(0), {}
    for index in every(20, steps):
        real, fake = (torch.randint(len(DIGITS), (batch,), generator=draw) for _ in range(2))
        calls = [call(DIGITS[real], "real", index, None if of_reals is None else of_reals[real])]
        if to_g is not None:
            latents = torch.randn(batch, 8, generator=draw)
            calls.append(Call("g", (latents, to_g[fake]), torch.zeros(1), "latent", training=True, index=index))
        calls.append(call(DIGITS[fake], "fake", index, None if of_fakes is None else of_fakes[fake]))
        calls[-1].in_g_phase = True
        values = probe.read(StepView(Step(index, calls=calls, loaded=() if loaded is None else (DIGITS[real], loaded[real]))))
        found |= {name: float(value) for name, value in values.items()}
    return found


SHUFFLED = LABELS[torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(1))]
ONE_HOT = torch.nn.functional.one_hot(LABELS).float()


@pytest.mark.parametrize(
    ("arguments", "agreement"),
    [
        ({"of_reals": LABELS, "of_fakes": LABELS}, 0.95),
        ({"of_reals": LABELS, "of_fakes": SHUFFLED}, 0.1),
        ({"of_reals": LABELS, "of_fakes": LABELS, "to_g": SHUFFLED}, 0.1),  # the generator was asked for something else
        ({"of_reals": ONE_HOT, "of_fakes": ONE_HOT, "to_g": ONE_HOT}, 0.95),
        ({"of_reals": ONE_HOT, "of_fakes": ONE_HOT[torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(1))]}, 0.1),
        ({"loaded": LABELS, "to_g": LABELS}, 0.95),  # a discriminator that classifies gets no labels
        ({"loaded": LABELS, "to_g": SHUFFLED}, 0.1),
        ({"loaded": LABELS}, None),
        ({"of_reals": torch.rand(len(LABELS), 10), "to_g": LABELS}, None),
        ({"to_g": LABELS}, None),
    ],
)  # fmt: skip
def test_requested_labels_are_compared_with_those_that_were_made(arguments, agreement):
    found = feed_labels(**arguments)
    if agreement is None:
        assert not any("label" in name for name in found)
    else:
        assert found["online_label_agreement/fake"] == pytest.approx(agreement, abs=0.05)
        assert found["online_label_agreement/real"] == pytest.approx(0.96, abs=0.04)
        assert found["online_label_agreement_error/fake"] == pytest.approx((agreement * (1.0 - agreement) / 512) ** 0.5, abs=0.004)


def test_chance_is_that_of_unrelated_labels_and_unknown_for_noise():
    found = feed_labels(of_reals=SHUFFLED, of_fakes=LABELS)
    assert [found[f"online_label_chance/{side}"] for side in ("fake", "real")] == pytest.approx([0.1, 0.1], abs=0.01)
    told = feed_labels(of_reals=LABELS, of_fakes=LABELS)
    assert told["online_label_chance/fake"] == pytest.approx(0.1, abs=0.01)
    noise = OnlineReference(torch.randn(512, 64, generator=torch.Generator().manual_seed(0)), LABELS[:512])
    digits = OnlineReference(DIGITS[:512].flatten(1), LABELS[:512])
    assert (noise.has_neighbours, digits.has_neighbours) == (False, True)


def test_a_common_mode_is_missed_by_the_newest_batches_before_all_of_them_lack_it():
    fewer = DIGITS[LABELS > 0]
    found = watch(OnlineQuality(), every(20, 1600), lambda _: DIGITS, lambda at: DIGITS if at <= 800 else fewer, batch=32, labels=LABELS)
    missing = [step for step, values in found.items() if values["online_modes_missing/fake"] and step > 700]
    assert missing[0] <= 880 + INTERVAL  # all that are pooled have come by step 1,100
    assert all(values["online_modes_missing/fake"] == 0.0 for step, values in found.items() if step <= 800)


def test_labels_are_modes_where_similar_reals_tell_them():
    assert feed_labels(of_reals=LABELS, of_fakes=LABELS)["online_modes"] == 10.0
    shuffled = feed_labels(of_reals=SHUFFLED, of_fakes=LABELS)
    assert shuffled["online_modes"] == 25.0
    assert shuffled["online_label_agreement/real"] < 0.2


def test_small_batches_are_pooled_and_few_reals_are_enough_in_the_end():
    found = watch(OnlineQuality(), every(20, 1200), lambda _: DIGITS, lambda _: DIGITS, batch=16)
    assert min(found) == 560
    assert found[min(found)]["online_modes"] == 20.0
    assert all(abs(values["online_frechet/fake"]) < 0.05 for values in found.values())


def test_reals_of_many_values_are_no_further_from_the_first_ones_than_their_noise():
    probe, draw, found = OnlineQuality(), torch.Generator().manual_seed(0), {}
    for index in every(20, 480):
        batches = {origin: torch.randn(32, 3, 16, 16, generator=draw) for origin in ("real", "fake")}
        values = probe.read(StepView(Step(index, calls=[call(batch, origin, index) for origin, batch in batches.items()])))
        found |= {name: float(value) for name, value in values.items()}
    assert all(abs(found[f"online_frechet/{origin}"]) < 0.03 for origin in ("real", "fake"))  # fitted to all of them: 0.1


def test_a_resumed_probe_continues_as_if_never_interrupted():
    through, first, draws = OnlineQuality(), OnlineQuality(), [torch.Generator().manual_seed(0) for _ in range(2)]
    expected = watch(through, every(20, 800), lambda _: DIGITS, lambda _: DIGITS, draw=draws[0])
    watch(first, every(20, 400), lambda _: DIGITS, lambda _: DIGITS, draw=draws[1])
    resumed = OnlineQuality()
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    found = watch(resumed, every(420, 800), lambda _: DIGITS, lambda _: DIGITS, draw=draws[1])
    assert found == {step: values for step, values in expected.items() if step > 400}
    early = OnlineQuality()
    early.load_state_dict(OnlineQuality().state_dict())
    assert watch(early, every(20, 240), lambda _: DIGITS, lambda _: DIGITS)


def test_grown_images_are_compared_with_new_reals():
    small = torch.nn.functional.avg_pool2d(DIGITS, 2)
    pool = lambda step: small if step <= 400 else DIGITS
    found = watch(OnlineQuality(), every(20, 1200), pool, pool)
    assert {step: values["online_reference"] for step, values in found.items()} == {
        step: 1.0 if step <= 400 else 2.0 for step in (*range(240, 401, INTERVAL), *range(800, 1201, INTERVAL))
    }
    assert all(abs(values["online_frechet/fake"]) < 0.02 for values in found.values())


def test_a_bad_real_batch_does_not_stay_in_the_sums():
    broken = DIGITS.clone()
    broken[:] = torch.nan
    found = watch(OnlineQuality(), every(20, 1200), lambda step: broken if step == 400 else DIGITS, lambda step: DIGITS)
    assert all(np.isfinite(list(values.values())).all() for values in found.values())
    found = watch(OnlineQuality(), every(20, 1200), lambda step: DIGITS, lambda step: broken if step == 400 else DIGITS)
    assert np.isnan(found[400]["online_frechet/fake"])
    assert np.isfinite(found[1200]["online_frechet/fake"])


def test_the_real_samples_of_missing_modes_are_evidence():
    probe = OnlineQuality()
    assert probe.incident_samples("GW102", 1, "x") is None
    watch(probe, every(20, 800), lambda _: DIGITS, lambda _: DIGITS[LABELS > 1], labels=LABELS, requested=LABELS)
    images = probe.incident_samples("GW102", 800, "x")
    shown = torch.frombuffer(bytearray(images.pixels), dtype=torch.uint8).view(images.shape).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    nearest = torch.cdist(shown.flatten(1), DIGITS.flatten(1)).argmin(1)
    assert sorted(set(LABELS[nearest].tolist())) == [0, 1]
    assert probe.incident_samples("GW101", 800, "x") is None


def test_the_distance_is_that_of_scipy_and_has_no_bias():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(5, 5))
    real = rng.normal(size=(400, 5)) @ mix
    fakes = [rng.normal(size=(300, 5)) @ mix for _ in range(40)]

    def measured(rows):
        sums = [BatchSums.of(x, torch.zeros(len(x)), 1) for x in map(torch.from_numpy, (real, rows))]
        return float(measure_distances(sums[0], [pool_parts([sums[1], sums[1]])])[0][0])

    def expected(rows):
        means, covariances = [x.mean(0) for x in (real, rows)], [np.cov(x, rowvar=False) for x in (real, rows)]
        trace = np.trace(covariances[0] + covariances[1]) - 2.0 * np.sqrt(linalg.eigvals(covariances[0] @ covariances[1]).real).sum()
        return (((means[0] - means[1]) ** 2).sum() + trace) / np.trace(covariances[0])

    offsets = [expected(rows) - measured(np.concatenate([rows, rows])) for rows in fakes]
    assert np.std(offsets) < 1e-4 < np.mean(offsets)  # what is subtracted is the same for all
    values = [measured(rows) for rows in fakes]
    real_bias = measured(np.concatenate([real, real]))
    assert abs(np.mean(values)) < 0.25 * np.mean([expected(rows) for rows in fakes]) + abs(real_bias)


def test_missing_modes_are_rare_by_chance_and_surely_found():
    rng = np.random.default_rng(0)
    shares = np.full(25, 0.04)
    by_chance = [int(find_missing(*(torch.from_numpy(rng.multinomial(n, shares)) for n in (1000, 512))).sum()) for _ in range(400)]
    assert stats.binomtest(sum(by_chance), 400 * 25).proportion_ci(0.99).high < 0.002
    without = shares * (np.arange(25) > 0)
    draws = ((rng.multinomial(1000, shares), rng.multinomial(512, without / without.sum())) for _ in range(50))
    found = [find_missing(*map(torch.from_numpy, pair)) for pair in draws]
    assert all(bool(one[0]) for one in found)
    assert not find_missing(torch.zeros(3), torch.tensor([1, 0, 0])).any()


def test_columns_of_vectors_count_alike_and_pixels_by_their_spread():
    rows = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1000.0, 1.0, 1e-4])
    of_vectors, of_images = Projection.fit(rows, are_vectors=True)(rows), Projection.fit(rows, are_vectors=False)(rows)
    assert of_vectors.std(0)[1] > 0.9
    assert of_images.std(0)[0] > 900.0
    assert of_images.std(0)[1] < 2.0


def test_samples_of_other_shapes_are_left_out():
    probe = OnlineQuality()
    watch(probe, every(20, 400), lambda _: DIGITS, lambda _: DIGITS)
    before = copy.deepcopy(probe.state_dict()["recent"]["fake"])
    watch(probe, [420], lambda _: DIGITS, lambda _: DIGITS[..., :4])
    watch(probe, [440], lambda _: DIGITS, lambda _: DIGITS.flatten()[:5])
    assert probe.state_dict()["recent"]["fake"] == before


def test_a_loop_within_autocast_is_measured_in_single_precision():
    outside, inside = OnlineQuality(), OnlineQuality()
    expected = watch(outside, every(20, 480), lambda _: DIGITS * 30.0, lambda _: DIGITS * 30.0)
    with torch.autocast("cpu", torch.float16):
        found = watch(inside, every(20, 480), lambda _: DIGITS * 30.0, lambda _: DIGITS * 30.0)
    assert found == expected


def test_constant_columns_do_not_count():
    def rows(shift):
        x = torch.randn(1000, 8, generator=torch.Generator().manual_seed(0)) + shift
        x[:, 3:] = 0.1  # most of them
        return x

    near, far = (watch(OnlineQuality(), every(20, 400), lambda _: rows(0.0), lambda _, by=by: rows(by))[400] for by in (0.0, 1.0))
    assert abs(near["online_frechet/fake"]) < 0.02
    assert far["online_frechet/fake"] == pytest.approx(1.0, rel=0.1)


def test_latents_are_no_labels():
    unlabelled = feed_labels(of_reals=LABELS, of_fakes=LABELS, to_g=torch.rand(len(LABELS), 6))
    assert unlabelled["online_label_agreement/fake"] > 0.9  # those of D count
    assert not any("label" in name for name in feed_labels(loaded=LABELS, to_g=torch.rand(len(LABELS), 6)))


def test_large_samples_in_small_batches_are_collected():
    images = torch.randn(80, 3, 320, 320, generator=torch.Generator().manual_seed(0))
    found = watch(OnlineQuality(), every(20, 600), lambda _: images, lambda _: images, batch=8)
    assert found


def test_a_corrupt_real_batch_does_not_join_the_reals():
    corrupt = 30.0 * DIGITS + 100.0
    probe = OnlineQuality()
    found = watch(probe, every(20, 1600), lambda step: corrupt if step == 400 else DIGITS, lambda step: -DIGITS if step > 1200 else DIGITS)
    assert abs(found[1200]["online_frechet/fake"]) < 0.02
    assert found[1600]["online_frechet/fake"] > 0.5


def test_a_real_batch_whose_squares_overflow_does_not_join_the_reals():
    found = watch(OnlineQuality(), every(20, 1200), lambda step: DIGITS * 1e25 if step == 400 else DIGITS, lambda _: DIGITS)
    assert abs(found[1200]["online_frechet/fake"]) < 0.02


def test_fakes_that_are_requested_otherwise_than_the_reals_come_lack_no_mode():
    often = torch.cat([torch.arange(len(LABELS)), (LABELS == 0).nonzero()[:, 0].repeat(9)])  # half of the reals are zeros
    draw, probe, found = torch.Generator().manual_seed(0), OnlineQuality(), {}
    for index in every(20, 600):
        real, fake = often[torch.randint(len(often), (64,), generator=draw)], torch.randint(len(LABELS), (64,), generator=draw)
        calls = [call(DIGITS[real], "real", index, LABELS[real]), call(DIGITS[fake], "fake", index, LABELS[fake])]
        found |= probe.read(StepView(Step(index, calls=calls)))
    assert found["online_modes"] == 10.0
    assert found["online_share_missing/fake"] == 0.0


def test_labels_are_those_of_the_call_that_made_the_fakes():
    draw = torch.Generator().manual_seed(0)
    latents, labels = torch.randn(64, 8, generator=draw), [LABELS[:64], LABELS[64:128]]
    images = [DIGITS[:64].clone(), DIGITS[64:128].clone()]
    of_g = [Call("g", (latents, kinds), [made], "latent", training=True, index=1) for made, kinds in zip(images, labels, strict=True)]
    of_d = [call(made, "fake", 1) for made in images]
    for one in of_d:
        one.in_g_phase = True
    step = StepView(Step(1, calls=[*of_g, of_d[1], of_d[0]]))
    assert [read_requested_labels(step, one).tolist() for one in of_d] == [kinds.tolist() for kinds in labels]
    other = call(DIGITS[128:192].clone(), "fake", 1)
    other.in_g_phase = True
    assert read_requested_labels(StepView(Step(1, calls=[*of_g, other])), other) is None
