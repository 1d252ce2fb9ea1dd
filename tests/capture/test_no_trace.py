"""A watched network is copied without ganwatch, and after ``close`` no trace of ganwatch is left."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.optim import optimizer as optimizers

from ganwatch.capture.recorder import Recorder
from ganwatch.capture.taps import forward_calls, loss_graph


class Maker(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 6)

    def forward(self, z):
        return self.inner(z)


class Heir(Maker):
    pass


def guard(part, action):
    return action()


class Watched:
    def __init__(self, generator=None, discriminator=None, probes=(), guard=guard):
        self.g = generator or Maker()
        self.d = discriminator or nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 1))
        self.steps = []
        self.recorder = Recorder(
            {"g": self.g, "d": self.d}, probes=probes, on_step=self.steps.append, guard=guard, is_sampled=lambda index: True
        )
        self.optimizers = {"g": torch.optim.SGD(self.g.parameters(), lr=0.1), "d": torch.optim.SGD(self.d.parameters(), lr=0.1)}

    def batch(self):
        """One update of each network; returns the generator's output."""
        real = torch.randn(5, 6)
        self.recorder.on_real_batch(real, 0.0)
        fake = self.g(torch.randn(5, 4))
        self.optimizers["d"].zero_grad()
        (self.d(fake.detach()).mean() - self.d(real).mean()).backward()
        self.optimizers["d"].step()
        self.g_phase(fake)
        return fake

    def g_phase(self, fake):
        """One update of the generator, which ends a step."""
        self.optimizers["g"].zero_grad()
        (-self.d(fake).mean()).backward()
        self.optimizers["g"].step()


@pytest.fixture
def watched():
    watched = Watched()
    yield watched
    watched.recorder.close()


def hooks():
    return dict(optimizers._global_optimizer_pre_hooks), dict(optimizers._global_optimizer_post_hooks)


@pytest.mark.parametrize("generator", [Maker, Heir])
def test_everything_is_as_before(generator):
    def state():
        classes = {cls: (cls.forward, "forward" in vars(cls)) for cls in (Maker, Heir, nn.Sequential)}
        return classes, torch.autograd.backward, torch.autograd._engine_run_backward, hooks()

    before = state()
    g = generator()
    attributes = {part: set(vars(part)) for part in g.modules()}
    watched = Watched(g)
    watched.batch()
    assert state() != before
    assert {part: set(vars(part)) for part in g.modules()} == attributes
    assert watched.recorder.close()
    assert not watched.recorder.close()
    assert state() == before
    watched.batch()
    assert len(watched.steps) == 1
    assert not any(p._backward_hooks or p._post_accumulate_grad_hooks for p in [*g.parameters(), *watched.d.parameters()])


def test_a_class_stays_wrapped_until_its_last_instance_is_let_go():
    own = Maker.forward
    first, second = Watched(), Watched(Heir())
    third = Watched()
    for watched in (first, third):
        watched.recorder.close()
        second.batch()
        assert second.steps[-1].last_call("g", "latent") is not None
    second.recorder.close()
    assert Maker.forward is own
    assert "forward" not in vars(Heir)


def test_a_forward_that_others_put_in_stays(monkeypatch):
    monkeypatch.setattr(Maker, "forward", Maker.forward)
    watched = Watched()
    theirs = lambda self, z: torch.zeros(len(z), 6)
    Maker.forward = theirs
    watched.recorder.close()
    assert Maker.forward is theirs


def torch_saved(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), torch_saved])  # noqa: S301  # our own
def test_copies_work_and_are_not_watched(watched, copied):
    watched.batch()
    twin = copied(watched.g)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    calls = watched.recorder.loop_facts.calls["g"]
    z = torch.randn(2, 4)
    assert not torch.equal(twin(z), watched.g.inner(z))
    assert watched.recorder.loop_facts.calls["g"] == calls > 0
    watched.recorder.close()
    assert torch.equal(twin(z), twin.inner(z))


def test_a_module_is_watched_once(watched):
    with pytest.raises(ValueError, match="module must not be watched twice, got Maker"):
        forward_calls.watch(watched.g, print)


def test_no_graph_is_kept_alive(watched):
    for _ in range(3):
        fake = watched.batch()
        in_graph = Maker()
        fake.register_hook(in_graph)
        alive = weakref.ref(in_graph)
        del in_graph
        gc.collect()
        assert alive() is not None
        del fake
        gc.collect()
        assert alive() is None


