"""Every injection changes nothing before its step, something from there on, and leaves no trace."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader, TensorDataset, dataloader

from ganwatch.capture.taps import optimizer_steps
from ganwatch.core.errors import UserError
from ganwatch.drill import inject, injections
from ganwatch.drill.causes.rates import Rates

pytestmark = pytest.mark.xdist_group("injections")  # one worker builds what they share

LABELS = {
    "mode-collapse", "mode-dropping", "memorisation", "discriminator-domination", "generator-domination", "discriminator-overfitting",
    "vanishing-gradient", "exploding-gradient", "non-finite", "oscillation", "stall", "range-mismatch", "latent-fault",
}  # fmt: skip
EVERY = injections()
STEP, STEPS = 6, 12
DECAY = 0.9


def content(tensors):
    return [tensor.detach().numpy().tobytes() for tensor in tensors]


def settings(optimizer):
    return {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}


def train(drilled=lambda g, d: nullcontext(), seen=lambda role, optimizer: None):
    """Train a loop as people write it; return weights, buffers and random state after each step, and the delivered batches."""
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(64, 2) * 2.0 - 1.0, torch.arange(64) % 4)
    g = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    d = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    own = {"g": torch.optim.Adam(g.parameters(), lr=1e-2, betas=(0.5, 0.999)), "d": torch.optim.SGD(d.parameters(), lr=1e-2, momentum=0.5)}
    schedules = [ExponentialLR(optimizer, DECAY) for optimizer in own.values()]
    run = SimpleNamespace(states=[], delivered=[])
    with drilled(g, d) as run.drill:
        note = lambda optimizer, *_: seen("g" if optimizer is own["g"] else "d", optimizer)
        optimizer_steps.add_listener(after=note)
        while len(run.states) < STEPS:
            for real, label in DataLoader(data, batch_size=16, shuffle=True):
                own["d"].zero_grad()
                fake = g(torch.randn(16, 3)).detach()
                (nn.functional.softplus(d(fake)) + nn.functional.softplus(-d(real))).mean().backward()
                own["d"].step()
                own["g"].zero_grad()
                nn.functional.softplus(-d(g(torch.randn(16, 3)))).mean().backward()
                own["g"].step()
                for schedule in schedules:
                    schedule.step()
                run.states.append(content([*g.state_dict().values(), *d.state_dict().values(), torch.get_rng_state()]))
                run.delivered.append(content([real, label]))
        optimizer_steps.remove_listener(after=note)
    run.data, run.settings = content(data.tensors), [settings(optimizer) for optimizer in own.values()]
    return run


def traces():
    hooks = (optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks, modules._global_forward_pre_hooks)
    return [dict(of) for of in hooks], dataloader._BaseDataLoaderIter.__next__, torch.autograd.backward


@pytest.fixture(scope="module")
def alone():
    return train()


@pytest.mark.parametrize("name", EVERY)
def test_every_injection_acts_from_its_step_on_and_leaves_nothing_behind(name, alone):
    before = traces()
    first, again = (train(lambda g, d: inject(name, G=g, D=d, step=STEP)) for _ in range(2))
    assert first.states[: STEP - 1] == alone.states[: STEP - 1]
    assert first.delivered[: STEP - 1] == alone.delivered[: STEP - 1]
    assert first.states[STEP] != alone.states[STEP]
    assert first.drill.injected_at == STEP
    assert first.states == again.states  # nothing of it is left to chance
    assert first.states[-1][-1] == alone.states[-1][-1]  # it draws no random numbers
    assert traces() == before
    assert first.settings == alone.settings  # what the schedulers alone would have made of them
    assert first.data == alone.data


@pytest.mark.parametrize("name", [name for name, cls in EVERY.items() if issubclass(cls, Rates)])
def test_rates_hold_under_a_scheduler_and_can_be_seen_by_whoever_watches(name):
    rates = {"g": [], "d": []}
    note = lambda role, optimizer: rates[role].append(optimizer.param_groups[0]["lr"])
    train(lambda g, d: inject(name, G=g, D=d, step=STEP), note)
    for role, factor in EVERY[name]().factors.items():
        planned = [1e-2 * DECAY**step for step in range(STEPS)]
        assert rates[role] == pytest.approx(planned[: STEP - 1] + [rate * factor for rate in planned[STEP - 1 :]])


@pytest.mark.parametrize("name", EVERY)
def test_every_injection_says_what_it_is(name):
    cls = EVERY[name]
    assert cls.label in LABELS
    assert cls.codes
    assert all(code.startswith("GW") and code[2:].isdigit() for code in cls.codes)
    assert cls.__doc__
    assert cls.cause == cls.cause.strip(" .")


def test_an_error_ends_the_drill_and_not_the_training(alone, monkeypatch, caplog):
    monkeypatch.setattr(EVERY["stall"], "settings", lambda *_: 1 / 0)
    run = train(lambda g, d: inject("stall", G=g, D=d, step=STEP))
    assert run.states == alone.states
    assert run.drill.injected_at is None
    assert "drill: stall failed" in caplog.text


def test_nothing_is_broken_where_ganwatch_is_turned_off(alone, monkeypatch):
    monkeypatch.setenv("GANWATCH_DISABLED", "1")
    run = train(lambda g, d: inject("stall", G=g, D=d, step=STEP))
    assert run.states == alone.states
    assert run.drill.injected_at is None


def test_a_step_that_fails_keeps_no_setting():
    g, d = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizer = torch.optim.SGD(g.parameters(), lr=0.1)

    def closure():
        raise ArithmeticError

    with inject("stall", G=g, D=d, step=1):
        for _ in range(2):
            g(torch.ones(1, 2)).sum().backward()
            with pytest.raises(ArithmeticError):
                optimizer.step(closure)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_several_networks_of_one_role():
    first, second, d = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    before = second.weight.detach().clone()
    with inject("constant-latents", G=[first, second], D=d, step=1) as drill:
        made = second(torch.randn(4, 2))
    assert torch.equal(made, made[:1].expand(4, 2))
    assert drill.injected_at == 1
    with inject("stall", G=[first, second], D=d, step=1):
        d(second(torch.ones(1, 2))).sum().backward()
        optimizer.step()
    assert torch.equal(second.weight, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "boredom"}, "failure must be one of .*stall.*, got 'boredom'"),
        ({"step": 0}, r"step must be an integer >= 1 \(steps of the generator\), got 0"),
        ({"g": -1.0}, "g of mode-collapse must be a finite number >= 0, got -1.0"),
        ({"speed": 2}, "mode-collapse takes g, d, got speed=2"),
        ({"name": "stall", "D": "critic"}, "D must be a torch.nn.Module, got str"),
        ({"G": nn.ReLU()}, "G.*parameters"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        inject(**{"name": "mode-collapse", "G": nn.Linear(2, 2), "D": nn.Linear(2, 1)} | arguments)
    assert not optimizers._global_optimizer_pre_hooks
