"""Reading data changes no random state, wherever the data keep their generators."""

import random
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from ganwatch.audit import audit as timed_audit
from ganwatch.audit import dataset_identity
from ganwatch.isolation.generators import find_all_generators
from ganwatch.isolation.random_state import preserved_random_state

audit = partial(timed_audit, clock=lambda: 0.0)
"""The audit with a clock that stands still, so that no budget is ever spent."""


DRAWING = """
import random
import numpy as np
import torch

NUMPY, PYTHON, TORCH = np.random.default_rng(0), random.Random(0), torch.Generator()


class Drawing(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return NUMPY.random(4) + PYTHON.random() + torch.rand(4, generator=TORCH).numpy()


def transform(item):
    return item + NUMPY.random(4)
"""


def _new_module():
    """A module that holds generators, and is younger than the test."""
    module = ModuleType("drawing")
    exec(DRAWING, vars(module))  # noqa: S102  # the text above
    return module


class Transforming(torch.utils.data.Dataset):
    """Lives in another module than its transform."""

    __module__ = "elsewhere"

    def __init__(self):
        self.transforms = [_new_module().transform]

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.transforms[0](np.zeros(4))


class OfAClass(Transforming):
    generators = ()

    def __init__(self):
        type(self).generators = random.Random(0), np.random.default_rng(0), np.random.RandomState(0), torch.Generator()

    def __getitem__(self, index):
        return _drawn(*self.generators)


class OfAnInstance(OfAClass):
    def __init__(self):
        self.generators = (torch.Generator(),)  # which nothing that the garbage collector knows holds

    def __getitem__(self, index):
        return torch.rand(4, generator=self.generators[0]).numpy()


class OfAClosure(Transforming):
    def __init__(self):
        generators = [random.Random(0), np.random.default_rng(0), np.random.RandomState(0), torch.Generator()]
        self.transforms = [lambda item: item + _drawn(*generators)]


class OfAnotherModule(Transforming):
    def __init__(self):
        helper = ModuleType("helper")
        helper.generators = random.Random(0), np.random.default_rng(0), np.random.RandomState(0), torch.Generator()
        helper.draw = lambda item: item + _drawn(*helper.generators)
        self.transforms = [helper.draw]


def _drawn(python, numpy, old, of_torch):
    return python.random() + numpy.random(4) + old.rand(4) + torch.rand(4, generator=of_torch).numpy()


DATA = {
    "module": lambda: _new_module().Drawing(),
    "wrapped": lambda: Subset(_new_module().Drawing(), range(8)),
    "loader": lambda: DataLoader(_new_module().Drawing()),
    "transform": Transforming,
    "class": OfAClass,
    "instance": OfAnInstance,
    "closure": OfAClosure,
    "other module": OfAnotherModule,
}


@pytest.mark.parametrize("read", [audit, dataset_identity], ids=["audit", "identity"])
@pytest.mark.parametrize("make", DATA.values(), ids=DATA)
def test_every_generator_is_restored_wherever_the_data_keep_it(read, make):
    data = make()
    dataset = getattr(data, "dataset", data)
    with preserved_random_state(*find_all_generators()):
        expected = dataset[0].tolist()
        assert dataset[0].tolist() != expected
    read(data)
    assert dataset[0].tolist() == expected