def test_a_long_phase_of_the_critic_alone_takes_no_more_memory(watched):
    def tensors_after_updates(times):
        for _ in range(times):
            loss = watched.d(fake).mean() + watched.d(torch.randn(5, 6)).mean()
            loss.backward()
        gc.collect()
        return sum(issubclass(type(value), torch.Tensor) for value in gc.get_objects())

    fake = watched.batch().detach()
    before, later = tensors_after_updates(300), tensors_after_updates(300)
    assert later <= before


def test_a_long_phase_of_the_critic_alone_is_recorded_in_few_calls(watched):
    fake = watched.batch().detach()
    for _ in range(50):
        (watched.d(fake).mean() + watched.d(torch.randn(5, 6)).mean()).backward()
    watched.g_phase(watched.g(torch.randn(5, 4)))
    assert 2 <= len(watched.steps[-1].calls) <= 8


def test_errors_in_forward_stay_the_loops_own_and_do_not_blind(watched):
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        watched.g(torch.randn(2, 3))
    watched.batch()
    assert watched.steps[-1].last_call("g", "latent") is not None


def test_backward_from_an_edge_of_the_graph_and_from_several_losses(watched):
    first, second = (watched.d(torch.randn(2, 6)).sum() for _ in range(2))
    torch.autograd.backward([first, second])
    torch.autograd.backward((torch.autograd.graph.get_gradient_edge(watched.d(torch.randn(2, 6)).sum()),))
    torch.autograd.backward(watched.d(torch.randn(2, 6)), grad_tensors=torch.ones(2, 1))
    watched.optimizers["d"].step()
    watched.g_phase(watched.g(torch.randn(5, 4)))
    assert float(watched.steps[-1].losses["d"]) == pytest.approx(float(first.detach() + second.detach()))


def test_an_error_in_a_hook_on_gradients_does_not_reach_the_loop(monkeypatch):
    from ganwatch.probes.gradients import GradientFlow

    failed = []

    def counting(part, action):
        try:
            return action()
        except ZeroDivisionError:
            failed.append(part)

    probe = GradientFlow()
    probe.every = 1
    monkeypatch.setattr(loss_graph, "find_family", lambda *_: 1 / 0)
    watched = Watched(probes=[probe], guard=counting)
    try:
        watched.batch()
    finally:
        watched.recorder.close()
    assert failed == ["capture"] * 3
    assert len(watched.steps) == 1


def test_a_call_without_a_graph_does_not_replace_one_that_trains(watched):
    real = torch.randn(5, 6)
    watched.recorder.on_real_batch(real, 0.0)
    trained = watched.d(real)
    with torch.no_grad():
        for parameter in watched.d.parameters():
            parameter.add_(1.0)
        watched.d(real)
    watched.batch()  # its own reals are another batch and come later
    assert not torch.equal(watched.steps[-1].last_call("d", "real").output, trained)
    watched.recorder.on_real_batch(real, 0.0)
    trained = watched.d(real).detach()
    with torch.no_grad():
        for parameter in watched.d.parameters():
            parameter.add_(1.0)
        watched.d(real * 2.0)
        assert not torch.equal(watched.d(real), trained)
    watched.g_phase(watched.g(torch.randn(5, 4)))
    assert torch.equal(watched.steps[-1].last_call("d", "real").output, trained)


@pytest.mark.parametrize("shared", ["module", "parameter"])
def test_networks_must_be_two(shared):
    g = Maker()
    d = g if shared == "module" else nn.Sequential(g.inner)
    with pytest.raises(ValueError, match="generator and discriminator must not share parameters, got "):
        Watched(g, d)
    assert hooks() == ({}, {})
    assert not hasattr(Maker.forward, "__wrapped__")


def test_updates_of_d_that_are_seldom_stand_for_the_steps_between(watched):
    watched.batch()
    first = watched.steps[-1].last_call("d", "real")
    for number in range(24):
        (-watched.d(watched.g(torch.randn(5, 4))).mean()).backward()
        watched.optimizers["g"].step()
        assert (watched.steps[-1].last_call("d", "real") is first) == (number < 20)
        assert watched.steps[-1].updates == {"g": 1}
