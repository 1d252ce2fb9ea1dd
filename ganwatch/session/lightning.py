"""The Lightning callback, for both packages of Lightning: one line in ``Trainer(callbacks=[…])``, no change to the module."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ganwatch.checkpoints.reader import CheckpointReader
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import non_default_arguments
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident
from ganwatch.core.probe import Probe
from ganwatch.core.provenance import optimizer_settings
from ganwatch.core.readings import Run
from ganwatch.core.sink import Sink
from ganwatch.session.arguments import check_settings, parse_options, parse_parts
from ganwatch.session.checkpoint_book import CheckpointBook
from ganwatch.session.defaults import STORE, default_detectors, default_probes, default_sinks, open_exporter, parse_preset, provenance
from ganwatch.session.diagnostics import CodeHints, SetupReporter
from ganwatch.session.front_end import FrontEnd
from ganwatch.session.lightning_checkpoints import CheckpointTap
from ganwatch.session.lightning_networks import DISCRIMINATOR_NAMES, GENERATOR_NAMES, find_average, find_network, output_range
from ganwatch.session.lightning_package import Callback, is_sigterm, set_callback_bases
from ganwatch.session.observer import Observer
from ganwatch.session.run_end import end_run
from ganwatch.session.run_start import AUDIT_SECONDS, abandon_run, announce_start, start_run
from ganwatch.session.stop_rule import StopRule, parse_on_incident, parse_stop_on
from ganwatch.sinks.background import BackgroundSink

if TYPE_CHECKING:
    import lightning

log = logging.getLogger("ganwatch")


class GanWatch(FrontEnd, Callback):
    """Watch a GAN that Lightning trains.

    Parameters
    ----------
    generator, discriminator : str or None
        Attributes of the LightningModule, dots allowed. None tries the usual names.
    logits, sample, latent, conditions, heldout
        See ``ganwatch.watch``.
    ema : str or None
        Attribute with averaged weights of the generator, called as the generator is. None searches for one.
    store : str, Path or None
        A folder (SQLite inside it) or any SQLAlchemy URL; None stores nothing.
    name : str or None
        Name of the run. None takes the module's class name.
    prometheus_port : int or None
        Port on 127.0.0.1 to export at, 0 for any free one; None exports nothing.
    probes, detectors : sequences or None
        None takes all default ones.
    preset : str, Path or None
        File of ``ganwatch calibrate`` with arguments of the default detectors.
    sinks : sequence of Sink
        Further destinations.
    stop_on : sequence of str
        Codes such as ``"GW101"`` whose first incident sets ``trainer.should_stop``, so that Lightning's own checkpoints are written.
    on_incident : callable or sequence of them
        See ``ganwatch.watch``.
    facts : mapping
        Further provenance, plain JSON types.
    audit_seconds : float
        Time budget of the audit of the training data before the first step, 0 for none.

    Raises
    ------
    UserError
        An argument has a wrong type or is out of range, or a preset names an unknown detector or argument. Before the first
        step: networks are missing or have no parameters, the store cannot be opened, or the loader has no batches.

    Examples
    --------
    >>> from lightning import Trainer
    >>> trainer = Trainer(callbacks=[GanWatch(store=None)], logger=False, enable_checkpointing=False, accelerator="cpu")
    """

    hints = CodeHints(
        {"g": 'GanWatch(generator="…")', "d": 'GanWatch(discriminator="…")'}, 'GanWatch(generator="…", discriminator="…")', "callback"
    )

    def __init__(
        self,
        generator: str | None = None,
        discriminator: str | None = None,
        *,
        logits: int | str | Sequence[int | str] | Callable[[Any], Tensor] | None = None,
        sample: Callable[[Any], Any] | None = None,
        latent: Tensor | Sequence[Tensor] | None = None,
        conditions: Tensor | None = None,
        ema: str | None = None,
        heldout: Any = None,
        store: str | Path | None = STORE,
        name: str | None = None,
        prometheus_port: int | None = None,
        probes: Sequence[Probe] | None = None,
        detectors: Sequence[Detector] | None = None,
        preset: str | Path | None = None,
        sinks: Sequence[Sink] = (),
        stop_on: Sequence[str] = (),
        on_incident: Callable[[Incident], Any] | Sequence[Callable[[Incident], Any]] = (),
        facts: Mapping[str, Any] | None = None,
        audit_seconds: float = AUDIT_SECONDS,
    ) -> None:
        for argument, value in (("generator", generator), ("discriminator", discriminator), ("ema", ema)):
            if value is not None and not isinstance(value, str):
                raise UserError(f"{argument} must be the name of an attribute (str) or None, got {type(value).__name__}")
        if name is not None and not isinstance(name, str):
            raise UserError(f"name must be a str or None, got {type(name).__name__}")
        self.options = parse_options(logits=logits, sample=sample, latent=latent, conditions=conditions, heldout=heldout)
        check_settings(store=store, prometheus_port=prometheus_port, facts=facts, audit_seconds=audit_seconds)
        self.generator, self.discriminator, self.ema, self.store, self.name = generator, discriminator, ema, store, name
        self.prometheus_port, self.facts, self.audit_seconds = prometheus_port, dict(facts or {}), float(audit_seconds)
        self.probes = None if probes is None else parse_parts("probes", probes, Probe)  # type: ignore[type-abstract]  # a base to compare with
        self.detectors = None if detectors is None else parse_parts("detectors", detectors, Detector)  # type: ignore[type-abstract]
        self.settings = parse_preset(preset, detectors)
        self.sinks = [*parse_parts("sinks", sinks, Sink), *parse_on_incident(on_incident)]  # type: ignore[type-abstract]
        self.stop_on = parse_stop_on(stop_on)
        self._save_unused_parts()
        self._reset()

    def _save_unused_parts(self) -> None:
        """Copy probes and detectors before they see anything, for copies of this callback."""
        self._unused = {"probes": _copy_parts(self.probes), "detectors": _copy_parts(self.detectors)}

    def _reset(self) -> None:
        set_callback_bases()
        self.observer: Observer | None = None
        self._pending: dict[str, Any] | None = None
        self._started = False
        self._failed = False
        self._stop: StopRule | None = None
        self._book: CheckpointBook | None = None
        self._tap: CheckpointTap | None = None
        self._waiting_since = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """State of a copy: the same arguments, unused. It has nothing of a training and nothing that Lightning attached."""
        excluded = {"_unused", "observer", "_pending", "_started", "_failed", "_stop", "_book", "_tap", "_waiting_since", "log", "log_dict"}
        return {name: value for name, value in vars(self).items() if name not in excluded} | self._unused

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._save_unused_parts()
        self._reset()

    @property
    def disabled(self) -> bool:
        """True if GANWATCH_DISABLED=1 turns everything off."""
        return os.environ.get("GANWATCH_DISABLED") == "1"

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Forget an earlier training before the next one starts."""
        if stage == "fit":
            self._started = self._failed = False

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Check the networks once the module is complete, so that a wrong name fails now and not after the first epoch."""
        if not self.disabled:
            self._networks(pl_module)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the run, after a checkpoint is restored."""
        self._started = True
        if self.disabled:
            return
        if self.stop_on and trainer.world_size > 1:
            raise UserError(f"stop_on must be empty where several processes train together, got one of {trainer.world_size}")
        named = self._networks(pl_module)
        networks = {role: network for role, (_, network) in named.items()}
        probes = default_probes() if self.probes is None else self.probes
        detectors = default_detectors(self.settings) if self.detectors is None else self.detectors
        known = {"probes": provenance(probes), "detectors": non_default_arguments(detectors)}
        run, reported = self._start_run(trainer, pl_module, networks["g"], known) if trainer.is_global_zero else (None, [])
        sinks: list[Sink] = []
        try:
            if run is not None:
                sinks += [*default_sinks(self.store, prometheus=open_exporter(self.prometheus_port)), *map(BackgroundSink, self.sinks)]
            self.observer = Observer(
                networks,
                run=run,
                probes=probes,
                detectors=detectors,
                sinks=sinks,
                reported=reported,
                state=self._pending,
                options=replace(self.options, ema=find_average(pl_module, self.ema, networks["g"])),
            )
        except Exception:
            for sink in sinks:
                sink.close()
            if run is not None:
                abandon_run(self.store, run)
            raise
        self._pending, self._stop = None, StopRule(self.stop_on, self.observer)
        if run is not None:
            self._book = CheckpointBook(self.observer, reader := CheckpointReader())
            checkpoint_io, observer = trainer.strategy.checkpoint_io, self.observer
            make_tap = partial(CheckpointTap, checkpoint_io, lambda: observer.steps, reader.submit, reader.note_removed)
            self._tap = observer.guard("checkpoints", make_tap)
            SetupReporter(self.observer, self.hints)
            announce_start(run, {name: type(network).__name__ for name, network in named.values()}, self.store)
        self._waiting_since = time.perf_counter()

    def _start_run(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, generator: nn.Module, known: Mapping[str, Any]
    ) -> tuple[Run, list[Incident]]:
        facts = self.facts | {
            **known,
            "module": f"{type(pl_module).__module__}.{type(pl_module).__qualname__}",
            "configuration": dict(pl_module.hparams),
            "optimizers": optimizer_settings({str(index): optimizer for index, optimizer in enumerate(trainer.optimizers)}),
            "seed": os.environ.get("PL_GLOBAL_SEED"),
            "precision": str(trainer.precision),
            "world_size": trainer.world_size,
        }
        return start_run(
            self.store,
            self.name or type(pl_module).__name__,
            facts,
            data=trainer.train_dataloader,
            generator_range=output_range(generator),
            audit_seconds=self.audit_seconds,
            resumed=(self._pending or {}).get("run"),
        )

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int) -> None:  # noqa: ARG002  # Lightning's signature
        """Pass the batch on, with the time that the loop waited for it."""
        if self.observer is not None:
            self.observer.on_real_batch(batch, time.perf_counter() - self._waiting_since)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int  # noqa: ARG002  # Lightning's signature
    ) -> None:
        """Start the clock: from here the loop waits for the next batch. Stop the training if ``stop_on`` asks for it."""
        self._waiting_since = time.perf_counter()
        if self._stop is not None and self._stop.incident is not None:
            trainer.should_stop = True

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """End the run as finished, or as stopped by ``stop_on``."""
        self._end("finished" if self._stop is None or self._stop.incident is None else "stopped")

    def on_exception(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:  # noqa: ARG002  # Lightning's signature
        """End the run as stopped or failed."""
        self._failed = True
        self._end("stopped" if isinstance(exception, KeyboardInterrupt) or is_sigterm(exception) else "failed")

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Raise an error if the loader had no batches; drop a state that was loaded for another stage."""
        if stage != "fit":
            self._pending = None
        empty = trainer.train_dataloader is not None and trainer.num_training_batches == 0 and trainer.limit_train_batches != 0
        if stage == "fit" and empty and not (self._started or self._failed or self.disabled):
            raise UserError("train_dataloaders must give at least one batch, got none: is the dataset smaller than the batch (drop_last)?")

    def state_dict(self) -> dict[str, Any]:
        """State for the Lightning checkpoint, in plain types only."""
        return self.observer.state_dict() if self.observer is not None else self._pending or {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state of a checkpoint until the training starts."""
        self._pending = state_dict or None

    def _end(self, state: str) -> None:
        if self.observer is None or not self.observer.is_open:
            return
        try:
            for part in (self._tap, self._book):
                if part is not None:
                    self.observer.guard("checkpoints", partial(part.finish, state))
        finally:  # also after a second Ctrl-C
            end_run(self.observer, state)

    def _networks(self, module: lightning.LightningModule) -> dict[str, tuple[str, nn.Module]]:
        return {
            "g": find_network(module, "generator", self.generator, GENERATOR_NAMES),
            "d": find_network(module, "discriminator", self.discriminator, DISCRIMINATOR_NAMES),
        }


def _copy_parts(parts: list[Any] | None) -> list[Any] | None:
    return None if parts is None else [_copy_part(part) for part in parts]


def _copy_part(part: Any) -> Any:
    try:
        return copy.deepcopy(part)
    except Exception:  # noqa: BLE001  # a user's part that cannot be copied must not stop the training
        return part
