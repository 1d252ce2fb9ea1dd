"""Rules for every probe."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ganwatch.core.probe import Probe
from ganwatch.core.readings import Run
from ganwatch.core.signals import catalogue
from ganwatch.testing.rules import attempt, require

if TYPE_CHECKING:
    from torch import Tensor

OBSERVER_SIGNALS = {name for name, signal in catalogue().items() if signal.group == "observer"}
"""Signals about ganwatch itself."""


def check_probe(make: Callable[[], Probe]) -> None:
    """Watch a small training with one probe: its values are declared and in range, and it does not change the training.

    Parameters
    ----------
    make : callable
        A Probe class, or any function that returns a new probe.

    Raises
    ------
    AssertionError
        A rule is broken.

    Examples
    --------
    >>> from ganwatch.probes.losses import Losses
    >>> check_probe(Losses)
    """
    from ganwatch.capture.step import Step, StepView

    probe = make()
    who, signals = type(probe).__name__, catalogue()
    require(isinstance(probe.name, str) and probe.name != "", who, "name must be a text", probe.name)
    require(type(probe.every) is int and probe.every >= 1, who, "every must be a whole number >= 1 (steps)", probe.every)
    unknown = [name for name in probe.signals if name not in signals]
    require(not unknown, who, "signals must be families of the catalogue (add them by ganwatch.core.signals.register)", unknown)
    values = attempt(who, "read must take a step without calls and updates", probe.read, StepView(Step(probe.every)))
    require(isinstance(values, Mapping), who, "read must return a mapping, {} for a step without calls and updates", values)
    steps = 2 * probe.every + 1
    unwatched, _, _ = _train([], steps)
    watched, errors, readings = _train([probe], steps)
    require(not errors, who, "no method may raise in an ordinary training", errors)
    undeclared = [series for series, _ in readings if series.partition("/")[0] not in probe.signals]
    require(not undeclared, who, "read must return declared families only", undeclared)
    for series, value in readings:
        signal = signals[series.partition("/")[0]]
        fits = not math.isfinite(value) or signal.low <= value <= signal.high
        require(fits, who, f"a value must be in its signal's range {signal.low:g} to {signal.high:g}", (series, value))
        require(("/" in series) == bool(signal.label), who, "a series must have a label if its family has one, and only then", series)
    require(unwatched == watched, who, "weights and random state must be the same with and without the probe", "others")


def _train(probes: Sequence[Probe], steps: int) -> tuple[list[bytes], dict[str, int], list[tuple[str, float]]]:
    """Train a small GAN on 8x8 images. Return final weights and random state, errors of the probes, and every value that they read."""
    import torch
    from torch import nn

    from ganwatch.session.observer import Observer
    from ganwatch.sinks.memory import MemorySink

    def loss(logits: Tensor, target: float) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    sink = MemorySink()
    before = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random.seed(0)
        g = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
        d = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Flatten(), nn.Linear(36, 1))
        step_g, step_d = torch.optim.Adam(g.parameters(), 1e-3), torch.optim.Adam(d.parameters(), 1e-3)
        observer = Observer({"g": g, "d": d}, run=Run("check-probe", "check"), probes=probes, detectors=[], sinks=[sink])
        try:
            for _ in range(steps):
                real, fake = torch.rand(16, 1, 8, 8) * 2 - 1, g(torch.randn(16, 4))
                observer.on_real_batch(real, 0.0)
                step_d.zero_grad()
                torch.autograd.backward(loss(d(real), 1.0) + loss(d(fake.detach()), 0.0))
                step_d.step()
                step_g.zero_grad()
                torch.autograd.backward(loss(d(fake), 1.0))
                step_g.step()
        finally:
            observer.close()
        final = [value.numpy().tobytes() for network in (g, d) for value in network.state_dict().values()]
        final += [torch.random.get_rng_state().numpy().tobytes(), repr(random.getstate()).encode()]
    random.setstate(before)
    errors = {part: number for part, number in observer.guard.errors.items() if part.startswith("probe")}
    return final, errors, [item for one in sink.steps for item in one.values.items() if item[0] not in OBSERVER_SIGNALS]
