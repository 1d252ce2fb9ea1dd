import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from ganwatch.audit import audit, dataset_identity
from ganwatch.randomness import preserved_random_state

NUMPY, PYTHON, TORCH = np.random.default_rng(0), random.Random(0), torch.Generator()


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


class Drawing(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return NUMPY.random(4) + PYTHON.random() + torch.rand(4, generator=TORCH).numpy()


class Transforming(torch.utils.data.Dataset):
    """As if written in another module than its transform."""

    __module__ = "elsewhere"

    def __init__(self):
        self.transforms = [lambda item: item + NUMPY.random(4)]

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.transforms[0](np.zeros(4))


DATA = {"itself": Drawing(), "wrapped": Subset(Drawing(), range(8)), "loader": DataLoader(Drawing()), "transform": Transforming()}


@pytest.mark.parametrize("read", [audit, dataset_identity], ids=["audit", "identity"])
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_generators_at_the_top_of_a_module_are_put_back(read, data):
    before = NUMPY.bit_generator.state, PYTHON.getstate(), TORCH.get_state().tolist()
    read(data)
    assert (NUMPY.bit_generator.state, PYTHON.getstate(), TORCH.get_state().tolist()) == before


def test_a_seed_fixes_the_global_generators_inside():
    owner = Owner()
    drawn = []
    for _ in range(2):
        random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
        with preserved_random_state(seed=5):
            drawn.append(_draw(owner)[:3])
    assert drawn[0] == drawn[1]
