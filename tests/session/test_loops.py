"""Loops as people write them: the same bit for bit, steps and gradients counted right, real and fake never exchanged."""

import copy
import io
import pickle

import pytest
import torch
from loop_table import LOOPS
from network_loops import CompileLoop
from optimizer_loops import LongPhasesLoop
from plain_loop import STEPS, equal, final_state

import ganwatch
from ganwatch.capture.step import reduce_to_scores
from ganwatch.core.probe import Probe
from ganwatch.session.defaults import default_probes
from ganwatch.session.diagnostics import setup_problems
from ganwatch.sinks.memory import MemorySink

CROSS_ENTROPY = "binary cross-entropy on logits"
FAMILIES = {
    **dict.fromkeys(("bce", "softplus", "inverted"), CROSS_ENTROPY),
    "hinge": "hinge",
    "wasserstein": ("hinge or Wasserstein (no output beyond a margin yet)", "Wasserstein"),
    "least squares": "least squares, targets: real 1, fake 0, G 1",
    "relativistic": "relativistic, binary cross-entropy on logits",
}


class DiscriminatorBatches(Probe):
    """Collects every batch of the discriminator with its origin and its phase."""

    name, signals = "discriminator-batches", ()

    def __init__(self):
        self.batches, self.phases = [], set()

    def read(self, step):
        for call in step.calls:
            assert call.network == "g" or len(reduce_to_scores(call.output)) in {len(call.inputs[0]), len(call.inputs[0]) // 2}
        calls = [call for call in step.calls if call.network == "d" and call.index == step.index]
        self.batches += [(call.origin, call.inputs) for call in calls]
        self.phases |= {(call.origin, "G's phase" if call.in_g_phase else "D's phase") for call in calls}
        return {}


def probes_at_every_step():
    probes = default_probes()
    for probe in probes:
        probe.every = 1
    return probes


def expected_readings(events):
    """By step, from the loop's own account: the readings, and the number of updates of each network."""
    values, counts, readings, updates = {}, {"g": 0, "d": 0}, {}, {}
    for network, loss, norm, clipped in events:
        values[f"loss/{network}"] = loss
        if f"grad_norm/{network}" not in values:
            values[f"grad_norm/{network}"] = norm
            if clipped is not None:
                values[f"clipped_grad_norm/{network}"] = clipped
        counts[network[0]] += 1
        if network == "g":
            step = len(readings) + 1
            readings[step], updates[step] = values, counts
            values, counts = {}, {"g": 0, "d": 0}
    return readings, updates


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # the compiler's own
@pytest.mark.parametrize("name", LOOPS)
def test_loop(name):
    alone = LOOPS[name]()
    alone.run()
    loop, sink, discriminator = LOOPS[name](), MemorySink(), DiscriminatorBatches()
    networks = [loop.g, loop.d]
    forward = [type(network).forward for network in networks]
    probes = [*probes_at_every_step(), discriminator]
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], probes=probes, audit_seconds=0.0) as watching:
        loop.run()
    assert equal(final_state(alone), final_state(loop))
    assert watching.observer.guard.errors == {}
    readings = {reading.step: reading.values for reading in sink.steps}
    expected, updates = expected_readings(loop.events)
    assert watching.observer.steps == len(expected) == len(readings)
    for step, values in expected.items():
        families = {"loss", "grad_norm", "clipped_grad_norm"}
        own = {series: x for series, x in readings[step].items() if series.partition("/")[0] in families}
        assert own == pytest.approx(values, rel=1e-4), step
        assert {role: readings[step][f"updates_performed/{role}"] for role in "gd"} == updates[step], step

    reals = torch.cat(loop.d_reals).flatten(1) if loop.d_reals else alone.data * alone.brightness
    data = {row.numpy().tobytes() for row in reals}
    known = [(origin, loop.samples(inputs).float()) for origin, inputs in discriminator.batches if origin != "unknown"]
    for origin, x in known:
        assert {sample.numpy().tobytes() in data for sample in x.flatten(1)[:, : alone.data[0].numel()]} == {origin == "real"}, name
    assert {("real", "D's phase"), ("fake", "D's phase")} <= discriminator.phases
    assert any(phase == "G's phase" for _, phase in discriminator.phases)
    assert sum(origin == "real" for origin, _ in known) >= STEPS // 2
    assert {"d_auc", "pairwise_ratio"} <= watching.observer.latest.keys()

    assert setup_problems(watching.observer, watching.hints) == {}
    facts = watching.observer.loop_facts
    assert facts.updates["g"] - facts.auxiliary_updates["g"] == sum(network == "g" for network, *_ in loop.events)
    family = str(facts.loss_family())
    assert family.startswith(loop.family or FAMILIES[loop.loss])
    assert ("inverted" in family) == (loop.loss == "inverted")

    assert [type(network).forward for network in networks] == forward
    for network in loop.plain.values() if isinstance(loop, CompileLoop) else (loop.g, loop.d):
        copy.deepcopy(network), pickle.dumps(network), torch.save(network.state_dict(), io.BytesIO())


def test_phases_of_many_updates_are_compared_by_the_discriminators_latest_calls():
    loop, sink = LongPhasesLoop(), MemorySink()
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0) as watching:
        loop.run()
    assert watching.observer.guard.errors == {}
    assert [reading.step for reading in sink.steps if "d_auc" in reading.values] == [20, 41, 61, 81, 101]
    assert 91 in sink.series("grad_norm/d")[0]
