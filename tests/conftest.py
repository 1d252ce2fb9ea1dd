"""Properties are checked without a deadline: how long an example takes says nothing on a busy machine."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None, print_blob=True)
settings.load_profile("untimed")


@pytest.fixture
def older_objects_hidden() -> Iterator[None]:
    """Hide objects that are older than the test from the search for random generators, which would visit half a million of them.

    Reading data searches; most tests do not check what is found. Generators that a test makes are found as ever.
    """
    gc.freeze()
    yield
    gc.unfreeze()
