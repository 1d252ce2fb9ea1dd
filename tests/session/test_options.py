"""The user's options override the recognition, and none of them changes the training."""

import logging
import math
from urllib.request import urlopen

import pytest
import torch
from torch import nn

import ganwatch
from ganwatch.core.errors import UserError
from ganwatch.core.probe import Probe
from ganwatch.core.sink import Sink
from ganwatch.session.arguments import check_settings, parse_parts
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink
from ganwatch.sinks.prometheus import PrometheusSink
from ganwatch.store import queries
from ganwatch.store.database import open_store


class Calls(Probe):
    """Records the calls of D, with the origin of their batches."""

    name, signals = "calls", ()

    def __init__(self):
        self.seen = []

    def read(self, step):
        self.seen += [call for call in step.calls if call.network == "d" and call.index == step.index]
        return {}


def networks(outputs=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6)), nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, outputs))


def sgd(module):
    return torch.optim.SGD(module.parameters(), lr=0.01)


def make_one(g):
    return g(torch.randn(8, 4))


def same(x):
    return x


def train(g, d, *, steps=24, score=same, sample=same, each=lambda step: None, of_g=None, make=make_one):
    of_g, of_d = of_g or [sgd(g)], sgd(d)
    for step in range(1, steps + 1):
        fake, real = sample(make(g)), torch.randn(8, 6)
        of_d.zero_grad()
        (score(d(fake.detach())).sigmoid().mean() - score(d(real)).sigmoid().mean()).backward()
        of_d.step()
        for optimizer in of_g:
            optimizer.zero_grad()
            (-score(d(sample(make(g)))).sigmoid().mean()).backward()
            optimizer.step()
        each(step)


def watched(g, d, **options):
    sink = MemorySink()
    return sink, ganwatch.watch(g, d, **{"store": None, "audit_seconds": 0.0, "sinks": [sink]} | options)


def always():
    probes = default_probes()
    for probe in probes:
        probe.every = 1
    return probes


@pytest.mark.parametrize(("named", "counted"), [([0], 24), ([1], 24), ([0, 1], 48)])
def test_only_the_named_optimizers_count(named, counted, caplog):
    g, d = networks()
    of_g = [sgd(g), sgd(g)]
    sink, watching = watched(g, d, optimizers={"G": [of_g[i] for i in named]}, probes=always())
    with watching:
        train(g, d, of_g=of_g, steps=48)
    assert watching.observer.loop_facts.updates == {"g": 2 * counted, "d": 48}
    assert watching.observer.steps == 48
    assert {reading.values["updates_performed/g"] for reading in sink.steps[1:]} == {float(len(named))}
    assert not [record for record in caplog.records if "G" in record.getMessage() and record.levelname == "WARNING"]


class Heads(nn.Module):
    """D with several outputs, whose score is not the last with one channel."""

    def __init__(self, form):
        super().__init__()
        self.body, self.form = networks(outputs=3)[1], form

    def forward(self, x):
        out = self.body(x)
        score, other = out[:, :1], out[:, 1:2]
        return {"tuple": (score, other), "nest": {"heads": [other, {"own": score}], "aux": other}, "channels": out}[self.form]


LOGITS = {
    "index": ("tuple", 0, lambda output: output[0]),
    "path": ("nest", ("heads", 1, "own"), lambda output: output["heads"][1]["own"]),
    "channel": ("channels", 0, lambda output: output[:, :1]),
    "part": ("tuple", lambda output: output[0], lambda output: output[0]),
    "function": ("channels", lambda output: output[:, 0], lambda output: output[:, :1]),
}


