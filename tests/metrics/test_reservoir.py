"""A sample of fixed size that is uniform over all rows ever seen, also where parts are merged."""

import torch

from ganwatch.metrics.reservoir import Reservoir


def filled(batches, capacity=20, seed=0):
    kept = Reservoir([])
    for batch in batches:
        kept.add(batch, capacity=capacity, seed=seed)
    return kept


def numbers(*, start=0, stop=100):
    return torch.arange(float(start), float(stop))[:, None]


def test_all_rows_are_kept_while_they_fit():
    kept = filled(numbers(stop=20).split(3))
    assert sorted(kept.rows.flatten().tolist()) == list(range(20))
    assert kept.rows.flatten().tolist() != list(range(20))
    assert torch.equal(filled(numbers(stop=20).flip(0).split(7)).rows, kept.rows)


def test_memory_does_not_grow_with_the_number_of_rows():
    kept = Reservoir([])
    for start in range(0, 5000, 7):
        kept.add(numbers(start=start, stop=start + 7), capacity=20, seed=0)
        assert sum(map(len, kept.tensors[2::2])) < 40
    assert (kept.count, len(kept.rows)) == (5005, 20)


def test_every_row_is_equally_likely_wherever_it_came_from():
    times = torch.zeros(100)
    for seed in range(1000):
        merged = filled(numbers(stop=30).split(10), seed=seed)
        merged.merge(filled(numbers(start=30).split(9), seed=seed).tensors)
        times[merged.rows.flatten().long()] += 1
    expected = 1000 * 20 / 100
    assert ((times - expected).square().sum() / (expected * 0.8)) < 150  # chi-square, 99 degrees of freedom
    assert abs(times[:30].sum() - 6000) < 250


def test_the_same_stream_gives_the_same_sample_and_another_seed_another():
    one, again, other = (filled(numbers().split(10), seed=seed).rows for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_merging_knows_no_order():
    parts = [filled(numbers(start=start, stop=start + 40).split(8)).tensors for start in (0, 40, 80)]
    samples = []
    for order in ((0, 1, 2), (2, 0, 1)):
        merged = Reservoir([])
        for index in order:
            merged.merge(parts[index])
        samples.append(merged.rows)
    assert torch.equal(*samples)
    assert merged.count == 120


def test_equal_rows_keep_their_share():
    kept = filled([torch.cat([torch.zeros(45, 1), torch.ones(19, 1)])] * 50, capacity=400)
    assert 0.2 < float(kept.rows.mean()) < 0.4  # 19 of 64
