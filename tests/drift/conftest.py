"""Data on disk, and a store with a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganwatch.core.readings import Run
from ganwatch.data import batches
from ganwatch.store.database import open_store
from ganwatch.store.writer import Writer


@pytest.fixture(autouse=True)
def no_search_for_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here draws while it is read; the search through all objects of the process takes 0.5 s a time, and has tests of its own."""
    monkeypatch.setattr(batches, "find_all_generators", list)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes normal vectors of 5 columns to an .npy file; nothing is kept outside the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def save(name: str, mean: float = 0.0, count: int = 300, **array: np.ndarray) -> str:
        values = np.random.default_rng([len(name), *name.encode()]).normal(mean, size=(count, 5))
        path = tmp_path / f"{name}.npy"
        np.save(path, array.get("array", values))
        return str(path)

    return save


@pytest.fixture
def run(tmp_path: Path) -> str:
    """The id of a run in the store ``runs``."""
    with open_store(tmp_path / "runs") as store:
        writer = Writer(store, Run("0123456789ab", "mine", 1, 1_790_000_000.0, {}))
        writer.finish("finished")
        writer.flush()
    return "0123456789ab"
