"""``watch``: any PyTorch loop under observation, from one line before it."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from ganwatch.capture.attribution.parameter_ownership import Several, members
from ganwatch.capture.options import Options
from ganwatch.capture.step import Step
from ganwatch.capture.taps import loaders
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import changed
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident
from ganwatch.core.probe import Probe
from ganwatch.core.provenance import optimizers as optimizer_facts
from ganwatch.core.readings import Run
from ganwatch.core.sink import Sink
from ganwatch.distributed.ranks import rank, unwrapped
from ganwatch.session.arguments import checked_network, checked_options, checked_parts, checked_real, checked_settings
from ganwatch.session.defaults import STORE, checked_preset, default_detectors, default_probes, default_sinks, provenance
from ganwatch.session.diagnostics import Adviser, Wording
from ganwatch.session.disabled import Disabled
from ganwatch.session.handle import Handle
from ganwatch.session.observer import Observer
from ganwatch.session.run_start import AUDIT_SECONDS, exporter, say_begun, say_ended, start_run
from ganwatch.sinks.background import Background

log = logging.getLogger("ganwatch")

_open: weakref.WeakSet[Watch] = weakref.WeakSet()

Networks = nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module]


class Watch(Handle):
    """One loop under observation until ``close``, the end of a ``with`` block or the end of the process.

    Made by ``watch``; the run begins with the first step of the generator, when optimizers and data are known.
    """

    wording = Wording({"g": "watch(G=…)", "d": "watch(D=…)"}, "watch(G=…, D=…)", "watching")
    observer: Observer

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        name: str,
        store: str | Path | None,
        real: Any,
        probes: Sequence[Probe] | None,
        detectors: Sequence[Detector],
        sinks: Sequence[Sink],
        prometheus_port: int | None,
        audit_seconds: float,
        options: Options,
    ) -> None:
        self.name, self.store, self.audit_seconds = name, store, audit_seconds
        self._dataset = real
        self._begun = False
        self._resumed: str | None = None
        self._networks = {"g": generator, "d": discriminator}
        for earlier in [other for other in _open if not {*map(id, other.networks())}.isdisjoint(map(id, self.networks()))]:
            earlier.close()
        every = [] if rank() else [*default_sinks(store, prometheus=exporter(prometheus_port)), *map(Background, sinks)]
        try:
            self.observer = Observer(
                self._networks,
                begin=self._begin,
                probes=default_probes() if probes is None else probes,
                detectors=detectors,
                sinks=every,
                options=options,
            )
        except Exception:
            for sink in every:
                sink.close()
            raise
        Adviser(self.observer, self.wording)
        loaders.listen(self._delivered)
        _open.add(self)
        atexit.register(self._at_exit)

    def _begin(self, step: Step) -> tuple[Run, list[Incident]]:
        shown = [batch for batch in (step.batch("real"), step.batch("fake")) if batch is not None]
        facts = {
            "networks": {
                role: [f"{type(network).__module__}.{type(network).__qualname__}" for network in members(several)]
                for role, several in self._networks.items()
            },
            "optimizers": optimizer_facts(self.observer.recorder.ownership.optimizers()),
            "batch_size": len(shown[0]) if shown else None,
            "world_size": self.observer.ranks.size,
            "probes": provenance(self.observer.recorder.probes),
            "detectors": changed(self.observer.monitor.detectors),
        }
        run, reported = start_run(self.store, self.name, facts, data=self._dataset, audit_seconds=self.audit_seconds, resumed=self._resumed)
        say_begun(run, {role.upper(): type(members(several)[0]).__name__ for role, several in self._networks.items()}, self.store)
        self._begun = True
        return run, reported

    def _delivered(self, dataset: Any, batch: Any, waited: float) -> None:
        if self._dataset is None:
            self._dataset = dataset
        self.observer.on_real_batch(batch, waited)

    def networks(self) -> list[nn.Module]:
        """The networks under observation."""
        return [*chain.from_iterable(map(members, self._networks.values()))]

    def log(self, name: str, value: float | Tensor) -> None:
        """Note a reading of the loop's own at the present step; of two of one name the later one holds.

        Parameters
        ----------
        name : str
            The series is ``logged/name`` in the store and on the dashboard, ``ganwatch_logged{name="…"}`` in Prometheus.
        value : float or Tensor, shape ()
            Finite or not. What is neither is counted and logged once.
        """
        self.observer.log(name, value)

    def state_dict(self) -> dict[str, Any]:
        """What the loop's own checkpoint needs to hold so that run, steps and alarms go on: plain types only."""
        return self.observer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; before the first step, and an empty state is none. Later ones are left alone, with a warning.

        Raises
        ------
        UserError
            It is not what ``state_dict`` gave.
        """
        if self.observer.recorder.findings.steps:
            log.warning("watching.load_state_dict must be called before the first optimizer step; steps are counted from where they are")
        elif not isinstance(state, Mapping) or (state and not {"run", "index", "monitor"} <= set(state)):
            raise UserError(f"state must be what watching.state_dict() gave, or empty, got {type(state).__name__} {str(state)[:80]}")
        elif state:
            self._resumed = state["run"]
            self.observer.monitor.guard("saved state", lambda: self.observer.load_state_dict(state))

    def close(self, state: str = "finished") -> None:
        """Leave no hook behind and write everything. A second call does nothing."""
        atexit.unregister(self._at_exit)
        _open.discard(self)
        if self.observer.open:
            loaders.unlisten(self._delivered)
            self.observer.close(state)
            if self._begun:
                say_ended(self.observer.run, state, self.observer.recorder.index, self.observer.monitor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        self.close("finished" if error is None else "stopped" if stopped else "failed")

    def _at_exit(self) -> None:
        kind = getattr(sys, "last_type", None)
        self.close("finished" if kind is None else "stopped" if issubclass(kind, KeyboardInterrupt) else "failed")


def watch(
    G: Networks,  # noqa: N803  # what everybody calls it
    D: Networks,  # noqa: N803
    *,
    real: Any = None,
    optimizers: Mapping[str, Optimizer | Sequence[Optimizer]] | None = None,
    logits: int | str | Sequence[int | str] | Callable[[Any], Tensor] | None = None,
    sample: Callable[[Any], Any] | None = None,
    latent: Tensor | Sequence[Tensor] | None = None,
    conditions: Tensor | None = None,
    ema: nn.Module | None = None,
    heldout: Any = None,
    name: str | None = None,
    store: str | Path | None = STORE,
    probes: Sequence[Probe] | None = None,
    detectors: Sequence[Detector] | None = None,
    preset: str | Path | None = None,
    sinks: Sequence[Sink] = (),
    prometheus_port: int | None = None,
    audit_seconds: float = AUDIT_SECONDS,
) -> Watch | Disabled:
    """Watch a training loop, whatever it looks like, from here on; an earlier watch on one of the networks ends.

    Parameters
    ----------
    G, D : nn.Module, or list or dict of them
        Generator and discriminator. Of several the first one stands for all where batches and outputs are looked at; losses,
        gradients and updates are those of all.
    real : dataset, loader or tensor, optional
        The real data, for the audit and the data's identity. Without it the dataset of the first ``DataLoader`` that delivers.
    optimizers : mapping, optional
        ``{"G": optimizer or list of them, "D": …}``: only these count as updates of that network. Without it all that have its parameters.
    logits : int, str, tuple of those, or callable, optional
        Which part of ``D``'s output is the score: an index, a key, a path of both, whose last index may be a channel of a tensor, or
        a function of the output. Without it the last tensor with a single channel, or else the last one.
    sample : callable, optional
        Turns what ``G`` returns into a sample as ``D`` is shown it; must not change what it is given.
    latent : Tensor of shape (N, …) or tuple of them, optional
        Inputs of ``G`` for the gallery, of which up to 36 samples are drawn. Without it those of its first call.
    conditions : Tensor of shape (N, …), optional
        Given to ``G`` after the latent.
    ema : nn.Module, optional
        A copy of ``G`` with averaged weights, called as ``G`` is: quality is measured with it.
    heldout : dataset, loader or tensor, optional
        At least 40 real samples that are not trained on, as ``D`` is shown reals; up to 256 are read now.
    name : str, optional
        Of the run; by default that of the script.
    store : str, Path or None
        A folder (SQLite inside it) or a SQLAlchemy URL; None keeps nothing.
    probes, detectors : sequences, optional
        Instead of the default ones.
    preset : str or Path, optional
        File of ``ganwatch calibrate`` with arguments of the default detectors.
    sinks : sequence of Sink
        Beside the store and the log.
    prometheus_port : int, optional
        Where to export on 127.0.0.1.
    audit_seconds : float, seconds
        Budget of the audit of the data before the first reading is written; 0 turns it off.

    Returns
    -------
    Watch
        Also a context manager. Without either it closes at the end of the process.

    Raises
    ------
    UserError
        Not a module, one without parameters or with lazy ones, the same one twice, no real data, an option that does not fit, a preset
        that names what is not there, or a store that cannot be opened.

    Examples
    --------
    >>> import torch
    >>> netG, netD = nn.Linear(2, 4), nn.Linear(4, 1)
    >>> with watch(G=netG, D=netD, store=None) as watching:
    ...     (-netD(netG(torch.randn(8, 2))).mean()).backward()
    ...     torch.optim.SGD(netG.parameters(), lr=0.1).step()
    ...     watching.observer.recorder.index
    1
    """
    if os.environ.get("GANWATCH_DISABLED") == "1":
        return Disabled()
    generator, discriminator = as_one("G", G), as_one("D", D)
    if {id(network) for network in members(generator)} & {id(network) for network in members(discriminator)}:
        raise UserError(f"D must be another network than G, got the same {type(members(discriminator)[0]).__name__} twice")
    if name is not None and not isinstance(name, str):
        raise UserError(f"name must be a string or None, got {type(name).__name__}")
    options = checked_options(
        {"g": generator, "d": discriminator},
        optimizers=optimizers,
        logits=logits,
        sample=sample,
        latent=latent,
        conditions=conditions,
        ema=ema,
        heldout=heldout,
    )
    checked_settings(store=store, prometheus_port=prometheus_port, facts=None, audit_seconds=audit_seconds)
    checked_real(real)
    settings = checked_preset(preset, detectors)
    script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else type(members(generator)[0]).__name__
    return Watch(
        generator,
        discriminator,
        name=name or script,
        store=store,
        real=real,
        probes=None if probes is None else checked_parts("probes", probes, Probe),  # type: ignore[type-abstract]  # a base to compare with
        detectors=default_detectors(settings) if detectors is None else checked_parts("detectors", detectors, Detector),  # type: ignore[type-abstract]
        sinks=checked_parts("sinks", sinks, Sink),  # type: ignore[type-abstract]
        prometheus_port=prometheus_port,
        audit_seconds=float(audit_seconds),
        options=options,
    )


def as_one(argument: str, given: Networks) -> nn.Module:
    """The one network, or several under one role.

    Raises
    ------
    UserError
        It is none, has no parameters or lazy ones, or is there twice.
    """
    named: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"0": given}
    if isinstance(given, list | tuple):
        named = {str(place): network for place, network in enumerate(given)}
    named = {name: unwrapped(network) for name, network in named.items()}
    for name, network in named.items():
        which = argument if len(named) == 1 else f"{argument}[{name}]"
        if not isinstance(network, nn.Module):
            raise UserError(f"{which} must be a torch.nn.Module, got {type(network).__name__}")
        checked_network(which, network, type(network).__name__)
    if not named:
        raise UserError(f"{argument} must be a network or several, got none")
    if len({id(network) for network in named.values()}) < len(named):
        raise UserError(f"{argument} must be different networks, got the same one twice")
    only: nn.Module = next(iter(named.values()))
    return only if len(named) == 1 else Several(named)
