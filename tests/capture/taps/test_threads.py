"""Work of other threads during a training is no part of it."""

import threading

import torch
from torch import nn
from torch.optim import optimizer as hooks
from torch.utils.data import DataLoader, TensorDataset

import ganwatch
from ganwatch.sinks.memory import MemorySink


def networks():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4)), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def run_in_thread(action):
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def train(g, d, other_work=lambda: None, steps=40):
    g_optimizer, d_optimizer = torch.optim.SGD(g.parameters(), 0.01), torch.optim.SGD(d.parameters(), 0.01)
    losses = []
    batches = DataLoader(TensorDataset(torch.randn(16 * steps, 4, generator=torch.Generator().manual_seed(1))), 16)
    for (real,) in batches:
        fake = g(torch.randn(16, 3))
        loss = d(fake.detach()).mean() - d(real).mean()
        d_optimizer.zero_grad()
        run_in_thread(other_work)
        loss.backward()
        run_in_thread(other_work)
        d_optimizer.step()
        g_optimizer.zero_grad()
        loss = -d(fake).mean()
        loss.backward()
        run_in_thread(other_work)
        g_optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def read_run(run):
    g, d = networks()
    sink = MemorySink()
    with ganwatch.watch(G=g, D=d, store=None, sinks=[sink], audit_seconds=0.0) as watching:
        losses = run(g, d)
    assert watching.observer.guard.errors == {}
    assert sink.series("loss/g")[1] == losses
    return {reading.step: reading.values for reading in sink.steps}


def without_costs(readings):
    passing = ("observer", "process", "step_time", "data_time")
    return {step: {name: x for name, x in values.items() if not name.startswith(passing)} for step, values in readings.items()}


def test_training_another_network_and_generating_samples_leave_the_readings_as_they_are():
    third = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(third.parameters(), 0.01)
    inputs = torch.ones(5, 4)

    def run(g, d):
        def other_work():
            optimizer.zero_grad()
            (third(inputs).pow(2).mean() * 1000.0).backward()
            optimizer.step()
            with torch.no_grad():
                d(g(torch.ones(2, 3)))

        return train(g, d, other_work)

    assert without_costs(read_run(run)) == without_costs(read_run(train))


def test_a_training_in_a_thread_of_its_own_is_watched_from_its_first_update_of_d():
    losses = []

    def run(g, d):
        run_in_thread(lambda: losses.extend(train(g, d)))
        return losses

    readings = read_run(run)
    assert len(readings) == 40
    assert "d_auc" in readings[20]


def test_a_call_in_another_thread_does_not_hide_one_in_this(monkeypatch):
    g, d = networks()
    with ganwatch.watch(G=g, D=d, store=None, audit_seconds=0.0) as watching:
        inner = d[0].forward
        once = iter([True])

        def forward(x):
            if next(once, False):
                run_in_thread(lambda: d(x.detach()))  # both calls are going on at once
            return inner(x)

        monkeypatch.setattr(d[0], "forward", forward)
        train(g, d, steps=2)
        assert watching.observer.steps == 2


def test_watching_begins_and_ends_while_another_thread_steps():
    """Torch iterates over its own hooks meanwhile, which must not change then."""
    begun = ganwatch.watch(*networks(), store=None, audit_seconds=0.0)
    before = hooks._global_optimizer_pre_hooks.data, hooks._global_optimizer_post_hooks.data
    ran = []

    def begin_and_end(*_):
        ran.append(begun.close())
        run_in_thread(lambda: ganwatch.watch(*networks(), store=None, audit_seconds=0.0).close())

    add = hooks.register_optimizer_step_pre_hook, hooks.register_optimizer_step_post_hook
    handles = [register(hook) for hook in (begin_and_end, lambda *_: None) for register in add]
    train(*networks(), steps=1)
    for handle in handles:
        handle.remove()
    assert len(ran) == 4
    assert (hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks) == ({}, {})
    assert hooks._global_optimizer_pre_hooks is before[0]
    assert hooks._global_optimizer_post_hooks is before[1]
