"""Fresh data are checked between epochs, and the training stays the same."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

import ganwatch
from ganwatch.core.errors import UserError
from ganwatch.data.bundled import draw_ring
from ganwatch.drift.record import recorded_checks
from ganwatch.sinks.memory import MemorySink
from ganwatch.store import queries
from ganwatch.store.database import open_store
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit

POINTS = draw_ring(1000, 5)[0].numpy()


def trained(*callbacks: lightning.Callback, steps: int = 6) -> dict[str, torch.Tensor]:
    """Train for three epochs of two steps; return weights and random state."""
    lightning.seed_everything(3, verbose=False)
    model = GAN(shape=(2,), width=8)
    fit(model, GANData("ring", samples=128), steps=steps, seed=3, callbacks=callbacks, threads=1)
    return {name: value.clone() for name, value in model.state_dict().items()} | {"random": torch.get_rng_state()}


def test_drift_is_logged_and_recorded_and_the_training_is_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    days = iter([POINTS[500:], POINTS[500:] + np.float32(0.4)])
    sink = MemorySink()
    watch = ganwatch.GanWatch(store=tmp_path / "runs", sinks=[sink])

    def today() -> np.ndarray:
        torch.rand(3)  # what gets the data may draw
        return next(days)

    drift = ganwatch.FreshDataDrift(POINTS[:500], today)
    with caplog.at_level(logging.WARNING, "ganwatch"):
        seen = trained(watch, drift)
    alone = trained()
    assert all(torch.equal(seen[name], alone[name]) for name in alone)
    assert [str(found.verdict) for found in drift.results] == ["unchanged", "world_moved"]
    assert [verdict["verdict"] for verdict in sink.drift_verdicts] == ["unchanged", "world_moved"]
    [warning] = [record.message for record in caplog.records if "moved away" in record.message]
    assert "most of all x" in warning
    assert "StopIteration" in caplog.text  # the third epoch has no data, which ends nothing
    with open_store(tmp_path / "runs", create=False) as store:
        [run] = queries.runs(store)
        assert [check.detail["verdict"] for check in recorded_checks(store, run.id)] == ["unchanged", "world_moved"]
        [incident] = queries.incidents(store, run.id)
        assert (incident.code, incident.onset) == ("GW402", 4)  # at the last step of the second epoch
        assert list(queries.series_names(store, run.id)).count("drift_score") == 1


def test_drift_after_the_last_epoch_is_an_incident_too(tmp_path: Path) -> None:
    drift = ganwatch.FreshDataDrift(POINTS[:500], POINTS[500:] + np.float32(0.4), every=3)
    trained(ganwatch.GanWatch(store=tmp_path / "runs"), drift)
    with open_store(tmp_path / "runs", create=False) as store:
        [run] = queries.runs(store)
        assert [incident.code for incident in queries.incidents(store, run.id)] == ["GW402"]


def test_it_checks_only_when_due_and_never_when_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = ganwatch.FreshDataDrift(POINTS[:500], POINTS[500:], every=2)
    trained(drift)
    assert len(drift.results) == 1
    monkeypatch.setenv("GANWATCH_DISABLED", "1")
    trained(drift)
    assert len(drift.results) == 1


def test_data_that_cannot_be_read_are_refused_before_the_first_step() -> None:
    with pytest.raises(UserError, match="fresh must be an existing path"):
        trained(ganwatch.FreshDataDrift(POINTS, "nowhere"))
    with pytest.raises(UserError, match="every must be >= 1, got 0"):
        ganwatch.FreshDataDrift(POINTS, POINTS, every=0)
    with pytest.raises(UserError, match=r"level must be in \(0, 1\), got 2"):
        ganwatch.FreshDataDrift(POINTS, POINTS, level=2)