@pytest.mark.parametrize("how", LOGITS)
def test_the_score_is_where_it_was_said_to_be(how):
    form, logits, score = LOGITS[how]
    g, d = networks()[0], Heads(form)
    calls = Calls()
    _, watching = watched(g, d, logits=logits, probes=[*always(), calls])
    with watching:
        train(g, d, score=score)
    assert watching.observer.guard.errors == {}
    judge = torch.cat([call.output.flatten() for call in calls.seen[:1]])
    d.load_state_dict(Heads(form).state_dict())
    assert torch.equal(judge, score(d(calls.seen[0].inputs[0])).detach().flatten())
    sloped = [call for call in calls.seen if call.output_grad is not None]
    assert (len(sloped) == len(calls.seen)) == (how != "function")  # what it computes is no part of the loop's own graph
    assert all(call.output_grad.shape == call.output.shape for call in sloped)


@pytest.mark.parametrize("logits", ["score", 5, (0, 1, 2), lambda output: output["score"], lambda output: "high"])
def test_a_score_that_is_not_there_is_said_once(logits, caplog):
    g, d = networks()[0], Heads("tuple")
    _, watching = watched(g, d, logits=logits)
    with watching:
        train(g, d, score=lambda output: output[0])
    assert watching.observer.steps == 24
    assert watching.observer.guard.errors["capture"] > 1
    assert sum("capture failed" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("said", [True, False])
def test_fakes_are_recognised_as_the_sample_that_d_is_shown(said):
    ends = []
    for watch in (True, False):
        g, d = networks()
        decoder = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)).eval()
        calls = Calls()
        if watch:
            _, watching = watched(g, d, probes=[calls], sample=decoder if said else None)
            with watching:
                train(g, d, sample=decoder)
            first = {call.origin for call in calls.seen if call.index == 1 and not call.in_g_phase}
            assert first == ({"fake", "real"} if said else {"unknown"})
            assert watching.observer.guard.errors == {}
        else:
            train(g, d, sample=decoder)
        ends.append([value for net in (g, d, decoder) for value in net.state_dict().values()] + [torch.get_rng_state()])
    assert all(map(torch.equal, *ends))


class Conditional(nn.Module):
    """Records its arguments."""

    def __init__(self):
        super().__init__()
        self.body, self.given = networks()[0], []

    def forward(self, z, noise, labels=None):
        self.given.append((z, noise, labels))
        return {"raw": self.body(z + noise)}


def test_the_gallery_is_drawn_from_what_was_given():
    g, d = Conditional(), networks()[1]
    latent, labels = (torch.randn(5, 4), torch.randn(5, 4)), torch.arange(5)
    kept = [x.clone() for x in (*latent, labels)]
    shown = lambda made: made["raw"].new_full((len(made["raw"]), 1, 2, 2), 7.0)
    sink, watching = watched(g, d, latent=latent, conditions=labels, sample=shown)
    latent[0].zero_()
    with watching:
        train(g, d, make=lambda g: g(torch.randn(8, 4), torch.randn(8, 4))["raw"], steps=3)
    [drawn] = [given for given in g.given if given[2] is not None]
    assert all(map(torch.equal, drawn, kept))
    [grid] = [image for image in sink.images if image.kind == "fixed"]
    assert grid.shape == (5, 2, 2, 1)
    assert set(grid.pixels) == {255}


