"""Random state is restored after a block that draws, in the global generators and in those of objects."""

import random

import numpy as np
import pytest
import torch

from ganwatch.isolation.random_state import preserved_random_state


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


def test_every_generator_is_restored_even_after_an_error():
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


def test_a_generator_that_refuses_its_state_is_ignored():
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
