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


class Owner:
    def __init__(self):
        self.steps = [{"numpy": np.random.default_rng(0), "old": np.random.RandomState(0)}]
        self.torch, self.python, self.itself = torch.Generator(), random.Random(0), self


def _draw(owner):
    numpy = owner.steps[0]
    return [
        random.random(), np.random.rand(), torch.rand(()).item(), torch.rand((), generator=owner.torch).item(),  # noqa: NPY002
        owner.python.random(), numpy["numpy"].random(), numpy["old"].rand(),
    ]  # fmt: skip


def test_every_generator_is_put_back_even_after_an_error():
    owner = Owner()
    with preserved_random_state(owner):
        expected = _draw(owner)
    def fail():
        with preserved_random_state(owner, seed=5):
            _draw(owner)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert _draw(owner) == expected
    assert _draw(owner) != expected


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
def test_every_generator_is_put_back_wherever_the_data_keep_it(read, make):
    data = make()
    dataset = getattr(data, "dataset", data)
    with preserved_random_state(*find_all_generators()):
        expected = dataset[0].tolist()
        assert dataset[0].tolist() != expected
    read(data)
    assert dataset[0].tolist() == expected


def test_a_generator_without_a_state_is_left_alone():
    class Refusing(random.Random):
        def setstate(self, state):
            raise NotImplementedError

    kept = random.Random(0)
    with preserved_random_state(Refusing(0), random.SystemRandom(0), kept):
        expected = kept.random()
    assert kept.random() == expected


def test_a_seed_fixes_the_global_generators_inside():
    owner = Owner()
    drawn = []
    for _ in range(2):
        random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
        with preserved_random_state(seed=5):
            drawn.append(_draw(owner)[:3])
    assert drawn[0] == drawn[1]
