import pytest


@pytest.fixture(autouse=True)
def _older_objects_hidden(older_objects_hidden: None) -> None:
    """A check of data searches all living objects for random generators."""
