"""``watch``: watches any PyTorch loop, with one line before it."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from ganwatch.capture.attribution.parameter_ownership import list_members
from ganwatch.capture.options import Options
from ganwatch.capture.step import StepView
from ganwatch.capture.taps import loaders
from ganwatch.checkpoints.copies import CheckpointStorage
from ganwatch.checkpoints.guard import CheckpointGuard
from ganwatch.checkpoints.reader import CLOSE_TIMEOUT
from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import non_default_arguments
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident
from ganwatch.core.probe import Probe
from ganwatch.core.provenance import optimizer_settings
from ganwatch.core.readings import Run
from ganwatch.core.sink import Sink
from ganwatch.distributed.rank_detection import current_rank
from ganwatch.session.arguments import Networks, check_real, check_settings, parse_networks, parse_options, parse_parts
from ganwatch.session.checkpoint_book import CheckpointBook, check_parts
from ganwatch.session.defaults import STORE, default_detectors, default_probes, default_sinks, open_exporter, parse_preset, provenance
from ganwatch.session.diagnostics import CodeHints, SetupReporter
from ganwatch.session.disabled import DisabledWatch
from ganwatch.session.front_end import FrontEnd
from ganwatch.session.loop_saves import LoopSaves
from ganwatch.session.observer import Observer
from ganwatch.session.run_end import end_run
from ganwatch.session.run_start import AUDIT_SECONDS, announce_start, start_run
from ganwatch.session.stale_parts import find_stale_parts
from ganwatch.session.stop_rule import StopRule, parse_on_incident, parse_stop_on
from ganwatch.sinks.background import BackgroundSink

log = logging.getLogger("ganwatch")

_open_watches: weakref.WeakSet[Watch] = weakref.WeakSet()


class Watch(FrontEnd):
    """A watch on one loop until ``close``, the end of a ``with`` block or the end of the process.

    Created by ``watch``. The run starts with the first step of the generator, when optimizers and data are known.
    """

    hints = CodeHints({"g": "watch(G=…)", "d": "watch(D=…)"}, "watch(G=…, D=…)", "watching")
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
        stop_on: Sequence[str],
        options: Options,
    ) -> None:
        self.name, self.store, self.audit_seconds = name, store, audit_seconds
        self._dataset = real
        self._resumed: str | None = None
        self._guard: CheckpointGuard | None = None
        self._copy_to: str | None = None
        self._book: CheckpointBook | None = None
        self._networks = {"g": generator, "d": discriminator}
        for earlier in [other for other in _open_watches if not {*map(id, other.networks())}.isdisjoint(map(id, self.networks()))]:
            earlier.close()
        all_sinks: list[Sink] = []
        if not current_rank():
            all_sinks = [*default_sinks(store, prometheus=open_exporter(prometheus_port)), *map(BackgroundSink, sinks)]
        try:
            self.observer = Observer(
                self._networks,
                start_run=self._start_run,
                probes=default_probes() if probes is None else probes,
                detectors=detectors,
                sinks=all_sinks,
                options=options,
            )
        except Exception:
            for sink in all_sinks:
                sink.close()
            raise
        self._stop = StopRule(stop_on, self.observer)
        self.observer.call_between_steps("stop_on", self._stop.raise_if_due)
        SetupReporter(self.observer, self.hints)
        self._saves = LoopSaves(self.observer, self.networks)
        loaders.add_listener(self._on_batch)
        _open_watches.add(self)
        atexit.register(self._at_exit)

    def _start_run(self, step: StepView) -> tuple[Run, list[Incident]]:
        batches = [batch for batch in (step.batch("real"), step.batch("fake")) if batch is not None]
        facts = {
            "networks": {
                role: [f"{type(network).__module__}.{type(network).__qualname__}" for network in list_members(group)]
                for role, group in self._networks.items()
            },
            "optimizers": optimizer_settings(self.observer.optimizers),
            "batch_size": len(batches[0]) if batches else None,
            "world_size": self.observer.ranks.size,
            "probes": provenance(self.observer.probes),
            "detectors": non_default_arguments(self.observer.detectors),
        }
        run, reported = start_run(self.store, self.name, facts, data=self._dataset, audit_seconds=self.audit_seconds, resumed=self._resumed)
        announce_start(run, {role.upper(): type(list_members(group)[0]).__name__ for role, group in self._networks.items()}, self.store)
        return run, reported

    def _on_batch(self, dataset: Any, batch: Any, waited: float) -> None:
        if self._dataset is None:
            self._dataset = dataset
        self.observer.on_real_batch(batch, waited)

    def networks(self) -> list[nn.Module]:
        """Return the watched networks."""
        return [*chain.from_iterable(map(list_members, self._networks.values()))]

    def log(self, name: str, value: float | Tensor) -> None:
        """Add a reading of the loop's own at the current step; a second value of one name replaces the first.

        Parameters
        ----------
        name : str
            The series is ``logged/name`` in the store and on the dashboard, ``ganwatch_logged{name="…"}`` in Prometheus.
        value : float or Tensor, shape ()
            Finite or not. Any other value is an error, which is counted and logged once; training goes on.
        """
        self.observer.log(name, value)

    def checkpoint(self, folder: str | Path, parts: Mapping[str, Any], *, keep: int = 5, copy_to: str | None = None) -> None:
        """Save a checkpoint: whole or not there, read back, and judged by the incidents of the run; only rank 0 saves.

        The call copies the states and returns. Writing, retries and reading back take place in other threads and processes. A save that
        fails is an incident (GW511), and training goes on. ``ganwatch checkpoints`` lists them, ``ganwatch.load_checkpoint`` loads one.

        Parameters
        ----------
        folder : str or Path
            Gets a folder ``step-N`` for each checkpoint, and ``latest``, which names the last one that was read back.
        parts : mapping of str to object
            Everything that belongs together: networks, averaged copies, optimizers, schedulers, scalers, or states of tensors and plain
            types.
        keep : int
            Checkpoints to keep, spread over the run, beside the last good one and those of the latest steps that may become it.
        copy_to : str, optional
            Folder or fsspec URL, such as ``s3://bucket/prefix``, that gets a copy of each once it was read back.

        Raises
        ------
        UserError
            An argument breaks a rule; at the first checkpoint, a part holds what cannot be loaded without a risk. Later that is a fault
            (GW511), and training goes on.
        """
        check_parts(folder, parts, keep)
        if self.observer.ranks.rank or not self.observer.is_open:
            return
        if self._guard is None or self._book is None:
            storage = None if copy_to is None else CheckpointStorage(copy_to)
            self._guard, self._copy_to = CheckpointGuard(folder, storage=storage), copy_to
            self._book = CheckpointBook(self.observer, self._guard, keep)
        if self._guard.folder.path != Path(folder).absolute():
            both = f"{str(folder)!r} after {str(self._guard.folder.path)!r}"
            raise UserError(f"folder must be the same for all checkpoints of a run, got {both}")
        if self._copy_to != copy_to:
            raise UserError("copy_to must be the same for all checkpoints of a run, got another one")
        find = partial(find_stale_parts, dict(parts), self.networks(), self.observer.optimizers.values())
        if stale := self.observer.guard("stale parts", find):
            log.warning("parts %s are of another step, or other copies than those in training", ", ".join(stale))
        try:
            self._guard.save(parts, self._book.create_manifest(parts))
        except Exception as error:
            if isinstance(error, UserError) and not self._guard.has_saved:  # nothing is lost yet
                raise
            self._guard.note_fault(self.observer.steps, error)

    @property
    def checkpoints(self) -> tuple[SavedCheckpoint, ...]:
        """Checkpoints that were read back, or could not be, each with the verdict of now."""
        return tuple(one for book in self._books for one in book.checkpoints)

    def wait_for_checkpoints(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Wait until every checkpoint is written and read back, for ``timeout`` seconds at most; return False if time ran out."""
        deadline = time.monotonic() + timeout
        have_ended = [book.saves.wait(max(0.0, deadline - time.monotonic())) for book in self._books]
        for book in self._books:
            book.on_flush()
        return all(have_ended)

    @property
    def _books(self) -> list[CheckpointBook]:
        return [book for book in (self._book, self._saves.book) if book is not None]

    def state_dict(self) -> dict[str, Any]:
        """State for the loop's own checkpoint, in plain types only: a resumed run continues its steps and alarms with it."""
        return self.observer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; call it before the first step. After that it only logs a warning. An empty state is ignored.

        Raises
        ------
        UserError
            The state is not one of ``state_dict``.
        """
        if self.observer.loop_facts.steps:
            log.warning("watching.load_state_dict must be called before the first optimizer step; the state is ignored and steps count on")
        elif not isinstance(state, Mapping) or (state and not {"run", "recorder", "monitor"} <= set(state)):
            raise UserError(f"state must be a state of watching.state_dict(), or empty, got {type(state).__name__} {str(state)[:80]}")
        elif state:
            self._resumed = state["run"]
            self.observer.guard("saved state", lambda: self.observer.load_state_dict(state))

    def close(self, state: str = "finished") -> None:
        """Remove all hooks and end the run. A second call does nothing."""
        atexit.unregister(self._at_exit)
        _open_watches.discard(self)
        self._stop.disarm()
        if self.observer.is_open:
            try:
                for part in (self._book, self._saves):
                    if part is not None:
                        self.observer.guard("checkpoints", partial(part.finish, state))
            finally:  # also after a second Ctrl-C
                loaders.remove_listener(self._on_batch)
                end_run(self.observer, state)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        was_stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        self.close("finished" if error is None else "stopped" if was_stopped else "failed")

    def _at_exit(self) -> None:
        kind = KeyboardInterrupt if self._stop.incident is not None else getattr(sys, "last_type", None)
        self.close("finished" if kind is None else "stopped" if issubclass(kind, KeyboardInterrupt) else "failed")


def watch(
    G: Networks,  # noqa: N803  # the field's own name
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
    stop_on: Sequence[str] = (),
    on_incident: Callable[[Incident], Any] | Sequence[Callable[[Incident], Any]] = (),
) -> Watch | DisabledWatch:
    """Watch any PyTorch training loop from here on. An earlier watch on one of the networks ends.

    Parameters
    ----------
    G, D : nn.Module, or list or dict of them
        Generator and discriminator. If a role has several networks, batches and outputs are those of the first one; losses,
        gradients and updates are those of all.
    real : dataset, loader or tensor, optional
        Real data, for the audit and the data's identity. Default: the dataset of the first ``DataLoader`` that delivers a batch.
    optimizers : mapping, optional
        ``{"G": optimizer or list of them, "D": …}``: only these count as updates of that network. Default: all that have its parameters.
    logits : int, str, tuple of those, or callable, optional
        Part of ``D``'s output that is the score: an index, a key, a path of both, whose last index may be a channel of a tensor, or
        a function of the output. Default: the last tensor with a single channel, or else the last tensor.
    sample : callable, optional
        Turns the output of ``G`` into a sample as ``D`` gets it; must not change its argument.
    latent : Tensor of shape (N, …) or tuple of them, optional
        Inputs of ``G`` for the gallery, which draws up to 36 samples. Default: the inputs of the first call of ``G``.
    conditions : Tensor of shape (N, …), optional
        Passed to ``G`` after the latent.
    ema : nn.Module, optional
        Copy of ``G`` with averaged weights, called as ``G`` is; quality is measured with it.
    heldout : dataset, loader or tensor, optional
        At least 40 real samples that are not trained on, as ``D`` gets reals; up to 256 are read now.
    name : str, optional
        Name of the run. Default: the name of the script.
    store : str, Path or None
        A folder (SQLite inside it) or a SQLAlchemy URL; None stores nothing.
    probes, detectors : sequences, optional
        Replace the default ones.
    preset : str or Path, optional
        File of ``ganwatch calibrate`` with arguments of the default detectors.
    sinks : sequence of Sink
        Further sinks, in addition to the store and the log.
    prometheus_port : int, optional
        Port of 127.0.0.1 to export at.
    audit_seconds : float, seconds
        Time budget of the data audit before the first reading is written; 0 turns the audit off.
    stop_on : sequence of str, optional
        Codes such as ``"GW101"`` whose first incident raises ``TrainingStopped`` in the loop, a ``SystemExit`` with code 10. Checkpoints
        that wait are written.
    on_incident : callable or sequence of them, optional
        Called in a background thread with each incident that fires or ends. An error of it is logged once and goes no further.

    Returns
    -------
    Watch
        Also a context manager. It closes itself at the end of the process.

    Raises
    ------
    UserError
        ``G`` or ``D`` is no module, has no parameters or lazy ones, or is given twice; there are no real data; an option does not fit;
        a preset names an unknown detector or argument; or the store cannot be opened.

    Examples
    --------
    >>> import torch
    >>> netG, netD = nn.Linear(2, 4), nn.Linear(4, 1)
    >>> with watch(G=netG, D=netD, store=None) as watching:
    ...     (-netD(netG(torch.randn(8, 2))).mean()).backward()
    ...     torch.optim.SGD(netG.parameters(), lr=0.1).step()
    ...     watching.observer.steps
    1
    """
    if os.environ.get("GANWATCH_DISABLED") == "1":
        return DisabledWatch()
    generator, discriminator = parse_networks("G", G), parse_networks("D", D)
    if {id(network) for network in list_members(generator)} & {id(network) for network in list_members(discriminator)}:
        raise UserError(f"D must be another network than G, got the same {type(list_members(discriminator)[0]).__name__} twice")
    if name is not None and not isinstance(name, str):
        raise UserError(f"name must be a string or None, got {type(name).__name__}")
    options = parse_options(
        {"g": generator, "d": discriminator},
        optimizers=optimizers,
        logits=logits,
        sample=sample,
        latent=latent,
        conditions=conditions,
        ema=ema,
        heldout=heldout,
    )
    check_settings(store=store, prometheus_port=prometheus_port, facts=None, audit_seconds=audit_seconds)
    check_real(real)
    settings = parse_preset(preset, detectors)
    script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else type(list_members(generator)[0]).__name__
    return Watch(
        generator,
        discriminator,
        name=name or script,
        store=store,
        real=real,
        probes=None if probes is None else parse_parts("probes", probes, Probe),  # type: ignore[type-abstract]  # a base to compare with
        detectors=default_detectors(settings) if detectors is None else parse_parts("detectors", detectors, Detector),  # type: ignore[type-abstract]
        sinks=[*parse_parts("sinks", sinks, Sink), *parse_on_incident(on_incident)],  # type: ignore[type-abstract]
        stop_on=parse_stop_on(stop_on),
        prometheus_port=prometheus_port,
        audit_seconds=float(audit_seconds),
        options=options,
    )
