"""Repeats of samples within a batch and of batches over steps."""

import random

import pytest
import torch

from ganwatch.capture.step import Call, Step, StepView
from ganwatch.probes.data import describe_batches
from ganwatch.probes.latents import Latents
from ganwatch.probes.repetition import Repetition
from ganwatch.probes.row_hashes import MAX_WEIGHTS, hash_rows

GENERATOR = torch.Generator()


def draw(*shape, low=None):
    if low is None:
        return torch.randn(*shape, generator=GENERATOR)
    return torch.randint(low, shape, generator=GENERATOR).float()


@pytest.fixture(autouse=True)
def seed():
    GENERATOR.manual_seed(0)


@pytest.mark.parametrize(
    "rows",
    [torch.eye(512), torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 11), torch.eye(256) * 7, torch.tril(torch.ones(300, 300)),
     torch.cartesian_prod(torch.arange(40.0), torch.arange(40.0)), draw(500, 1), draw(4, 3, 8, 8).half(), torch.arange(99)],
    ids=["one-hot", "bits", "numbers", "masks", "grid", "single values", "images in half precision", "labels"],
)  # fmt: skip
def test_samples_have_equal_hashes_if_and_only_if_they_are_equal(rows):
    assert len(hash_rows(rows).unique()) == len(rows)
    assert torch.equal(hash_rows(torch.cat([rows, rows])).unflatten(0, (2, -1))[0], hash_rows(rows))


@pytest.mark.parametrize("place", [0, MAX_WEIGHTS - 1, MAX_WEIGHTS, 3 * 256 * 256 - 1])
def test_every_value_of_a_large_image_counts(place):
    image = draw(1, 3 * 256 * 256)
    other, swapped = image.clone(), image.roll(1, 1)
    other[0, place] = torch.nextafter(other[0, place], torch.tensor(9.0))
    assert len(torch.cat([hash_rows(image), hash_rows(other), hash_rows(swapped)]).unique()) == 3
    whole = hash_rows(image.expand(200, -1))  # hashed in other pieces
    assert len(whole.unique()) == 1


def test_different_reals_with_equal_sums_do_not_repeat():
    batch = torch.eye(16)[torch.randperm(16, generator=GENERATOR)]
    assert describe_batches(torch.stack([batch, batch[[0] * 16]]))["repeated"].tolist() == [0.0, 15 / 16]


def few(latents):
    return latents[:5].repeat(13, *[1] * (latents.ndim - 1))[:64]


CONTINUOUS = {
    "normal": draw(64, 16), "two values each": draw(64, 2), "half precision": draw(64, 64).half(), "maps": draw(64, 4, 32, 32),
    "simplex": torch.distributions.Dirichlet(torch.ones(16)).sample((64,)),
}  # fmt: skip


@pytest.mark.parametrize("latents", CONTINUOUS.values(), ids=CONTINUOUS)
@pytest.mark.parametrize("repeat", [few, lambda latents: torch.cat([latents[:48], latents[:16]])], ids=["few", "a quarter"])
def test_latents_that_repeat_are_continuous(latents, repeat):
    fresh, repeated = ({name: float(value) for name, value in read(Latents(), latent).items()} for latent in (latents, repeat(latents)))
    assert fresh["latent_repeated"] == 0.0
    assert repeated["latent_repeated"] >= 0.25
    assert min(fresh["latent_continuity"], repeated["latent_continuity"]) > 0.5


DISCRETE = {
    "bits": draw(64, 4, low=2), "one bit": draw(64, 1, low=2), "one-hot": torch.eye(10)[draw(64, low=10).long()],
    "one-hot of two": torch.eye(2)[draw(64, low=2).long()], "label": draw(64, 1, low=10) / 9,
    "map of a label": draw(64, 1, low=10).repeat(1, 99),
    "numbers": draw(64, 2, low=6), "empty masks": torch.zeros(64, 1, 16, 16), "edge maps": few(draw(64, 1, 64, 64, low=256) / 255),
    "corners of a simplex": torch.distributions.Dirichlet(torch.full((8,), 1e-3)).sample((64,)),
}  # fmt: skip


@pytest.mark.parametrize("latents", DISCRETE.values(), ids=DISCRETE)
def test_latents_that_repeat_by_design_are_not_continuous(latents):
    values = read(Latents(), latents)
    assert values["latent_repeated"] > 0.0
    assert values["latent_continuity"] <= 0.5


def read(probe, latents, index=20, *, real=None, others=()):
    calls = [Call("g", (latents, *others), [], "latent", True, index)]
    calls += [] if real is None else [Call("d", (real,), torch.zeros(len(real)), "real", True, index)]
    return probe.read(StepView(Step(index, calls=calls)))


def count_repeats(batches, labels=None):
    probe = Repetition()
    for step, batch in enumerate(batches, 1):
        others = () if labels is None else (labels[step - 1],)
        values = read(probe, batch, step, real=batch, others=others)
    return int(values["batches_repeated/latent"]), int(values["batches_repeated/real"])


def test_the_same_samples_in_any_order_repeat_and_other_choices_do_not():
    pool, rng = draw(100, 1, 8, 8), random.Random(0)
    three = [draw(64, 2) for _ in range(3)]
    assert count_repeats([pool[:64][torch.randperm(64, generator=GENERATOR)] for _ in range(20)]) == (11, 11)
    assert count_repeats([rng.choice(three) for _ in range(20)]) == (9, 9)
    assert count_repeats([three[step % 3] for step in range(5)]) == (2, 2)
    assert count_repeats([pool[torch.randperm(100, generator=GENERATOR)[:64]] for _ in range(20)]) == (0, 0)
    assert count_repeats([pool[torch.randint(60, (64,), generator=GENERATOR)] for _ in range(20)]) == (0, 0)
    assert count_repeats([torch.eye(10)[torch.arange(64) % 10] for _ in range(20)]) == (0, 0)  # labels in balance
    assert count_repeats([draw(64, 3) for _ in range(20)]) == (0, 0)


def test_labels_that_repeat_beside_fresh_latents_are_no_repeat():
    labels = torch.arange(64)
    assert count_repeats([draw(64, 2) for _ in range(20)], [labels] * 20)[0] == 0
    assert count_repeats([draw(64, 2)] * 20, [labels] * 20)[0] == 11
    assert count_repeats([labels[:, None]] * 20, [draw(64, 2) for _ in range(20)])[0] == 0


def test_a_call_that_stays_in_the_record_is_read_once_and_single_samples_never():
    probe, call = Repetition(), Call("d", (draw(8, 2),), torch.zeros(8), "real", True, 3)
    assert list(probe.read(StepView(Step(4, calls=[call])))) == ["batches_repeated/real"]
    assert probe.read(StepView(Step(11, calls=[call]))) == {}
    assert read(Repetition(), draw(1, 2), real=draw(1, 2)) == {}


def test_it_continues_from_a_saved_state():
    probe, restored, batch = Repetition(), Repetition(), draw(16, 2)
    for step in range(1, 6):
        read(probe, batch, step)
    restored.load_state_dict(probe.state_dict())
    assert [int(read(each, batch, 6)["batches_repeated/latent"]) for each in (probe, restored)] == [5, 5]


@pytest.mark.parametrize("n_batches", [*range(5, 120), 128, 250, 640])
def test_data_that_is_read_in_order_shows_different_batches(n_batches):
    probe = Repetition()
    sampled = [step for step in range(1, 2000) if probe.is_due(step)]
    for last in range(12, len(sampled)):
        assert len({step % n_batches for step in sampled[last - 12 : last]}) > 2
