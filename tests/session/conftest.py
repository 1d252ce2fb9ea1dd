import os

import pytest

from ganwatch.checkpoints.read_back import describe_checkpoint


@pytest.fixture(autouse=True)
def _older_objects_hidden(older_objects_hidden: None) -> None:
    """``auto`` searches all living objects for networks, a check of data for random generators."""


@pytest.fixture
def read_back_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read checkpoints back in this process, and wait for no disk; ``tests/checkpoints`` has both."""

    class ReadBackHere:
        __call__ = staticmethod(describe_checkpoint)

        def close(self) -> None:
            pass

    monkeypatch.setattr("ganwatch.checkpoints.reader.ReadBack", ReadBackHere)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow on a busy disk
