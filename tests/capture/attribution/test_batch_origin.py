"""Real is never taken for fake, nor fake for real."""

import pytest
import torch

from ganwatch.capture.attribution.batch_origin import ALL_SAMPLES, MAX_BATCHES, BatchOrigin

UNKNOWN = [("unknown", ALL_SAMPLES)]


@pytest.fixture
def known():
    return BatchOrigin()


def batch(n=4, seed=0):
    return torch.randn(n, 1, 3, 3, generator=torch.Generator().manual_seed(seed))


CHANGES = {
    "itself": lambda x: x,
    "detached": lambda x: x.detach(),
    "a part": lambda x: x[:2],
    "reshaped": lambda x: x.flatten(1),
    "copied": lambda x: x.clone(),
    "changed in place": lambda x: x.mul_(2.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("kind", ["real", "fake"])
def test_known(known, kind, change):
    known.remember("fake" if kind == "real" else "real", batch(seed=1))
    samples = batch()
    known.remember(kind, samples)
    assert known.identify(change(samples)) == [(kind, ALL_SAMPLES)]


UNLIKE = {
    "rescaled": lambda x: x * 2 - 1,
    "in another order": lambda x: x.flip(0),
    "a part copied": lambda x: x[:3].clone(),
    "in another precision": lambda x: x.double(),
    "empty": lambda x: x[:0].clone(),
}


@pytest.mark.parametrize("change", UNLIKE.values(), ids=UNLIKE)
def test_unknown(known, change):
    samples = batch()
    known.remember("real", samples)
    known.remember("fake", batch(seed=1))
    assert known.identify(change(samples).clone()) == UNKNOWN


def test_together(known):
    real, fake, second = batch(4, 0), batch(4, 1), batch(2, 2)
    known.remember("real", real)
    known.remember("fake", fake)
    known.remember("fake", second)
    parts = known.identify(torch.cat([second, real, fake]))
    assert parts == [("fake", slice(0, 2)), ("real", slice(2, 6)), ("fake", slice(6, 10))]
    assert known.identify(torch.cat([real, fake + 1])) == UNKNOWN
    assert known.identify(torch.cat([real, fake])[:6]) == UNKNOWN


def test_what_is_both_is_unknown(known):
    same = torch.zeros(4, 9)
    known.remember("real", same)
    known.remember("fake", same.clone())
    assert known.identify(same.clone()) == UNKNOWN
    known.remember("fake", same.view(4, 9))  # a generator that returns its input
    assert known.identify(same) == UNKNOWN


def test_a_batch_that_changed_after_it_was_compared(known):
    samples = batch()
    known.remember("real", samples)
    assert known.identify(samples.clone()) == [("real", ALL_SAMPLES)]
    samples += 1.0
    assert known.identify(samples.clone()) == [("real", ALL_SAMPLES)]


@pytest.mark.parametrize("odd", [torch.zeros(0, 3), torch.tensor(1.0), torch.zeros(3), torch.zeros(4, 3, dtype=torch.int64)])
def test_what_is_no_batch_is_passed_over(known, odd):
    known.remember("real", odd)
    assert known.identify(torch.zeros(4, 3)) == UNKNOWN


def test_old_batches_are_forgotten_by_number_and_by_size(known):
    for seed in range(MAX_BATCHES + 1):
        known.remember("real", batch(seed=seed))
    assert known.identify(batch(seed=0)) == UNKNOWN
    assert known.identify(batch(seed=1)) == [("real", ALL_SAMPLES)]
    large = [torch.empty(1, 5 * 2**20).fill_(value) for value in (1.0, 2.0, 3.0, 4.0)]  # 20 MiB each
    for samples in large:
        known.remember("fake", samples)
    assert [known.identify(samples) for samples in large] == [UNKNOWN, *[[("fake", ALL_SAMPLES)]] * 3]
