from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ganwatch.checkpoints.folder import CheckpointFolder
from ganwatch.checkpoints.manifest import Manifest
from ganwatch.core.checkpoints import CheckpointVerdict, Quality, SavedCheckpoint
from ganwatch.core.readings import Readings, Run
from ganwatch.models.registry import ModelRegistry
from ganwatch.sinks.sql import SqlSink
from ganwatch.store.checkpoints import append_checkpoint
from ganwatch.store.database import open_store

STEPS = (300, 600, 900)
GOOD = CheckpointVerdict(Quality.GOOD, "no incident up to step 1200")


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Path]:
    """Checkpoints of a run ``r`` in the store ``runs``, by step."""
    monkeypatch.chdir(tmp_path)
    sink = SqlSink("runs")
    sink.start(Run("r", "loop", provenance={"packages": {"torch": "2.13.0"}, "configuration": {"rate": 0.1}}))
    sink.readings([Readings(step, {"frechet": 900.0 / step, "frechet_error": 0.5, "reference": 1.0}) for step in (*STEPS, 1200)])
    sink.close()
    folder, found = CheckpointFolder(tmp_path / "saved"), {}
    with open_store("runs") as store:
        for step in STEPS:
            manifest = Manifest(step, {"G": step}, {}, run="r")
            found[step] = folder.write({"G": {"weight": torch.full((4,), float(step))}}, manifest)
            from ganwatch.checkpoints.read_back import describe_checkpoint

            facts = describe_checkpoint(found[step])
            append_checkpoint(store, "r", 1, SavedCheckpoint(str(found[step]), step, facts["sha256"], facts["size"], verdict=GOOD))
    return found


@pytest.fixture
def registry(saved: dict[int, Path]) -> Iterator[ModelRegistry]:  # the run is there
    with open_store("runs") as store:
        yield ModelRegistry(store)
