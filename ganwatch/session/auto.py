"""``auto``: networks that are locals of somebody else's ``fit``, found by class name once an optimizer has their parameters.

That an optimizer has them tells a network that is trained from its averaged copy, and comes before the first step, however
the loop calls its networks.
"""

from __future__ import annotations

import atexit
import copy
import gc
import logging
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from torch import nn

from ganwatch.capture.taps import optimizer_steps, optimizers
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink
from ganwatch.distributed.ranks import rank
from ganwatch.session.arguments import checked_parts
from ganwatch.session.diagnostics import ENOUGH
from ganwatch.session.disabled import Disabled
from ganwatch.session.handle import Handle
from ganwatch.session.watch import Watch, watch

log = logging.getLogger("ganwatch")

T = TypeVar("T")


@dataclass(slots=True)
class _Found:
    network: nn.Module
    optimizer: weakref.ref[torch.optim.Optimizer]
    waiting: bool
    """Whether the optimizer was there before ``auto``; one that is made later counts more."""

    def counts(self, *, waiting: bool) -> bool:
        """Whether it still belongs to the fit that is about to begin."""
        return self.optimizer() is not None and (waiting or not self.waiting)


class Auto(Handle):
    """Waits for the networks, then watches them; made by ``auto``.

    Attributes
    ----------
    watching : Watch or None
        The watch on the networks that were found last.
    """

    wording = Watch.wording

    def __init__(self, names: dict[str, list[str]], options: dict[str, Any]) -> None:
        self.watching: Watch | None = None
        self.observer = None
        self._names, self._options = names, options
        self._found: dict[str, list[_Found]] = {role: [] for role in names}
        self._classes: dict[str, None] = {}
        self._steps = 0
        self._said = False
        self._failed = False
        self._open = True
        optimizer_steps.listen(after=self._stepped)
        optimizers.listen(self._made)
        atexit.register(self.close)
        gc.collect()  # what an earlier training has left behind
        for optimizer in _alive(torch.optim.Optimizer):
            if "param_groups" in vars(optimizer):
                self._made(optimizer, waiting=True)

    def _made(self, optimizer: torch.optim.Optimizer, *, waiting: bool = False) -> None:
        """An optimizer has got its parameters: look whose they are. Never raises, as it is called from within the training."""
        try:
            self._look(optimizer, waiting=waiting)
        except Exception:  # a law: nothing of ganwatch reaches the training
            if not self._failed:
                log.exception("ganwatch.auto failed; training goes on without it")
            self._failed = True

    def _look(self, optimizer: torch.optim.Optimizer, *, waiting: bool) -> None:
        given = {id(p) for group in optimizer.param_groups for p in group["params"] if isinstance(p, nn.Parameter)}
        if not given:  # somebody optimises latents, perhaps often
            return
        owners = [module for module in _alive(nn.Module) if "_modules" in vars(module) and any(id(p) in given for p in module.parameters())]
        self._classes |= {type(owner).__name__: None for owner in owners if not type(owner).__module__.startswith("torch.")}
        watched = {id(network) for network in self.watching.networks()} if self.watching is not None else set()
        begun = self.observer is not None and self.observer.recorder.index > 0
        new = {role: [m for m in _outermost(owners, names) if id(m) not in watched] for role, names in self._names.items()}
        if not any(new.values()):
            return
        for role, networks in new.items():
            kept = [f for f in self._found[role] if f.counts(waiting=waiting) and not (begun and id(f.network) in watched)]
            known = {id(found.network) for found in kept}
            self._found[role] = kept + [_Found(m, weakref.ref(optimizer), waiting) for m in networks if id(m) not in known]
        if all(self._found.values()):
            self._begin()

    def _begin(self) -> None:
        if self.watching is not None:
            self.watching.close()
        optimizer_steps.unlisten(after=self._stepped)
        generators, discriminators = ([found.network for found in self._found[role]] for role in ("g", "d"))
        options = self._options | {name: copy.deepcopy(self._options.get(name)) for name in ("probes", "detectors")}
        watching = watch(generators, discriminators, **options)
        if isinstance(watching, Watch):
            self.watching, self.observer = watching, watching.observer

    def _stepped(self, *_: Any) -> None:
        self._steps += 1
        if self._steps == ENOUGH:
            self._say()

    def _say(self) -> None:
        """Say once what was not found."""
        if not self._said and self.watching is None and not rank():
            self._said = True
            log.warning("%s", self._missing())

    def _missing(self) -> str:
        lines = [
            f"{role.upper()}: {'found' if self._found[role] else 'no network'} of class {' or '.join(names)}"
            for role, names in self._names.items()
        ]
        seen = ", ".join(sorted(self._classes)) or "none but torch's own"
        return (
            f"{'; '.join(lines)} in {self._steps} optimizer steps. Classes with parameters that an optimizer has: {seen}. "
            'Say auto(G="…", D="…") with two of these names, before the optimizers are made.'
        )

    def log(self, name: str, value: float | torch.Tensor) -> None:
        """As that of ``Watch``; does nothing before the networks are found."""
        if self.observer is not None:
            self.observer.log(name, value)

    def status(self) -> str:
        """As that of ``Watch``; before the networks are found, what is missing and which classes were seen; also printed."""
        if self.observer is not None:
            return super().status()
        text = self._missing()
        print(text)  # noqa: T201  # that is what it is for
        return text

    def close(self, state: str = "finished") -> None:
        """Leave no hook behind and write everything. A second call does nothing."""
        atexit.unregister(self.close)
        if not self._open:
            return
        self._open = False
        optimizer_steps.unlisten(after=self._stepped)
        optimizers.unlisten(self._made)
        if self._steps:
            self._say()
        if self.watching is not None:
            self.watching.close(state)
        for sink in self._options["sinks"]:
            sink.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.watching is not None:
            self.watching.__exit__(kind, error, trace)
        self.close()


