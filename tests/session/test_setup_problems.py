"""Mistakes in the wiring are reported plainly, early, and without an error."""

import copy
import logging
import re

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganwatch
from ganwatch.capture.loop_facts import LoopFacts
from ganwatch.capture.step import Call
from ganwatch.core.errors import UserError
from ganwatch.sinks.memory import MemorySink


def networks(score=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6)), nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, score))


def train(g, d, *, of_g=None, of_d=None, steps=30, judge=lambda d, fake, real: (d(fake), d(real))):
    loader = DataLoader(TensorDataset(torch.randn(64, 6)), 8)
    of_g, of_d = of_g or sgd(g), of_d or sgd(d)
    for _ in range(steps):
        for (real,) in loader:
            of_d.zero_grad()
            fake = g(torch.randn(8, 4))
            on_fake, on_real = judge(d, fake.detach(), real)
            (on_fake.mean() - on_real.mean()).backward()
            of_d.step()
            of_g.zero_grad()
            (-d(fake).mean()).backward()
            of_g.step()
            break


def test_a_correct_loop_has_no_problems(caplog, capsys):
    g, d = networks()
    with ganwatch.watch(G=g, D=d, store=None, audit_seconds=0.0) as watching:
        train(g, d, of_g=(of_g := torch.optim.SGD(g.parameters(), lr=0.01)))
        text = watching.status()
    assert capsys.readouterr().out.strip() == text
    assert "step 30" in text
    assert "1 fake, 1 real" in text
    assert "loss family: hinge or Wasserstein" in text
    assert re.search("missing .*fake_shift: comes by step 41", text)
    assert f"optimizer of g: SGD, lr {of_g.param_groups[0]['lr']}" in text
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("swapped", "G and D look swapped"),
        ("not trained", "G was never updated in 50 optimizer steps"),
        ("a copy that nobody trains", "Another network, shaped like G, is trained while G is not"),
        ("one optimizer", "One optimizer steps parameters of G and of D"),
        ("auto-encoder", "D returns a reconstruction of its input"),
        ("unknown reals", r"Call watching.real\(batch\)"),
    ],
)
def test_a_wrong_set_up_is_reported_within_fifty_updates(wrong, said, caplog):
    g, d = networks(score=6 if wrong == "auto-encoder" else 1)
    how, given = {}, (g, d)
    if wrong == "swapped":
        given = (d, g)
    if wrong == "not trained":
        given = (nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 6)), d)
    if wrong == "a copy that nobody trains":
        given = (copy.deepcopy(g), d)
    if wrong == "one optimizer":
        how["of_g"] = how["of_d"] = torch.optim.SGD([*g.parameters(), *d.parameters()], lr=0.01)
    if wrong == "unknown reals":
        how["judge"] = lambda d, fake, real: d(torch.stack([fake, 2.0 * real], 1).flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
    with ganwatch.watch(*given, store=None, audit_seconds=0.0) as watching:
        train(g, d, steps=60, **how)
        assert sum(re.search(said, record.getMessage()) is not None for record in caplog.records) == 1
        assert wrong != "swapped" or sum(record.levelname == "WARNING" for record in caplog.records) == 1
        assert watching.observer.guard.errors == {}


class Wrapper(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


class KeepsZeros(torch.optim.SGD):
    def zero_grad(self, set_to_none=False):
        super().zero_grad(set_to_none=set_to_none)


def sgd(module, kind=torch.optim.SGD):
    return kind(module.parameters(), lr=0.01)


LATER = {
    "G made anew": (lambda g, d: {"g": networks()[0]}, "Another network, shaped like G, is trained while G is not"),
    "D made anew": (lambda g, d: {"d": networks()[1]}, "Another network, shaped like D, is trained while D is not"),
    "G copied, its optimizer kept": (lambda g, d: {"g": copy.deepcopy(g), "of_g": sgd(g)}, "optimizer of G steps, but G gets no gradient"),
    "D copied, its optimizer kept": (lambda g, d: {"d": copy.deepcopy(d), "of_d": sgd(d)}, "optimizer of D steps, but D gets no gradient"),
    "G copied, gradients of zero": (lambda g, d: {"g": copy.deepcopy(g), "of_g": zeros(g)}, "G is trained, but ganwatch sees no call"),
}


def zeros(module):
    optimizer = sgd(module, KeepsZeros)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return optimizer


@pytest.mark.parametrize("change", LATER)
def test_a_network_replaced_on_the_way_is_missed(change, caplog):
    g, d = networks()
    replace, said = LATER[change]
    with ganwatch.watch(g, d, store=None, audit_seconds=0.0) as watching:
        train(g, d, steps=40)
        assert not [record for record in caplog.records if record.levelname == "WARNING"]
        train(**{"g": g, "d": d} | replace(g, d), steps=50)
        assert sum(said in record.getMessage() for record in caplog.records) == 1
        assert said in watching.status()
        assert watching.observer.guard.errors == {}


def test_an_optimizer_of_both_that_comes_after_the_training_is_none_of_it(caplog):
    g, d = networks()
    with ganwatch.watch(g, d, store=None, audit_seconds=0.0):
        train(g, d, steps=45)
        both = torch.optim.SGD([*g.parameters(), *d.parameters()], lr=0.01)
        train(g, d, of_g=both, of_d=both, steps=15)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_memory_that_is_used_again_does_not_swap_the_networks():
    facts, memory = LoopFacts(), bytearray(32)
    for kept in (False, True):
        score = torch.frombuffer(memory, dtype=torch.float32)
        facts.add_discriminator_calls([], score)
        if not kept:
            del score
        facts.add_generator_call(Call("g", (torch.frombuffer(memory, dtype=torch.float32),), [], "latent", True, 1))
        assert facts.is_swapped == kept


def test_a_second_gan_of_the_same_shape_is_no_double(caplog):
    g, d = networks()
    with ganwatch.watch(g, d, store=None, audit_seconds=0.0) as watching:
        for _ in range(60):
            train(g, d, steps=1)
            train(*networks(), steps=1)
        assert watching.observer.loop_facts.steps == 240
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_discriminator_updated_every_second_step_is_seen_too():
    g, d = networks()
    of_g, of_d = sgd(g), sgd(d)
    loader = iter(DataLoader(TensorDataset(torch.randn(640, 6)), 8))
    with ganwatch.watch(g, d, store=None, audit_seconds=0.0) as watching:
        for step in range(62):
            if step % 2 == 0:
                of_d.zero_grad()
                (d(g(torch.randn(8, 4)).detach()).mean() - d(next(loader)[0]).mean()).backward()
                of_d.step()
            of_g.zero_grad()
            (-d(g(torch.randn(8, 4))).mean()).backward()
            of_g.step()
        assert {"d_auc", "pairwise_ratio"} <= watching.observer.latest.keys()


def test_another_watch_on_the_same_networks_takes_over_and_one_on_others_of_the_same_shape_stands_beside(caplog):
    g, d = networks()
    first = ganwatch.watch(g, d, store=None, audit_seconds=0.0)
    with ganwatch.watch(g, d, store=None, audit_seconds=0.0) as second:
        assert not first.observer.is_open
        train(g, d, steps=10)
        others = networks()
        with ganwatch.watch(*others, store=None, audit_seconds=0.0) as third:
            train(*others, steps=60)
        assert [watching.observer.steps for watching in (first, second, third)] == [0, 10, 60]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("role", ["G", "D"])
def test_networks_in_a_wrapper_that_is_never_called_are_watched(role, caplog):
    g, d = networks()
    given = {"G": g, "D": d} | {role: Wrapper(g if role == "G" else d)}
    with ganwatch.watch(**given, store=None, audit_seconds=0.0) as watching:
        train(g, d, steps=50)
        assert {"d_auc", "pairwise_ratio"} <= watching.observer.latest.keys()
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"G": 3}, "G must be a torch.nn.Module, got int"),
        ({"D": nn.ReLU()}, "D must have parameters, got ReLU without any"),
        ({"store": 4}, "store must be a folder"),
        ({"sinks": [1]}, r"sinks\[0\] must be an instance of Sink, got int 1"),
        ({"name": 4}, "name must be a string or None, got int"),
        ({"G": [nn.Linear(4, 6), 1]}, r"G\[1\] must be a torch.nn.Module, got int"),
        ({"G": []}, "G must be a network or several, got none"),
        ({"G": nn.Sequential(nn.LazyLinear(6))}, "G must have parameters .* run one batch through it first, got .* '0.weight'"),
        ({"real": 3}, "real must be a torch Dataset, .*, got int"),
        ({"real": []}, "real must hold at least one item, got an empty list"),
        ({"real": DataLoader([])}, "real must hold at least one item, got an empty list"),
        ({"real": "nowhere"}, "real must be an existing path, .*, got 'nowhere'"),
        ({"store": "a\0b"}, r"store must be .* without a NUL character, got 'a\\x00b'"),
    ],
)
def test_bad_input_is_named_before_anything_begins(how, message):
    g, d = networks()
    with pytest.raises(UserError, match=message):
        ganwatch.watch(**{"G": g, "D": d, "store": None} | how)
    with pytest.raises(UserError, match="D must be another network than G"):
        ganwatch.watch(g, g, store=None)