def test_values_that_the_loop_logs_are_series_of_their_own(tmp_path, caplog):
    g, d = networks()
    running, prometheus = torch.zeros(()), PrometheusSink(detectors=[], linger=0.0)
    sink, watching = watched(g, d, store=tmp_path, name="own")

    def each(step):
        running.add_(1.0)
        watching.log("running", running)
        watching.log("my score/fid", math.nan if step == 2 else step / 2)
        watching.log("count", torch.tensor(step))

    with watching:
        watching.log("begin", 1)
        train(g, d, each=each)
        watching.log("end", 2)
    assert sink.series("logged/begin") == ([1], [1.0])
    assert sink.series("logged/end") == ([24], [2.0])
    later = list(range(2, 25))  # what is noted after a step belongs to the next one
    assert sink.series("logged/running") == (later, [step - 1.0 for step in later])
    assert [str(value) for value in sink.series("logged/my score/fid")[1][:3]] == ["0.5", "nan", "1.5"]
    assert sink.series("logged/count")[1][-1] == 23.0
    prometheus.readings(sink.steps)
    page = urlopen(f"http://127.0.0.1:{prometheus.port}/metrics").read().decode()
    prometheus.close()
    assert 'ganwatch_logged{name="my score/fid"} 11.5' in page
    with open_store(tmp_path, create=False) as store:
        [run] = queries.runs(store)
        assert queries.series(store, run.id, "logged/running")[1].tolist() == [step - 1.0 for step in later]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_values_that_cannot_be_logged_are_counted_and_reported_once(caplog):
    g, d = networks()
    sink, watching = watched(g, d)
    bad = [("x", torch.zeros(2)), ("x", "high"), ("x", None), ("", 1.0), (3, 1.0), ("x", 1j), ("x", torch.zeros((), dtype=torch.complex64))]
    with watching:
        for name, value in [*bad, ("a\nb", 1.0), ("x" * 101, 1.0), ("x", 10**400)]:
            watching.log(name, value)
        train(g, d)
    watching.log("late", 1.0)
    assert watching.observer.guard.errors == {"log": 10}
    [said] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "value of 'x' must be a float or a real 0-d tensor, got torch.float32 of shape (2,)" in str(said.exc_info[1])
    assert not any(name.startswith("logged") for reading in sink.steps for name in reading.values)


G, D = networks()
Z = torch.zeros(3, 4)
REFUSED = [
    ({"optimizers": [sgd(G)]}, "optimizers must be a mapping such as .*, got list"),
    ({"optimizers": {"g": sgd(G)}}, "optimizers must be a mapping such as .*, got keys 'g'"),
    ({"optimizers": {"G": 3}}, r"optimizers\['G'\] must be a torch.optim.Optimizer or a list of them, got int 3"),
    ({"optimizers": {"G": []}}, r"optimizers\['G'\] must be a torch.optim.Optimizer or a list of them, got an empty list"),
    ({"optimizers": {"D": [sgd(D), sgd(G)]}}, r"optimizers\['D'\] must have parameters of D, got SGD without any"),
    ({"logits": True}, "logits must be an index .*, got bool True"),
    ({"logits": ()}, r"logits must be an index .*, got tuple \(\)"),
    ({"logits": ("a", 1.0)}, "logits must be an index .*, got tuple"),
    ({"sample": 3}, "sample must be a callable .*, got int 3"),
    ({"latent": [1]}, "latent must be a tensor or a tuple of tensors, got int 1"),
    ({"latent": torch.zeros(())}, r"latent must have at least one sample along its first dimension, got shape \(\)"),
    ({"latent": torch.zeros(0, 4)}, r"latent must have at least one sample along its first dimension, got shape \(0, 4\)"),
    ({"latent": ()}, "latent and conditions must be equally many, got .. samples"),
    ({"latent": Z, "conditions": torch.zeros(2)}, r"latent and conditions must be equally many, got \[3, 2\] samples"),
    ({"latent": Z, "conditions": [1, 2, 3]}, "conditions must be a tensor, got list"),
    ({"conditions": Z}, "conditions must come with the latent"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_options_that_do_not_fit_are_refused_before_anything_starts(options, message):
    with pytest.raises(UserError, match=message):
        watched(G, D, **options)
    assert not hasattr(nn.Sequential.forward, "__wrapped__")


def test_parts_that_never_end_or_raise_are_refused():
    def endless():
        while True:
            yield MemorySink()

    def raising():
        yield MemorySink()
        raise RuntimeError("no\nmore")

    with pytest.raises(UserError, match="sinks must be at most 1,000 instances of Sink, got more"):
        parse_parts("sinks", endless(), Sink)
    with pytest.raises(UserError, match="sinks must be a sequence of Sink instances, got one that raises RuntimeError: no"):
        parse_parts("sinks", raising(), Sink)
    for seconds in (10**400, math.nan, -1, True, "1"):
        with pytest.raises(UserError, match="audit_seconds must be a finite number"):
            check_settings(store=None, prometheus_port=None, facts=None, audit_seconds=seconds)
