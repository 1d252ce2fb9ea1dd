"""Each check reports a planted fault and lists the items; ``test_healthy`` checks that it passes without one."""

import io
from functools import partial

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from ganwatch.audit import Level
from ganwatch.audit import audit as timed_audit

audit = partial(timed_audit, clock=lambda: 0.0)
"""The audit with a clock that stands still, so that no budget is ever spent."""


def test_too_few_images(images, find_finding):
    assert "999 images" in find_finding(audit(images[:999]), "sample-size").explanation
    assert find_finding(audit(images[:1000]), "sample-size") is None
    assert "batch of 2,048" in find_finding(audit(images, batch_size=2048), "sample-size").explanation


def test_too_few_vectors(find_finding):
    points = np.random.default_rng(0).normal(size=(300, 200))
    assert "300 items of 200 values" in find_finding(audit(points), "sample-size").explanation
    assert find_finding(audit(points[:, :20]), "sample-size") is None


def test_an_item_that_raises(images, find_finding):
    class Broken:
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            if index in {3, 1000}:
                raise OSError("bad sector")
            return images[index]

    finding = find_finding(audit(Broken()), "unreadable")
    assert finding.examples == (3, 1000)
    assert "2 of 1,797 (0.11 %)" in finding.explanation
    assert "OSError: bad sector" in finding.explanation


def test_items_of_several_sizes(images, find_finding):
    mixed = [*images, images[0][:7]]
    finding = find_finding(audit(mixed), "shapes")
    assert finding.examples == (1797,)
    assert "1,797 of 8 x 8, 1 of 7 x 8" in finding.explanation


def test_non_finite_items(images, find_finding):
    images[5, 0, 0], images[9] = np.inf, np.nan
    report = audit(images, generator_range=(-1, 1))
    finding = find_finding(report, "non-finite")
    assert finding.examples == (5, 9)
    assert "hold 65 such values" in finding.explanation
    assert len(report.findings) == 1


def test_constant_items(images, find_finding):
    images[[4, 40]] = -1.0
    report = audit(images)
    assert find_finding(report, "constant").examples == (4, 40)
    assert len(report.findings) == 1


def test_duplicated_rows(images, find_finding):
    report = audit(np.concatenate([images, images[100:120], images[100:101]]))
    finding = find_finding(report, "duplicates")
    assert finding.examples[:3] == (100, 1797, 1817)
    assert "21 of 1,818 (1.2 %) items repeat another one exactly, in 20 groups; the largest has 3" in finding.explanation
    assert len(report.findings) == 1


def test_short_vectors_of_whole_numbers_repeat_by_nature(find_finding):
    dice = np.random.default_rng(0).integers(1, 7, (500, 3))
    assert find_finding(audit(dice), "duplicates").severity is Level.INFO


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + np.random.default_rng(1).normal(0, 0.02, x.shape),
        lambda x: 0.7 * x + 0.2,
        lambda x: np.round((x + 1) * 127.5) / 127.5 - 1,
    ],
    ids=["noise", "brightness", "rounding"],
)
def test_near_copies_of_digits(images, find_finding, change):
    chosen = np.arange(0, 1600, 40)
    report = audit(np.concatenate([images, change(images[chosen]).astype(np.float32)]))
    finding = find_finding(report, "near-duplicates")
    assert [finding.check for finding in report.findings] == ["near-duplicates"]
    assert finding.explanation.startswith("80 of 1,837")
    pairs = [tuple(map(int, example.split(" ~ "))) for example in finding.examples]
    assert len(pairs) == 8
    assert all(chosen[copy - 1797] == original for original, copy in pairs)


def test_near_copies_of_photographs_after_jpeg(find_finding):
    photo = load_sample_images().images[0]
    patches = [photo[y : y + 32, x : x + 32] for y in range(0, 416, 32) for x in range(0, 640, 32)]

    def compressed(patch):
        file = io.BytesIO()
        Image.fromarray(patch).save(file, "JPEG", quality=70)
        return np.asarray(Image.open(file))

    finding = find_finding(audit([*patches, *map(compressed, patches[200:210])]), "near-duplicates")
    copies = {int(example.split(" ~ ")[1]) for example in finding.examples}
    assert len(copies & set(range(260, 270))) >= 7


def test_held_out_items_that_are_trained_on(images, find_finding):
    held_out = np.concatenate([images[1500:], images[10:13], images[20:22] * 0.9])
    finding = find_finding(audit(images[:1500], held_out=held_out), "overlap")
    assert "3 of 302" in finding.explanation
    assert "2 more nearly" in finding.explanation
    assert finding.examples == (297, 298, 299, 300, 301)


def test_a_class_cut_to_one_percent(images, labels, find_finding):
    kept = np.flatnonzero(labels != 7)
    few = np.flatnonzero(labels == 7)[:2]
    chosen = np.sort(np.concatenate([kept, few]))
    finding = find_finding(audit((images[chosen], labels[chosen])), "balance")
    assert finding.severity is Level.WARNING
    assert "7 comes" not in finding.explanation
    assert "7 2 times" in finding.explanation
    assert len(finding.examples) == 2
    assert all(labels[chosen][index] == 7 for index in finding.examples)


def test_a_class_without_items(images, labels, find_finding):
    finding = find_finding(audit((images[labels != 5], labels[labels != 5])), "balance")
    assert "5 0 times" in finding.explanation


def test_mild_imbalance_is_an_info_and_chance_is_nothing(images, labels, find_finding):
    some = np.flatnonzero((labels != 3) | (np.arange(len(labels)) % 2 == 0))
    assert find_finding(audit((images[some], labels[some])), "balance").severity is Level.INFO
    rng = np.random.default_rng(0)
    assert find_finding(audit((images[:200], rng.integers(0, 10, 200))), "balance") is None


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda x: (x + 1) / 2, "2 * x - 1"),
        (lambda x: np.round((x + 1) * 127.5).astype(np.uint8), "x / 127.5 - 1"),
        (lambda x: (x - x.mean()) / x.std(), "standardised"),
    ],
    ids=["unit", "pixels", "standardised"],
)
def test_ranges_that_a_tanh_cannot_reach(images, find_finding, change, advice):
    finding = find_finding(audit(change(images), generator_range=(-1, 1)), "value-range")
    assert finding.severity is Level.WARNING
    assert advice in finding.remedy


def test_one_stray_item_does_not_make_a_range(images, find_finding):
    images[0] *= 3
    assert find_finding(audit(images, generator_range=(-1, 1)), "value-range") is None
    assert find_finding(audit(images, generator_range=(-1, float("inf"))), "value-range") is None


def test_real_and_generated_treated_differently(images, find_finding):
    generated = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 8, 8))
    assert find_finding(audit(images, generated=generated), "treatment") is None
    finding = find_finding(audit((images + 1) / 2, generated=generated), "treatment")
    assert "generated values lie where no real one does" in finding.explanation
    assert "shape (8, 8), generated ones (1, 8, 8)" in find_finding(audit(images, generated=generated[:, None]), "treatment").explanation
    assert find_finding(audit(images, generated=np.full((9, 8, 8), 0.9)), "treatment").severity is Level.INFO