def test_networks_that_are_frozen_when_it_begins_are_watched():
    g, d = networks()
    for network in (g, d):
        network.requires_grad_(False)
    with ganwatch.watch(g, d, store=None, real=iter(()), audit_seconds=0.0) as watching:
        for network in (g, d):
            network.requires_grad_(True)
        train(g, d, steps=2)
    assert watching.observer.loop_facts.updates == {"g": 2, "d": 2}


def test_losses_of_the_store_are_reported(tmp_path, caplog):
    caplog.set_level(logging.INFO, "ganwatch")
    g, d = networks()

    def fail():
        raise OSError("no space left on device")

    with ganwatch.watch(g, d, store=tmp_path, audit_seconds=0.0) as watching:
        train(g, d, steps=2)
        [sink] = [sink for sink in watching.observer.sinks if sink.name == "sql"]
        assert "sink sql" not in watching.status()
        sink.sync()
        sink.sink.store.begin = fail
        train(g, d, steps=20)
        sink.sync()
        assert f"sink sql: {sink.failures} errors, lost: nothing" in watching.status()
    assert sink.dropped > 20
    assert caplog.messages[-1].endswith(f"; sink sql lost {sink.describe_losses()}")


def test_disabled_is_nothing_at_all(monkeypatch):
    monkeypatch.setenv("GANWATCH_DISABLED", "1")
    g, d = networks()
    with ganwatch.watch(g, d) as watching:
        watching.real(torch.zeros(2, 6))
        watching.log("fid", 1.0)
        watching.status()
    assert not hasattr(type(g).forward, "__wrapped__")


def outcome_of(change, rounds=60):
    """Train with a mistake from the start on; return the outcome that sinks get last."""
    g, d = networks()
    sink = MemorySink()
    with ganwatch.watch(g, d, store=None, sinks=[sink], audit_seconds=0.0):
        of_g, of_d = sgd(g), sgd(d)
        change(g)
        for _ in range(rounds):
            of_d.zero_grad()
            (d(g(torch.randn(8, 4)).detach()).mean() - d(torch.randn(8, 6)).mean()).backward()
            of_d.step()
            of_g.zero_grad()
            d(g(torch.randn(8, 4)).detach()).mean().backward()
            of_g.step()
    return sink.latest_outcome


def test_a_generator_without_gradients_is_told_why_and_the_record_keeps_it():
    [detached] = [problem for problem in outcome_of(lambda g: None).problems if "gets no gradient" in problem]
    assert "D gets its samples without their graph" in detached
    [frozen] = [problem for problem in outcome_of(lambda g: g.requires_grad_(False)).problems if "gets no gradient" in problem]
    assert "it is frozen" in frozen
