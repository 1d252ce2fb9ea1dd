"""``auto``: watches networks that a library's ``fit`` creates, found by class name once an optimizer has their parameters.

An optimizer has the parameters of a trained network but not those of its averaged copy. It gets them before the first step, however the
loop calls its networks.
"""

from __future__ import annotations

import atexit
import copy
import gc
import logging
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from torch import nn

from ganwatch.capture.taps import optimizer_creation, optimizer_steps
from ganwatch.core.clean_text import terminal_lines
from ganwatch.core.errors import UserError
from ganwatch.core.guard import Guard
from ganwatch.core.incidents import Incident
from ganwatch.core.outcome import Outcome
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink
from ganwatch.distributed.rank_detection import current_rank
from ganwatch.session.arguments import parse_parts
from ganwatch.session.diagnostics import STEPS_BEFORE_ADVICE
from ganwatch.session.disabled import DisabledWatch
from ganwatch.session.front_end import FrontEnd
from ganwatch.session.watch import Watch, watch

log = logging.getLogger("ganwatch")

T = TypeVar("T")


@dataclass(slots=True)
class _Candidate:
    network: nn.Module
    optimizer: weakref.ref[torch.optim.Optimizer]
    preexisting: bool
    """True if the optimizer is older than ``auto``; a later one takes precedence."""

    def is_current(self, *, preexisting: bool) -> bool:
        """Return True if the network belongs to the fit that is about to start."""
        return self.optimizer() is not None and (preexisting or not self.preexisting)


class Auto(FrontEnd):
    """Waits for the networks, then watches them; created by ``auto``.

    Attributes
    ----------
    watching : Watch or None
        The watch on the latest networks.
    """

    hints = Watch.hints

    def __init__(self, names: dict[str, list[str]], options: dict[str, Any]) -> None:
        self.watching: Watch | None = None
        self.observer = None
        self._class_names, self._options = names, options
        self._candidates: dict[str, list[_Candidate]] = {role: [] for role in names}
        self._classes: dict[str, None] = {}
        self._steps = 0
        self._warned = False
        self._guard = Guard()
        self._is_open = True
        optimizer_steps.add_listener(after=self._on_optimizer_step)
        optimizer_creation.add_listener(self._on_optimizer)
        atexit.register(self.close)
        gc.collect()  # removes the networks of an earlier training
        for optimizer in _living_instances(torch.optim.Optimizer):
            if "param_groups" in vars(optimizer):
                self._on_optimizer(optimizer, preexisting=True)

    def _on_optimizer(self, optimizer: torch.optim.Optimizer, *, preexisting: bool = False) -> None:
        """Handle an optimizer that has got its parameters. Never raises, because the training calls it."""
        self._guard("ganwatch.auto", partial(self._find_networks, optimizer, preexisting=preexisting))

    def _find_networks(self, optimizer: torch.optim.Optimizer, *, preexisting: bool) -> None:
        """Start a watch once every role has a network with parameters of an optimizer."""
        given = {id(p) for group in optimizer.param_groups for p in group["params"] if isinstance(p, nn.Parameter)}
        if not given:  # an optimizer of latents; a loop may create many
            return
        modules = [module for module in _living_instances(nn.Module) if "_modules" in vars(module)]
        owners = [module for module in modules if any(id(p) in given for p in module.parameters())]
        self._classes |= {type(owner).__name__: None for owner in owners if not type(owner).__module__.startswith("torch.")}
        watched = {id(network) for network in self.watching.networks()} if self.watching is not None else set()
        has_begun = self.observer is not None and self.observer.steps > 0
        new = {role: [m for m in _outermost(owners, names) if id(m) not in watched] for role, names in self._class_names.items()}
        if not any(new.values()):
            return
        for role, networks in new.items():
            current = [c for c in self._candidates[role] if c.is_current(preexisting=preexisting)]
            current = [c for c in current if not (has_begun and id(c.network) in watched)]
            known = {id(candidate.network) for candidate in current}
            self._candidates[role] = current + [_Candidate(m, weakref.ref(optimizer), preexisting) for m in networks if id(m) not in known]
        if all(self._candidates.values()):
            self._start_watch()

    def _start_watch(self) -> None:
        if self.watching is not None:
            self.watching.close()
        optimizer_steps.remove_listener(after=self._on_optimizer_step)
        generators, discriminators = ([candidate.network for candidate in self._candidates[role]] for role in ("g", "d"))
        options = self._options | {name: copy.deepcopy(self._options.get(name)) for name in ("probes", "detectors")}
        watching = watch(generators, discriminators, **options)
        if isinstance(watching, Watch):
            self.watching, self.observer = watching, watching.observer

    def _on_optimizer_step(self, *_: Any) -> None:
        self._steps += 1
        if self._steps == STEPS_BEFORE_ADVICE:
            self._warn_missing()

    def _warn_missing(self) -> None:
        """Log once which networks are missing."""
        if not self._warned and self.watching is None and not current_rank():
            self._warned = True
            log.warning("%s", self._describe_missing())

    def _describe_missing(self) -> str:
        lines = [
            f"{role.upper()}: {'found' if self._candidates[role] else 'no network'} of class {' or '.join(names)}"
            for role, names in self._class_names.items()
        ]
        classes = ", ".join(sorted(self._classes)) or "only torch's own"
        return (
            f"ganwatch.auto does not watch yet. {'; '.join(lines)} in {self._steps} optimizer steps. Classes with parameters in an "
            f'optimizer: {classes}. Call auto(G="…", D="…") with two of these names before the optimizers are created.'
        )

    def log(self, name: str, value: float | torch.Tensor) -> None:
        """Add a reading of the loop's own, see ``Watch.log``; does nothing before the networks are found."""
        if self.observer is not None:
            self.observer.log(name, value)

    def status(self) -> str:
        """Print and return the status; before the networks are found, the missing ones and the classes that an optimizer has."""
        if self.observer is not None:
            return super().status()
        text = terminal_lines(self._describe_missing())
        print(text)  # noqa: T201  # the purpose of the method
        return text

    def close(self, state: str = "finished") -> None:
        """Remove all hooks and end the run. A second call does nothing."""
        atexit.unregister(self.close)
        if not self._is_open:
            return
        self._is_open = False
        optimizer_steps.remove_listener(after=self._on_optimizer_step)
        optimizer_creation.remove_listener(self._on_optimizer)
        if self._steps:
            self._warn_missing()
        if self.watching is not None:
            self.watching.close(state)
        for sink in self._options["sinks"]:
            sink.shut_down()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.watching is not None:
            self.watching.__exit__(kind, error, trace)
        self.close()


