"""Live trainings give the readings that they gave when these were recorded.

The tolerance is for processors of another kind, whose sums are rounded otherwise; ``live_loops.py compare --exact`` has none.
"""

import pytest
from live_loops import RUNS, differences, recorded


@pytest.fixture(scope="module")
def before():
    return recorded()


@pytest.mark.parametrize("name", RUNS)
def test_a_training_gives_the_same_readings(name, before):
    assert differences(before[name], RUNS[name](), relative=1e-3, absolute=1e-6) == []


def test_other_values_steps_and_series_are_noticed():
    run = {1: {"loss/g": 1.0}, 2: {"loss/g": float("nan")}}
    assert differences(run, run, relative=0.0, absolute=0.0) == []
    for other in ({1: {"loss/g": 1.0}}, run | {1: {"loss/g": 1.1}}, run | {1: {"loss/d": 1.0}}, run | {2: {"loss/g": 1.0}}):
        assert differences(run, other, relative=1e-3, absolute=1e-6)
