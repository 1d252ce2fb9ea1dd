"""Healthy data give no finding."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from ganwatch.audit import audit as timed_audit
from ganwatch.trainer.data import GANData

audit = partial(timed_audit, clock=lambda: 0.0)
"""The audit with a clock that stands still, so that no budget is ever spent."""


def test_the_digits_pass_every_check(images, labels):
    train, held_out = (images[:1500], labels[:1500]), images[1500:]
    report = audit(train, held_out=held_out, generated=images[:64] * 0.1, generator_range=(-1, 1), batch_size=64)
    assert set(report.results.values()) == {"passed"}
    assert not report.findings


@pytest.mark.parametrize("source", ["digits", "ring", "grid"])
def test_what_the_reference_trainer_trains_on_passes(source):
    report = audit(GANData(source, samples=2_000).train_dataloader(), generator_range=(-1, 1) if source == "digits" else None)
    assert not report.findings
    assert report.results["balance"] == "passed"


@pytest.mark.parametrize("seed", range(3))
def test_subsets_and_float_vectors_pass(images, seed):
    rng = np.random.default_rng(seed)
    assert not audit(images[rng.permutation(len(images))[:1000]]).findings
    assert not audit(rng.normal(size=(1000, 16)).astype(np.float32)).findings
    assert not audit(np.exp(3 * rng.normal(size=(1000, 9)))).findings
    assert not audit(np.concatenate([rng.normal(size=(500, 12)), 100 * rng.normal(size=(500, 12))])).findings


@pytest.mark.parametrize("which", [0, 1])
def test_patches_of_a_real_photograph_pass(which):
    photo = load_sample_images().images[which]
    patches = photo[:416, :640].reshape(26, 16, 40, 16, 3).swapaxes(1, 2).reshape(-1, 16, 16, 3)
    assert patches.shape[0] == 1040
    assert not audit(patches).findings


def test_data_of_the_reference_loader_are_audited_after_scaling(images):
    from ganwatch.trainer.data import Batches

    pixels = torch.from_numpy(((images + 1) * 127.5).astype(np.uint8))[:, None]
    dataset = torch.utils.data.TensorDataset(pixels)
    scaled = Batches(dataset, batch_size=64, prepare=lambda x: x.float() / 127.5 - 1)
    assert not audit(scaled, generator_range=(-1, 1)).findings
    assert [finding.check for finding in audit(dataset, generator_range=(-1, 1)).findings] == ["value-range"]
