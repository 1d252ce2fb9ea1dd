import json
import random
import threading
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset, WeightedRandomSampler

from ganwatch.audit import audit as timed_audit
from ganwatch.core.errors import UserError

audit = partial(timed_audit, clock=lambda: 0.0)
"""The audit with a clock that stands still, so that no budget is ever spent."""


class Ticking:
    """A clock that advances by a fixed amount at each reading."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        self.now += self.seconds
        return self.now


class Augmented(Dataset):
    """Draws from every generator there is."""

    def __init__(self, images):
        self.images, self.own, self.torch_own = images, np.random.default_rng(3), torch.Generator().manual_seed(4)
        self.reads, self.handle = 0, None

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.reads += 1
        self.handle = self.handle or object()
        noise = random.random() + np.random.random() + torch.rand(()).item()  # noqa: NPY002  # what user data sets draw from
        noise += self.own.random() + torch.rand((), generator=self.torch_own).item()
        return torch.from_numpy(self.images[index] + np.float32(noise)), index % 10


def _states(dataset):
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.get_rng_state().tolist(),
        dataset.own.bit_generator.state,
        dataset.torch_own.get_state().tolist(),
    )


def test_reading_changes_no_random_state_and_no_data_set(images):
    dataset = Augmented(images[:400])
    before = _states(dataset)
    first = audit(DataLoader(dataset, batch_size=32, shuffle=True), held_out=dataset)
    assert _states(dataset) == before
    assert (dataset.reads, dataset.handle) == (0, None)
    torch.rand(3), random.random()
    assert audit(dataset, held_out=dataset).to_dict() == first.to_dict()


def test_copies_are_not_searched_in_items_that_differ_at_each_reading(images):
    results = audit(Augmented(images), held_out=images).results
    for check in ("duplicates", "near-duplicates", "overlap"):
        assert results[check] == "not applicable: an item differs each time it is read (augmentation)"


def test_the_budget_ends_the_reading_and_says_how_far_it_came(images):
    images[3] = 0.0
    report = audit(images, budget=10.0, clock=Ticking(0.1))
    assert 60 < report.read_count < 80
    assert report.results["non-finite"] == f"not finished within budget: examined {report.read_count} of 1,797"
    assert not any("finding" in outcome for outcome in report.results.values())


def test_the_budget_ends_the_search_for_near_copies(images):
    report = audit(images, budget=10.0, clock=Ticking(6.9 / 1797))
    assert report.read_count == 1797
    assert report.results["duplicates"] == "passed"
    assert audit(images, budget=10.0, clock=Ticking(7.0 / 1799)).results["near-duplicates"] == "passed"
    late = iter([0.0] * 1797)
    stopped = audit(images, budget=10.0, clock=lambda: next(late, 11.0))
    assert stopped.results["near-duplicates"] == "not finished within budget: examined 256 of 1,797"


def test_at_least_one_item_is_read(images):
    assert audit(images, clock=Ticking(100.0)).read_count == 1


def test_a_report_depends_on_data_and_seed_alone(images):
    images[::50] = 0.25
    one, two, other = (audit(images, limit=500, seed=seed).to_dict() for seed in (1, 1, 2))
    assert one == two != other
    assert one["read_count"] == 500


def test_the_loader_itself_is_never_iterated(images):
    class Loader(DataLoader):
        def __iter__(self):
            raise AssertionError("iterated")

    dataset = TensorDataset(torch.from_numpy(images))
    report = audit(Loader(dataset, batch_size=4096))
    assert [finding.check for finding in report.findings] == ["sample-size"]
    assert report.size == 1797


def test_samplers_are_respected(images, labels):
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    chosen = np.flatnonzero(labels < 8).tolist()
    images[chosen[5]] = 0.0
    report = audit(DataLoader(dataset, sampler=SubsetRandomSampler(chosen)))
    assert report.size == len(chosen)
    assert report.findings[0].examples == (chosen[5],)
    weighted = audit(DataLoader(dataset, sampler=WeightedRandomSampler([1.0] * 1797, 64)))
    assert weighted.results["balance"].startswith("not applicable: a weighted sampler")


def test_what_can_only_be_iterated_is_not_applicable(images):
    class Stream(IterableDataset):
        def __iter__(self):
            raise AssertionError("iterated")

    for stream in (Stream(), DataLoader(Stream())):
        report = audit(stream)
        assert all(outcome.startswith("not applicable: Stream can only be iterated") for outcome in report.results.values())
        assert not report.findings
    assert audit(images, held_out=Stream()).results["overlap"].startswith("not applicable: held_out: Stream")


def test_items_may_be_mappings_pairs_tensors_or_half_precision(images, labels, find_finding):
    images[8] = 0.0
    kinds = [
        [{"pixel_values": image, "label": int(label)} for image, label in zip(images, labels, strict=True)],
        [(torch.from_numpy(image).bfloat16(), label) for image, label in zip(images, torch.from_numpy(labels), strict=True)],
    ]
    for data in kinds:
        report = audit(data)
        assert find_finding(report, "constant").examples == (8,)
        assert report.results["balance"] == "passed"
    assert find_finding(audit(torch.from_numpy(images)), "constant").examples == (8,)
    assert audit([*zip(images, np.random.default_rng(0).random(1797), strict=True)]).results["balance"].startswith("not applicable")


def test_a_data_set_that_cannot_be_copied_is_read_as_it_is(images):
    class Locked(Augmented):
        def __init__(self, images):
            super().__init__(images)
            self.lock = threading.Lock()

        def __copy__(self):
            raise TypeError("locked")

    assert audit(Locked(images)).read_count == 1797


def test_a_data_set_without_a_readable_item_is_a_warning():
    class Nothing:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            raise RuntimeError("no")

    report = audit(Nothing())
    assert [finding.check for finding in report.warnings] == ["unreadable"]
    assert report.results["balance"] == "not applicable: no item could be read"


def test_a_check_that_breaks_is_reported_and_the_others_go_on(images, monkeypatch):
    from ganwatch.audit.checks.constant import Constant

    def broken(self, check_input):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Constant, "examine", broken)
    results = audit(images).results
    assert results["constant"] == "failed: ZeroDivisionError: oops"
    assert results["duplicates"] == "passed"


def test_the_report_is_json_and_text(images):
    images[8] = 0.0
    report = audit(images)
    back = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert back["findings"][0]["code"] == "GW503"
    assert back["findings"][0]["examples"] == [8]
    assert "WARNING finding of the data audit (GW503), constant: constant items" in str(report)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": []}, "data must hold at least one item"),
        ({"data": np.empty((0, 8, 8))}, "data must hold at least one item"),
        ({"data": "/nowhere"}, "data must be an existing path, or a folder"),
        ({"data": 3}, "data must be a torch Dataset"),
        ({"data": np.array(["a", "b"])}, "data must hold real numbers"),
        ({"data": (np.zeros((3, 2)), np.zeros(2))}, "data must have one label an item, got 3 items and 2 labels"),
        ({"held_out": "/nowhere"}, "held_out must be an existing path"),
        ({"budget": 0}, "budget must be > 0"),
        ({"limit": 0}, "limit must be >= 1"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"batch_size": 0}, "batch_size must be >= 1"),
        ({"generator_range": (1, -1)}, "generator_range must be"),
        ({"generated": np.zeros(3)}, "generated must have shape"),
    ],
)
def test_impossible_input_is_refused(images, arguments, message):
    with pytest.raises(UserError) as error:
        audit(**{"data": images, **arguments})
    assert message in str(error.value)
