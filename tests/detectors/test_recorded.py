"""Real trainings, recorded once: what the detectors of today say about them.

The files are those of ``tests/benchmarks/detection_table.py run --seeds 0``; the truth beside the readings is a digit classifier's.
"""

from pathlib import Path

import pytest

from ganwatch.presets import default_detectors
from ganwatch.records import Readings
from ganwatch.replay import load_recording, replay
from ganwatch.trainer.faults import FAULTS

RECORDED = Path(__file__).parents[1] / "recorded"
HEALTHY = ("least-squares", "wgan-gp")


@pytest.mark.parametrize("fault", FAULTS)
def test_the_right_code_explains_a_real_failure(fault):
    readings, facts = load_recording(RECORDED / f"{fault}-0.npz")
    roots = [incident for incident in replay(readings, default_detectors()) if incident.cause is None]
    assert [incident.code for incident in roots] == [FAULTS[fault].code]
    assert facts["truth"][-1][1] < 9


@pytest.mark.parametrize("loss", HEALTHY)
def test_a_healthy_run_is_left_alone(loss):
    readings, facts = load_recording(RECORDED / f"{loss}-0.npz")
    assert replay(readings, default_detectors()) == []
    assert facts["truth"][-1][1] == 10


@pytest.mark.parametrize("factor", [0.01, 100.0])
@pytest.mark.parametrize("case", [*FAULTS, *HEALTHY])
def test_the_scale_of_a_loss_changes_no_incident(case, factor):
    scaled = ("loss/", "grad_norm/", "layer_grad_norm/", "output_slope/")
    seen, _ = load_recording(RECORDED / f"{case}-0.npz")
    readings = list(seen)
    other = [Readings(r.step, {k: v * factor if k.startswith(scaled) else v for k, v in r.values.items()}) for r in readings]

    def key(incidents):
        return [(i.id, i.onset, i.fired, i.resolved, i.cause) for i in incidents]

    assert key(replay(other, default_detectors())) == key(replay(readings, default_detectors()))


def test_a_live_run_and_its_replay_agree():
    readings, facts = load_recording(RECORDED / "mode-collapse-0.npz")
    live = [(i["code"], i["opened"], i["onset"], i["resolved"]) for i in facts["summary"]["incidents"]]
    assert live == [(i.code, i.opened, i.onset, i.resolved) for i in replay(readings, default_detectors())]


def test_evidence_is_a_reading_and_its_bound():
    readings, _ = load_recording(RECORDED / "range-mismatch-0.npz")
    seen = list(readings)
    incident = next(i for i in replay(seen, default_detectors()) if i.code == "GW501")
    assert incident.evidence.value in [r.get(incident.evidence.signal) for r in seen]
    assert incident.evidence.value == 255.0 > incident.evidence.threshold > 7.0
