"""A real training with an injected collapse, watched by a real Prometheus."""

from __future__ import annotations

import lightning
import pytest

from ganwatch.core.detector import Detector
from ganwatch.core.discovery import discover
from ganwatch.trainer.demo import demo

LONGEST = 1500


class StopOnceNotified(lightning.Callback):
    """End the training when the receiver has been told, and note what was true before anything fired."""

    def __init__(self, rehearsal, alert: str) -> None:
        self.rehearsal, self.alert, self.healthy = rehearsal, alert, False

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if batch_idx % 10 == 0:
            self.healthy = self.healthy or bool(self.rehearsal.query('ganwatch_incident{code="GW101"} == 0'))
            trainer.should_stop = bool(self.rehearsal.notified(self.alert))


@pytest.mark.service
def test_the_collapse_of_a_real_training_pages_its_owner_once(rehearse):
    rehearsal = rehearse(discover("ganwatch.detectors", Detector))
    port = rehearsal.free_port()
    rehearsal.watch(port, model="digits")
    stop = StopOnceNotified(rehearsal, "GanwatchModeCollapse")
    watch, _ = demo("mode-collapse", seed=11, steps=LONGEST, store=None, progress=False, prometheus_port=port, callbacks=[stop], threads=1)

    [(receiver, alert)] = rehearsal.notified("GanwatchModeCollapse")
    assert stop.healthy
    assert receiver == "model-page"
    assert f"run {watch.observer.run.id}" in alert["annotations"]["description"]
    assert "GW101" in [incident.code for incident in watch.observer.incidents]
    rehearsal.until("the process is gone", lambda: rehearsal.query('up{job="ganwatch"} == 0'))
    assert rehearsal.query('last_over_time(ganwatch_run_state{state="finished"}[1h]) == 1')
    assert {alert["labels"]["owner"] for _, payload in rehearsal.notifications for alert in payload["alerts"]} == {"model"}
