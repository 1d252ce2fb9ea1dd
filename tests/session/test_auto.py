"""``auto`` finds the networks that a library's ``fit`` creates before its first step, and only those that it trains."""

import copy
import logging
import re

import pytest
import torch
from torch import nn
from torch.optim import optimizer as hooks
from torch.utils.data import DataLoader, TensorDataset

import ganwatch
from ganwatch.core.errors import UserError
from ganwatch.core.signals import find_signal
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink


class Generator(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6))


class Discriminator(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))


class Model:
    """A model of a package: it creates networks in ``fit`` and calls them in ways that no module hook sees."""

    def __init__(self, pairs=1):
        self.pairs = pairs

    def networks(self):
        return [Generator() for _ in range(self.pairs)], [Discriminator() for _ in range(self.pairs)]

    def fit(self, steps=12, watch=lambda g, d: None):
        data = DataLoader(TensorDataset(torch.randn(256, 6)), 8, shuffle=True)
        gs, ds = self.networks()
        averaged = copy.deepcopy(gs[0])
        averaged(torch.zeros(2, 4))
        of_g, of_d = ([torch.optim.Adam(net.parameters()) for net in nets] for nets in (gs, ds))
        watch(gs, ds)
        for _, (real,) in zip(range(steps), data, strict=False):
            for g, d, step_g, step_d in zip(gs, ds, of_g, of_d, strict=True):
                fake = g.forward(torch.randn(8, 4))
                step_d.zero_grad()
                (d.forward(fake.detach()).mean() - d.forward(real).mean()).backward()
                step_d.step()
                step_g.zero_grad()
                (-d.forward(fake).mean()).backward()
                step_g.step()
            with torch.no_grad():
                averaged[0].weight.lerp_(gs[0][0].weight, 0.1)
                averaged(torch.zeros(2, 4))
        self.end = [value for net in [*gs, *ds, averaged] for value in net.state_dict().values()] + [torch.get_rng_state()]
        return self


def always():
    probes = default_probes()
    for probe in probes:
        probe.every = 1
    return probes


def observed(sink):
    passing = {"resources", "observer"}  # another in every run
    return [{name: value for name, value in reading.values.items() if find_signal(name).group not in passing} for reading in sink.steps]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("pairs", [1, 2])
def test_it_reads_what_a_watch_on_the_same_networks_reads_from_the_first_step_on(pairs):
    alone, told, found = Model(pairs).fit(), MemorySink(), MemorySink()
    watches = []
    torch.manual_seed(0)
    Model(pairs).fit(
        watch=lambda g, d: watches.append(ganwatch.watch(g, d, store=None, sinks=[told], probes=always(), audit_seconds=0.0))
    )
    watches[0].close()
    torch.manual_seed(0)
    with ganwatch.auto(store=None, sinks=[found], probes=always(), audit_seconds=0.0) as watching:
        model = Model(pairs).fit()
    assert all(map(torch.equal, alone.end, model.end))
    assert len(found.steps) == 12
    assert "d_auc" in found.steps[0].values
    assert observed(found) == observed(told)
    assert len(watching.watching.networks()) == 2 * pairs
    assert watching.observer.guard.errors == {}


def test_a_second_fit_is_a_second_run_and_nothing_is_left_behind():
    before = [dict(hooks._global_optimizer_pre_hooks), dict(hooks._global_optimizer_post_hooks), torch.optim.Optimizer.__init__]
    sink = MemorySink()
    with ganwatch.auto(store=None, sinks=[sink], audit_seconds=0.0):
        Model().fit(steps=0)  # ends before it begins: no run, and its networks have no part in the next one
        Model().fit(steps=5)
        model = Model(2).fit(steps=3)
        assert not sink.closed
    assert len({run.id for run in sink.runs}) == len(sink.runs) == 2
    assert [reading.step for reading in sink.steps] == [*range(1, 6), *range(1, 4)]
    assert [len(run.provenance["networks"]["g"]) for run in sink.runs] == [1, 2]
    assert sink.closed
    assert model.pairs == 2
    assert [dict(hooks._global_optimizer_pre_hooks), dict(hooks._global_optimizer_post_hooks), torch.optim.Optimizer.__init__] == before
    assert not hasattr(Generator.forward, "__wrapped__")


def test_optimizers_that_are_there_already_count_until_others_come():
    old = Generator(), Discriminator()
    kept = [torch.optim.SGD(net.parameters(), lr=0.1) for net in old]
    with ganwatch.auto(store=None, audit_seconds=0.0) as watching:
        assert [*map(id, watching.watching.networks())] == [*map(id, old)]
        Model().fit(steps=2)
        assert not {*map(id, watching.watching.networks())} & {*map(id, old)}
        assert watching.observer.steps == 2
    assert kept


def test_missing_networks_are_reported_once_with_the_existing_classes(caplog, capsys):
    with ganwatch.auto(G="Generator", D=["Critic", "Judge"], store=None) as watching:
        Model().fit(steps=24)
        assert not caplog.records
        Model().fit(steps=2)
        text = watching.status()
    [record] = caplog.records
    for said in (record.getMessage(), text, capsys.readouterr().out):
        assert "G: found of class Generator; D: no network of class Critic or Judge" in said
        assert re.search("in an optimizer: .*Discriminator, .*Generator", said)


def test_an_error_of_auto_is_logged_and_training_goes_on(caplog):
    class Tied(Model):
        def networks(self):
            [g], [d] = super().networks()
            d[2].bias = nn.Parameter(torch.zeros(1))
            g.shared = d[0].bias
            return [g], [d]

    alone = Tied().fit()
    torch.manual_seed(0)
    with ganwatch.auto(store=None):
        model = Tied().fit()
    assert all(map(torch.equal, alone.end, model.end))
    assert [record.exc_info[0] for record in caplog.records if record.levelno == logging.ERROR] == [UserError]


def test_a_report_during_the_hooks_of_torch_disturbs_no_other_hook():
    ran = []
    with ganwatch.auto(store=None, audit_seconds=0.0), ganwatch.auto(store=None, audit_seconds=0.0):
        handle = hooks.register_optimizer_step_post_hook(lambda *_: ran.append(1))
        Model().fit(steps=30)
        handle.remove()
    assert len(ran) == 60


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"G": 3}, "G must be the name of a class or several, got 3"),
        ({"D": []}, r"D must be the name of a class or several, got \[\]"),
        ({"D": "Generator"}, "D must be other classes than G, got 'Generator' in both"),
        ({"stor": None}, "options must be those of watch, got .*'stor'"),
        ({"sinks": [1]}, r"sinks\[0\] must be an instance of Sink"),
        ({"audit_seconds": -1}, "audit_seconds must be"),
    ],
)
def test_bad_input_is_named_before_the_training(how, message):
    with pytest.raises(UserError, match=message):
        ganwatch.auto(**{"store": None} | how)


def test_disabled_is_nothing_at_all(monkeypatch):
    monkeypatch.setenv("GANWATCH_DISABLED", "1")
    with ganwatch.auto() as watching:
        Model().fit(steps=1)
        watching.status()
    assert not hasattr(torch.optim.Optimizer.__init__, "__wrapped__")
