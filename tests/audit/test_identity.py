import json
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from ganwatch.audit import dataset_identity
from ganwatch.core.errors import UserError


def test_the_same_data_have_the_same_identity_however_they_come(images, labels):
    arrays = dataset_identity((images, labels))
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    loader = dataset_identity(DataLoader(dataset, shuffle=True))
    assert loader["sha256"] == dataset_identity(dataset)["sha256"] == arrays["sha256"]
    assert (arrays["size"], arrays["shape"], arrays["dtype"], arrays["sample"]) == (1797, [8, 8], "float32", 256)
    assert sum(arrays["label_shares"].values()) == pytest.approx(1)
    json.dumps(loader, allow_nan=False)


def test_values_shape_type_labels_and_size_all_count(images, labels):
    changed = images.copy()
    changed[0, 0, 0] += 0.5
    other = labels.copy()
    other[0] += 1
    variants = [(images, labels), (changed, labels), (images, other), (images.astype(np.float64), labels), (images.reshape(-1, 64), labels)]
    variants += [(images[:-1], labels[:-1])]
    assert len({dataset_identity(variant)["sha256"] for variant in variants}) == len(variants)


def test_augmentation_changes_neither_the_identity_nor_the_random_state(images):
    class Augmented(torch.utils.data.Dataset):
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            if index == 0:
                raise OSError
            return torch.from_numpy(images[index]) + torch.rand(()) + random.random()

    before = torch.get_rng_state().tolist(), random.getstate()
    first = dataset_identity(Augmented())
    assert (torch.get_rng_state().tolist(), random.getstate()) == before
    torch.rand(5)
    assert dataset_identity(Augmented()) == first
    assert (first["unreadable"], first["label_shares"]) == (1, None)


def test_bad_input(images):
    class Stream(IterableDataset):
        def __iter__(self):
            raise AssertionError("iterated")

    assert dataset_identity(Stream())["name"] == "Stream"
    with pytest.raises(UserError, match="sample must be >= 1"):
        dataset_identity(images, sample=0)
