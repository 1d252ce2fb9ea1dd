"""Real trainings, recorded once, and the incidents of today's detectors on them.

``tests/benchmarks/record_demo.py`` writes the files. Their truth is that of a digit classifier.
"""

from pathlib import Path

import pytest

from ganwatch.core.readings import Readings
from ganwatch.core.replay import replay
from ganwatch.recordings import Recording, read_recordings
from ganwatch.session.defaults import default_detectors
from ganwatch.trainer.faults import FAULTS

RECORDED = Path(__file__).parents[1] / "recorded"
HEALTHY = ("least-squares", "wgan-gp")


def recorded(case: str) -> Recording:
    [recording] = read_recordings(RECORDED / f"{case}-0.parquet")
    return recording


@pytest.mark.parametrize("fault", FAULTS)
def test_the_right_code_explains_a_real_failure(fault):
    recording = recorded(fault)
    roots = [incident for incident in replay(recording.readings, default_detectors()) if incident.cause is None]
    assert [incident.code for incident in roots] == [FAULTS[fault].code]
    assert recording.facts["truth"][-1][1] < 9


@pytest.mark.parametrize("loss", HEALTHY)
def test_a_healthy_run_is_left_alone(loss):
    recording = recorded(loss)
    assert replay(recording.readings, default_detectors()) == []
    assert recording.facts["truth"][-1][1] == 10


@pytest.mark.parametrize("factor", [0.01, 100.0])
@pytest.mark.parametrize("case", [*FAULTS, *HEALTHY])
def test_the_scale_of_a_loss_changes_no_incident(case, factor):
    scaled = ("loss/", "grad_norm/", "layer_grad_norm/", "output_gradient/")
    readings = recorded(case).readings
    other = [Readings(r.step, {k: v * factor if k.startswith(scaled) else v for k, v in r.values.items()}) for r in readings]

    def key(incidents):
        return [(i.id, i.onset, i.fired, i.resolved, i.cause) for i in incidents]

    assert key(replay(other, default_detectors())) == key(replay(readings, default_detectors()))


def test_a_live_run_and_its_replay_agree():
    recording = recorded("mode-collapse")
    live = [(i["code"], i["opened"], i["onset"], i["resolved"]) for i in recording.facts["summary"]["incidents"]]
    assert live == [(i.code, i.opened, i.onset, i.resolved) for i in replay(recording.readings, default_detectors())]


def test_evidence_is_a_reading_and_its_bound():
    seen = recorded("range-mismatch").readings
    incident = next(i for i in replay(seen, default_detectors()) if i.code == "GW501")
    assert incident.evidence.value in [r.get(incident.evidence.signal) for r in seen]
    assert incident.evidence.value == 255.0 > incident.evidence.threshold > 7.0