class _SharedSink(Sink):
    """Lends a sink to several runs in turn; ``close`` of a run does nothing, ``shut_down`` closes the sink."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.name = sink.name  # type: ignore[misc]  # the name of the wrapped sink

    @property
    def dropped(self) -> int:  # type: ignore[override]  # counted by the wrapped sink
        return self.sink.dropped

    def describe_losses(self) -> str:
        return self.sink.describe_losses()

    def start(self, run: Run) -> None:
        self.sink.start(run)

    def readings(self, readings: Sequence[Readings]) -> None:
        self.sink.readings(readings)

    def incident(self, incident: Incident) -> None:
        self.sink.incident(incident)

    def restore(self, incident: Incident) -> None:
        self.sink.restore(incident)

    def samples(self, samples: SampleImages) -> None:
        self.sink.samples(samples)

    def outcome(self, outcome: Outcome) -> None:
        self.sink.outcome(outcome)

    def drift(self, verdict: Mapping[str, Any]) -> None:
        self.sink.drift(verdict)

    def sync(self) -> None:
        self.sink.sync()

    def finish(self, state: str) -> None:
        self.sink.finish(state)

    def shut_down(self) -> None:
        """Close the wrapped sink after the last run."""
        self.sink.close()


def auto(G: str | Sequence[str] = "Generator", D: str | Sequence[str] = "Discriminator", **options: Any) -> Auto | DisabledWatch:  # noqa: N803  # the field's own names
    """Watch networks that a library's training loop creates itself, found by the names of their classes.

    Parameters
    ----------
    G, D : str or sequence of str
        Class names of generators and discriminators, or the ends of their full names (``"ctgan.Generator"``). All instances whose
        parameters an optimizer gets before the first step of the generator are networks of that role. If later ones of both roles
        appear, as in a second ``fit``, the run ends and a new one starts on these.
    **options
        Arguments of ``watch``.

    Returns
    -------
    Auto
        Has the methods of ``Watch``; also a context manager. It closes itself at the end of the process.

    Raises
    ------
    UserError
        A name is no string, G and D share one, or ``watch`` refuses an option.

    Examples
    --------
    >>> class Generator(nn.Linear): ...
    >>> class Critic(nn.Linear): ...
    >>> def fit():
    ...     g, d = Generator(2, 4), Critic(4, 1)
    ...     of_g, of_d = (torch.optim.SGD(network.parameters(), lr=0.1) for network in (g, d))
    ...     (-d(g(torch.randn(8, 2))).mean()).backward()
    ...     of_g.step()
    >>> with auto(D="Critic", store=None) as watching:
    ...     fit()
    ...     watching.observer.steps
    1
    """
    if os.environ.get("GANWATCH_DISABLED") == "1":
        return DisabledWatch()
    names = {"g": _parse_class_names("G", G), "d": _parse_class_names("D", D)}
    if shared := set(names["g"]) & set(names["d"]):
        raise UserError(f"D must be other classes than G, got {shared.pop()!r} in both")
    sinks = parse_parts("sinks", options.get("sinks", ()), Sink)  # type: ignore[type-abstract]  # a base to compare with
    _validate_options(options | {"sinks": ()})
    return Auto(names, options | {"sinks": [_SharedSink(sink) for sink in sinks]})


def _validate_options(options: dict[str, Any]) -> None:
    """Refuse options now that ``watch`` would refuse during the training; tried on networks that draw no random numbers."""
    try:
        watch(nn.PReLU(), nn.PReLU(), **options).close()
    except TypeError as error:
        raise UserError(f"options must be those of watch, got {error}") from None


def _parse_class_names(argument: str, given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise UserError(f"{argument} must be the name of a class or several, got {given!r}")
    return names


def _outermost(modules: Sequence[nn.Module], names: Sequence[str]) -> list[nn.Module]:
    """Select the modules of these classes that are not part of another one."""
    matching = [module for module in modules if _has_name(type(module), names)]
    inner = {id(part) for module in matching for part in module.modules() if part is not module}
    return [module for module in matching if id(module) not in inner]


def _has_name(cls: type, names: Sequence[str]) -> bool:
    full = f".{cls.__module__}.{cls.__qualname__}"
    return any(full.endswith(f".{name}") for name in names)


def _living_instances(cls: type[T]) -> list[T]:
    """List every living instance; compares types, which is fast and runs no code of the objects."""
    classes, newest = {cls}, [cls]
    while newest:
        newest = [child for parent in newest for child in parent.__subclasses__() if child not in classes]
        classes.update(newest)
    return [thing for thing in gc.get_objects() if type(thing) in classes]
