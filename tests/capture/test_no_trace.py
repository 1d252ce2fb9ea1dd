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
from ganwatch.core.guard import Guard


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 6)

    def forward(self, z):
        return self.inner(z)


class Subclass(Generator):
    pass


class RaisingGuard(Guard):
    def note(self, part, error, meaning=""):
        raise error


class Training:
    def __init__(self, generator=None, discriminator=None, probes=(), guard=None):
        self.g = generator or Generator()
        self.d = discriminator or nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 1))
        self.steps = []
        self.recorder = Recorder(
            {"g": self.g, "d": self.d},
            probes=probes,
            on_step=self.steps.append,
            guard=guard or RaisingGuard(),
            is_sampled=lambda index: True,
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
def training():
    training = Training()
    yield training
    training.recorder.close()


def hooks():
    return dict(optimizers._global_optimizer_pre_hooks), dict(optimizers._global_optimizer_post_hooks)


@pytest.mark.parametrize("generator", [Generator, Subclass])
def test_all_is_restored(generator):
    def state():
        classes = {cls: (cls.forward, "forward" in vars(cls)) for cls in (Generator, Subclass, nn.Sequential)}
        return classes, torch.autograd.backward, torch.autograd._engine_run_backward, hooks()

    before = state()
    g = generator()
    attributes = {part: set(vars(part)) for part in g.modules()}
    training = Training(g)
    training.batch()
    assert state() != before
    assert {part: set(vars(part)) for part in g.modules()} == attributes
    assert training.recorder.close()
    assert not training.recorder.close()
    assert state() == before
    training.batch()
    assert len(training.steps) == 1
    assert not any(p._backward_hooks or p._post_accumulate_grad_hooks for p in [*g.parameters(), *training.d.parameters()])


def test_a_class_stays_wrapped_until_its_last_instance_is_released():
    own = Generator.forward
    first, second = Training(), Training(Subclass())
    third = Training()
    for training in (first, third):
        training.recorder.close()
        second.batch()
        assert second.steps[-1].last_call("g", "latent") is not None
    second.recorder.close()
    assert Generator.forward is own
    assert "forward" not in vars(Subclass)


def test_a_forward_that_others_replaced_stays(monkeypatch):
    monkeypatch.setattr(Generator, "forward", Generator.forward)
    training = Training()
    other = lambda self, z: torch.zeros(len(z), 6)
    Generator.forward = other
    training.recorder.close()
    assert Generator.forward is other


def torch_saved(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), torch_saved])  # noqa: S301  # our own
def test_copies_work_and_are_not_watched(training, make_copy):
    training.batch()
    twin = make_copy(training.g)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    calls = training.recorder.loop_facts.calls["g"]
    z = torch.randn(2, 4)
    sample = twin(z)
    assert not torch.equal(sample, training.g.inner(z))
    assert training.recorder.loop_facts.calls["g"] == calls > 0
    origins = [training.recorder.batch_origin.identify(x.detach())[0][0] for x in (sample, training.g(z))]
    assert origins == ["unknown", "fake"]
    training.recorder.close()
    assert torch.equal(twin(z), twin.inner(z))


def test_a_module_is_watched_once(training):
    with pytest.raises(ValueError, match="module must not be watched twice, got Generator"):
        forward_calls.watch(training.g, print)


def test_no_graph_is_kept_alive(training):
    for _ in range(3):
        fake = training.batch()
        in_graph = Generator()
        fake.register_hook(in_graph)
        alive = weakref.ref(in_graph)
        del in_graph
        gc.collect()
        assert alive() is not None
        del fake
        gc.collect()
        assert alive() is None


def test_a_long_phase_of_the_critic_alone_takes_no_more_memory(training):
    def tensors_after_updates(times):
        for _ in range(times):
            loss = training.d(fake).mean() + training.d(torch.randn(5, 6)).mean()
            loss.backward()
        gc.collect()
        return sum(issubclass(type(value), torch.Tensor) for value in gc.get_objects())

    fake = training.batch().detach()
    before, later = tensors_after_updates(300), tensors_after_updates(200)
    assert later <= before


def test_a_long_phase_of_the_critic_alone_is_recorded_in_few_calls(training):
    fake = training.batch().detach()
    for _ in range(50):
        (training.d(fake).mean() + training.d(torch.randn(5, 6)).mean()).backward()
    training.g_phase(training.g(torch.randn(5, 4)))
    assert 2 <= len(training.steps[-1].calls) <= 8


def test_errors_in_forward_reach_the_loop_and_later_calls_are_recorded(training):
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        training.g(torch.randn(2, 3))
    training.batch()
    assert training.steps[-1].last_call("g", "latent") is not None


def test_backward_from_an_edge_of_the_graph_and_from_several_losses(training):
    first, second = (training.d(torch.randn(2, 6)).sum() for _ in range(2))
    torch.autograd.backward([first, second])
    torch.autograd.backward((torch.autograd.graph.get_gradient_edge(training.d(torch.randn(2, 6)).sum()),))
    torch.autograd.backward(training.d(torch.randn(2, 6)), grad_tensors=torch.ones(2, 1))
    training.optimizers["d"].step()
    training.g_phase(training.g(torch.randn(5, 4)))
    assert float(training.steps[-1].losses["d"]) == pytest.approx(float(first.detach() + second.detach()))


def test_an_error_in_a_hook_on_gradients_does_not_reach_the_loop(monkeypatch):
    from ganwatch.probes.gradients import GradientFlow

    probe, guard = GradientFlow(), Guard()
    probe.every = 1
    monkeypatch.setattr(loss_graph, "find_family", lambda *_: 1 / 0)
    training = Training(probes=[probe], guard=guard)
    try:
        training.batch()
    finally:
        training.recorder.close()
    assert guard.errors == {"capture": 3}
    assert len(training.steps) == 1


def test_a_call_without_a_graph_does_not_replace_one_that_trains(training):
    real = torch.randn(5, 6)
    training.recorder.on_real_batch(real, 0.0)
    trained = training.d(real)
    with torch.no_grad():
        for parameter in training.d.parameters():
            parameter.add_(1.0)
        training.d(real)
    training.batch()  # its own reals are another batch and come later
    assert not torch.equal(training.steps[-1].last_call("d", "real").output, trained)
    training.recorder.on_real_batch(real, 0.0)
    trained = training.d(real).detach()
    with torch.no_grad():
        for parameter in training.d.parameters():
            parameter.add_(1.0)
        training.d(real * 2.0)
        assert not torch.equal(training.d(real), trained)
    training.g_phase(training.g(torch.randn(5, 4)))
    assert torch.equal(training.steps[-1].last_call("d", "real").output, trained)


@pytest.mark.parametrize("shared", ["module", "parameter"])
def test_networks_must_not_share_parameters(shared):
    g = Generator()
    d = g if shared == "module" else nn.Sequential(g.inner)
    with pytest.raises(ValueError, match="generator and discriminator must not share parameters, got "):
        Training(g, d)
    assert hooks() == ({}, {})
    assert not hasattr(Generator.forward, "__wrapped__")


def test_calls_of_rare_d_updates_stay_for_the_steps_between(training):
    training.batch()
    first = training.steps[-1].last_call("d", "real")
    for number in range(24):
        (-training.d(training.g(torch.randn(5, 4))).mean()).backward()
        training.optimizers["g"].step()
        assert (training.steps[-1].last_call("d", "real") is first) == (number < 20)
        assert (training.steps[-1].counts["updates_performed/g"], training.steps[-1].counts["updates_performed/d"]) == (1, 0)
