import gc

import pytest


@pytest.fixture(autouse=True)
def nothing_left_of_others(request: pytest.FixtureRequest) -> None:
    """Networks and optimizers of earlier tests are gone: ``auto`` looks among everything that lives."""
    if request.path.stem in {"test_auto", "test_third_party"}:
        gc.collect()
