"""Readings of modules that do not know about ganwatch equal the values that the modules record themselves."""

import copy

import pytest
import torch
from sklearn.metrics import roc_auc_score

from ganwatch.core.probe import Probe
from ganwatch.core.signals import find_signal
from ganwatch.session.defaults import default_probes
from ganwatch.session.lightning import GanWatch
from ganwatch.sinks.memory import MemorySink

PASSING = {"resources", "observer"}
"""Groups of signals that differ in every run."""

pytestmark = pytest.mark.filterwarnings("ignore:.*nn.utils.spectral_norm.*:FutureWarning")  # people still use it


class Spy(Probe):
    name = "spy"
    signals = ()

    def __init__(self):
        self.seen = []

    def read(self, step):
        self.seen += [(call.network, call.origin, call.inputs[0].clone()) for call in step.calls]
        return {}


def by_step(noted):
    """Group entries by update of G: pairs of its entry and those of D before it."""
    steps, of_d = [], []
    for entry in noted:
        if entry["role"] == "d":
            of_d.append(entry)
        else:
            steps.append((entry, of_d))
            of_d = []
    return steps


def rows(batch):
    return {row.numpy().tobytes() for row in batch}


def always():
    """Return the default probes, due at every step."""
    probes = default_probes()
    for probe in probes:
        probe.every = 1
    return probes


def test_reported_equals_noted(style, train, make_digits):
    module, names = style
    sink, spy = MemorySink(), Spy()
    watch = GanWatch(**names, store=None, sinks=[sink], probes=[*always(), spy])
    train(module, watch)

    steps = by_step(module.noted)
    got = {reading.step: reading.values for reading in sink.steps}
    assert list(got) == list(range(1, len(steps) + 1))
    assert watch.observer.steps == len(steps) >= 20
    assert watch.observer.guard.errors == {}

    compared = 0
    for number, (of_g, of_d) in enumerate(steps, 1):
        values = got[number]
        pairs = [("g", of_g, of_g)] + ([("d", of_d[0], of_d[-1])] if of_d else [])
        for role, first, last in pairs:
            assert values[f"loss/{role}"] == pytest.approx(last["loss"], rel=1e-6)
            for kind in ("grad_norm", "grad_first_to_last", "weight_norm", "update_to_weight"):
                if f"{kind}/{role}" in values:
                    assert values[f"{kind}/{role}"] == pytest.approx(first[kind], rel=1e-4), (number, kind, role)
                    compared += 1
        assert values["updates_performed/g"] == 1
        assert values["updates_performed/d"] == len(of_d)
        assert values["learning_rate/g"] == 2e-3
        if of_d:
            assert values["learning_rate/d"] == 1e-2
            assert values["batch_size/real"] == values["batch_size/fake"] == 16
            real, fake = of_d[-1]["real"], of_d[-1]["fake"]
            assert values["d_auc"] == pytest.approx(roc_auc_score([1] * 16 + [0] * 16, real + fake), abs=1e-6)
            assert values["d_output/real"] == pytest.approx(sum(real) / 16, rel=1e-4, abs=1e-6)
            assert values["d_output/fake"] == pytest.approx(sum(fake) / 16, rel=1e-4, abs=1e-6)
    assert compared == 4 * (2 * len(steps) - (not steps[0][1]))

    data = rows(make_digits().tensors[0])
    kinds = {"real": 0, "fake": 0}
    for network, batch, inputs in spy.seen:
        if network == "d":
            kinds[batch] += 1
            assert {row in data for row in rows(inputs)} == {batch == "real"}
    assert min(kinds.values()) >= len(steps) - 1


def test_readings_at_sampled_steps_are_those_of_sampling_every_step(style, train):
    module, names = style
    begin, found = copy.deepcopy(module.state_dict()), []
    for probes in (default_probes(), always()):
        module.load_state_dict(begin)
        torch.manual_seed(0)
        sink = MemorySink()
        watch = GanWatch(**names, store=None, sinks=[sink], probes=probes, detectors=[])
        train(module, watch, batches=90)  # too few for single layers
        steady = lambda name: find_signal(name).group not in PASSING | {"activity", "online", "evaluation"}
        found.append({(r.step, name): value for r in sink.steps for name, value in r.values.items() if steady(name)})
    seldom, often = found
    assert {name for _, name in seldom} == {name for _, name in often if find_signal(name).group != "layers"}
    assert len(seldom) < len(often) / 5
    assert seldom.items() <= often.items()


def test_real_data_changed_on_the_way_is_unknown_and_never_taken_for_fake(rescaled, train, make_digits):
    sink, spy = MemorySink(), Spy()
    watch = GanWatch(store=None, sinks=[sink], probes=[*default_probes(), spy])
    train(rescaled, watch, data=make_digits(unit=True))
    data = rows(make_digits(unit=True).tensors[0] * 2 - 1)
    for network, batch, inputs in spy.seen:
        if network == "d":
            assert ((batch == "fake"), (batch in {"real", "unknown"})) == ((False, True) if rows(inputs) <= data else (True, False))
    assert watch.observer.guard.errors == {}


def test_a_network_in_evaluation_mode_or_frozen_counts_no_step(documented, train):
    sink = MemorySink()
    watch = GanWatch(store=None, sinks=[sink])

    class Freeze(type(documented)):
        def training_step(self, batch):
            with torch.no_grad():
                self.discriminator(self(torch.randn(16, 4)))

    documented.__class__ = Freeze
    train(documented, watch, batches=10)
    assert watch.observer.steps == 0
    assert sink.steps == []