class _Lasting(Sink):
    """A sink for several runs after one another: it is closed with the last one."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.name = sink.name  # type: ignore[misc]  # speaks for the sink that it wraps

    @property
    def dropped(self) -> int:  # type: ignore[override]  # counted by the wrapped sink
        return self.sink.dropped

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

    def sync(self) -> None:
        self.sink.sync()

    def finish(self, state: str) -> None:
        self.sink.finish(state)

    def end(self) -> None:
        """No further run."""
        self.sink.close()


def auto(G: str | Sequence[str] = "Generator", D: str | Sequence[str] = "Discriminator", **options: Any) -> Auto | Disabled:  # noqa: N803  # what everybody calls them
    """Watch the networks that a loop of somebody else makes for itself, found by the names of their classes.

    Parameters
    ----------
    G, D : str or sequence of str
        Class names of generators and discriminators, or the ends of their full names (``"ctgan.Generator"``). All instances of them
        that an optimizer is given before the first step of the generator are networks of that role. When later ones of both roles
        come, as in a second ``fit``, the run ends and a new one begins on these.
    **options
        Those of ``watch``.

    Returns
    -------
    Auto
        With what ``Watch`` has; also a context manager. Without either it closes at the end of the process.

    Raises
    ------
    UserError
        A name is no string, G and D share one, or what ``watch`` would refuse.

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
    ...     watching.observer.recorder.index
    1
    """
    if os.environ.get("GANWATCH_DISABLED") == "1":
        return Disabled()
    names = {"g": _names("G", G), "d": _names("D", D)}
    if shared := set(names["g"]) & set(names["d"]):
        raise UserError(f"D must be other classes than G, got {shared.pop()!r} in both")
    sinks = checked_parts("sinks", options.get("sinks", ()), Sink)  # type: ignore[type-abstract]  # a base to compare with
    _rehearse(options | {"sinks": ()})
    return Auto(names, options | {"sinks": [_Lasting(sink) for sink in sinks]})


def _rehearse(options: dict[str, Any]) -> None:
    """Refuse now what ``watch`` would refuse in the midst of the training; on networks that no random number is drawn for."""
    try:
        watch(nn.PReLU(), nn.PReLU(), **options).close()
    except TypeError as error:
        raise UserError(f"options must be those of watch, got {error}") from None


def _names(argument: str, given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise UserError(f"{argument} must be the name of a class or several, got {given!r}")
    return names


def _outermost(modules: Sequence[nn.Module], names: Sequence[str]) -> list[nn.Module]:
    """Those of such a class that are no part of another one."""
    matching = [module for module in modules if _is_called(type(module), names)]
    inner = {id(part) for module in matching for part in module.modules() if part is not module}
    return [module for module in matching if id(module) not in inner]


def _is_called(cls: type, names: Sequence[str]) -> bool:
    full = f".{cls.__module__}.{cls.__qualname__}"
    return any(full.endswith(f".{name}") for name in names)


def _alive(kind: type[T]) -> list[T]:
    """Every instance there is; compared by type, which is fast and runs no code of the objects."""
    kinds, below = {kind}, [kind]
    while below:
        below = [cls for parent in below for cls in parent.__subclasses__() if cls not in kinds]
        kinds.update(below)
    return [thing for thing in gc.get_objects() if type(thing) in kinds]
