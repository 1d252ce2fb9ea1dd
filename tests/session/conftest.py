import pytest


@pytest.fixture(autouse=True)
def _older_objects_hidden(older_objects_hidden: None) -> None:
    """``auto`` searches all living objects for networks, a check of data for random generators."""
