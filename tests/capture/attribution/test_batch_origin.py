"""A real batch is never recognised as fake, nor a fake one as real."""

import pytest
import torch

from ganwatch.capture.attribution.batch_origin import ALL_SAMPLES, MAX_BATCHES, BatchOrigin

UNKNOWN = [("unknown", ALL_SAMPLES)]


@pytest.fixture
def batch_origin():
    return BatchOrigin()


def batch(n=4, seed=0):
    return torch.randn(n, 1, 3, 3, generator=torch.Generator().manual_seed(seed))


RECOGNISED_CHANGES = {
    "itself": lambda x: x,
    "detached": lambda x: x.detach(),
    "a part": lambda x: x[:2],
    "reshaped": lambda x: x.flatten(1),
    "copied": lambda x: x.clone(),
    "changed in place": lambda x: x.mul_(2.0),
}


@pytest.mark.parametrize("change", RECOGNISED_CHANGES.values(), ids=RECOGNISED_CHANGES)
@pytest.mark.parametrize("origin", ["real", "fake"])
def test_recognised(batch_origin, origin, change):
    batch_origin.remember("fake" if origin == "real" else "real", batch(seed=1))
    samples = batch()
    batch_origin.remember(origin, samples)
    assert batch_origin.identify(change(samples)) == [(origin, ALL_SAMPLES)]


OTHER_CHANGES = {
    "rescaled": lambda x: x * 2 - 1,
    "in another order": lambda x: x.flip(0),
    "a part copied": lambda x: x[:3].clone(),
    "in another precision": lambda x: x.double(),
    "empty": lambda x: x[:0].clone(),
}


@pytest.mark.parametrize("change", OTHER_CHANGES.values(), ids=OTHER_CHANGES)
def test_not_recognised(batch_origin, change):
    samples = batch()
    batch_origin.remember("real", samples)
    batch_origin.remember("fake", batch(seed=1))
    assert batch_origin.identify(change(samples).clone()) == UNKNOWN


def test_reals_and_fakes_in_one_batch(batch_origin):
    real, fake, second = batch(4, 0), batch(4, 1), batch(2, 2)
    batch_origin.remember("real", real)
    batch_origin.remember("fake", fake)
    batch_origin.remember("fake", second)
    parts = batch_origin.identify(torch.cat([second, real, fake]))
    assert parts == [("fake", slice(0, 2)), ("real", slice(2, 6)), ("fake", slice(6, 10))]
    assert batch_origin.identify(torch.cat([real, fake + 1])) == UNKNOWN
    assert batch_origin.identify(torch.cat([real, fake])[:6]) == UNKNOWN


def test_a_batch_of_both_origins_is_unknown(batch_origin):
    same = torch.zeros(4, 9)
    batch_origin.remember("real", same)
    batch_origin.remember("fake", same.clone())
    assert batch_origin.identify(same.clone()) == UNKNOWN
    batch_origin.remember("fake", same.view(4, 9))  # a generator that returns its input
    assert batch_origin.identify(same) == UNKNOWN


def test_a_batch_that_changes_after_a_comparison(batch_origin):
    samples = batch()
    batch_origin.remember("real", samples)
    assert batch_origin.identify(samples.clone()) == [("real", ALL_SAMPLES)]
    samples += 1.0
    assert batch_origin.identify(samples.clone()) == [("real", ALL_SAMPLES)]


@pytest.mark.parametrize("tensor", [torch.zeros(0, 3), torch.tensor(1.0), torch.zeros(3), torch.zeros(4, 3, dtype=torch.int64)])
def test_tensors_without_samples_are_skipped(batch_origin, tensor):
    batch_origin.remember("real", tensor)
    assert batch_origin.identify(torch.zeros(4, 3)) == UNKNOWN


def test_old_batches_are_dropped_by_number_and_by_size(batch_origin):
    for seed in range(MAX_BATCHES + 1):
        batch_origin.remember("real", batch(seed=seed))
    assert batch_origin.identify(batch(seed=0)) == UNKNOWN
    assert batch_origin.identify(batch(seed=1)) == [("real", ALL_SAMPLES)]
    large = [torch.empty(1, 5 * 2**20).fill_(value) for value in (1.0, 2.0, 3.0, 4.0)]  # 20 MiB each
    for samples in large:
        batch_origin.remember("fake", samples)
    assert [batch_origin.identify(samples) for samples in large] == [UNKNOWN, *[[("fake", ALL_SAMPLES)]] * 3]


@pytest.mark.parametrize("fakes_first", [True, False])
def test_fakes_beside_samples_that_nobody_knows_are_told_apart(batch_origin, fakes_first):
    fake, other, loaded = batch(4, 1), batch(4, 2), batch(4, 3)
    batch_origin.sample_shape = fake.shape[1:]
    batch_origin.remember("fake", fake)
    batch_origin.remember("real", loaded)
    halves = [("fake", fake.clone()), ("unknown", other)]
    halves = halves if fakes_first else halves[::-1]
    parts = batch_origin.identify(torch.cat([samples for _, samples in halves]))
    assert parts == [(halves[0][0], slice(0, 4)), (halves[1][0], slice(4, 8))]
    mixed = torch.cat([loaded[:3], other[:1], fake])  # one of the loader's samples was replaced
    assert batch_origin.identify(mixed) == [("unknown", slice(0, 4)), ("fake", slice(4, 8))]
    assert batch_origin.identify(torch.cat([fake[:2], other, fake[2:]])) == UNKNOWN
