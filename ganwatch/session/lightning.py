"""The Lightning callback: one line in ``Trainer(callbacks=[…])``, no change to the module, under both names of Lightning."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import changed
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident
from ganwatch.core.probe import Probe
from ganwatch.core.provenance import optimizers
from ganwatch.core.readings import Run
from ganwatch.core.sink import Sink
from ganwatch.session.arguments import checked_network, checked_options, checked_parts, checked_settings
from ganwatch.session.defaults import STORE, checked_preset, default_detectors, default_probes, default_sinks, provenance
from ganwatch.session.diagnostics import Adviser, Wording
from ganwatch.session.handle import Handle
from ganwatch.session.lightning_package import Callback, adopt, terminated
from ganwatch.session.observer import Observer
from ganwatch.session.run_start import AUDIT_SECONDS, call_off, exporter, say_begun, say_ended, start_run
from ganwatch.sinks.background import Background

if TYPE_CHECKING:
    import lightning

log = logging.getLogger("ganwatch")

GENERATORS = ("generator", "netG", "net_g", "G", "gen", "g", "gen_model", "model_G")
DISCRIMINATORS = ("discriminator", "netD", "net_d", "D", "disc", "d", "critic", "model_D")


class GanWatch(Handle, Callback):
    """Watch a GAN that Lightning trains.

    Parameters
    ----------
    generator, discriminator : str or None
        Attributes of the LightningModule, dots allowed. None looks for the usual names.
    logits, sample, latent, conditions
        As for ``ganwatch.watch``.
    heldout
        As for ``ganwatch.watch``.
    ema : str or None
        Attribute with averaged weights of the generator, called as that is. None looks for one.
    store : str, Path or None
        A folder (SQLite inside it) or any SQLAlchemy URL; None keeps nothing.
    name : str or None
        What people call the run. None takes the module's class name.
    prometheus_port : int or None
        Port on 127.0.0.1 to export at, 0 for any free one; None exports nothing.
    probes, detectors : sequences or None
        None takes all that ganwatch has.
    preset : str, Path or None
        File of ``ganwatch calibrate`` with arguments of the detectors that ganwatch has.
    sinks : sequence of Sink
        Further destinations.
    facts : mapping
        Further provenance, plain JSON types.
    audit_seconds : float
        Time budget of the audit of the training data before the first step, 0 for none.

    Raises
    ------
    UserError
        An argument is of another type or out of its range, a preset names what is not there. Before the first step:
        networks not found or without parameters, a store that cannot be opened, a loader without batches.

    Examples
    --------
    >>> from lightning import Trainer
    >>> trainer = Trainer(callbacks=[GanWatch(store=None)], logger=False, enable_checkpointing=False, accelerator="cpu")
    """

    wording = Wording(
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
        facts: Mapping[str, Any] | None = None,
        audit_seconds: float = AUDIT_SECONDS,
    ) -> None:
        for argument, value in (("generator", generator), ("discriminator", discriminator), ("ema", ema)):
            if value is not None and not isinstance(value, str):
                raise UserError(f"{argument} must be the name of an attribute (str) or None, got {type(value).__name__}")
        if name is not None and not isinstance(name, str):
            raise UserError(f"name must be a str or None, got {type(name).__name__}")
        self.options = checked_options(logits=logits, sample=sample, latent=latent, conditions=conditions, heldout=heldout)
        checked_settings(store=store, prometheus_port=prometheus_port, facts=facts, audit_seconds=audit_seconds)
        self.generator, self.discriminator, self.ema, self.store, self.name = generator, discriminator, ema, store, name
        self.prometheus_port, self.facts, self.audit_seconds = prometheus_port, dict(facts or {}), float(audit_seconds)
        self.probes = None if probes is None else checked_parts("probes", probes, Probe)  # type: ignore[type-abstract]  # a base to compare with
        self.detectors = None if detectors is None else checked_parts("detectors", detectors, Detector)  # type: ignore[type-abstract]
        self.settings = checked_preset(preset, detectors)
        self.sinks = checked_parts("sinks", sinks, Sink)  # type: ignore[type-abstract]
        self._keep_unused()
        self._begin()

    def _keep_unused(self) -> None:
        self._unused = {"probes": _copies(self.probes), "detectors": _copies(self.detectors)}

    def _begin(self) -> None:
        adopt()
        self.observer: Observer | None = None
        self._pending: dict[str, Any] | None = None
        self._started = False
        self._failed = False
        self._tells = False
        self._waiting_since = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """A copy is an unused callback with the same arguments: nothing of a training goes with it, nor what Lightning hangs on it."""
        own = {"_unused", "observer", "_pending", "_started", "_failed", "_tells", "_waiting_since", "log", "log_dict"}
        return {name: value for name, value in vars(self).items() if name not in own} | self._unused

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._keep_unused()
        self._begin()

    @property
    def disabled(self) -> bool:
        """Whether GANWATCH_DISABLED=1 turns everything off."""
        return os.environ.get("GANWATCH_DISABLED") == "1"

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """A training is about to begin."""
        if stage == "fit":
            self._started = self._failed = False

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """The module is complete, whatever its own set-up builds: fail now rather than after the first epoch."""
        if not self.disabled:
            self._networks(pl_module)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Everything is in place, a checkpoint is restored: begin."""
        self._started = True
        if self.disabled:
            return
        named = self._networks(pl_module)
        networks = {role: network for role, (_, network) in named.items()}
        probes = default_probes() if self.probes is None else self.probes
        detectors = default_detectors(self.settings) if self.detectors is None else self.detectors
        known = {"probes": provenance(probes), "detectors": changed(detectors)}
        run, reported = self._start_run(trainer, pl_module, networks["g"], known) if trainer.is_global_zero else (None, [])
        sinks: list[Sink] = []
        try:
            if run is not None:
                sinks += [*default_sinks(self.store, prometheus=exporter(self.prometheus_port)), *map(Background, self.sinks)]
            self.observer = Observer(
                networks,
                run=run,
                probes=probes,
                detectors=detectors,
                sinks=sinks,
                reported=reported,
                state=self._pending,
                options=replace(self.options, ema=self._averaged(pl_module, networks["g"])),
            )
        except Exception:
            for sink in sinks:
                sink.close()
            if run is not None:
                call_off(self.store, run)
            raise
        self._pending = None
        if run is not None:
            self._tells = True
            Adviser(self.observer, self.wording)
            say_begun(run, {name: type(network).__name__ for name, network in named.values()}, self.store)
        self._waiting_since = time.perf_counter()

    def _start_run(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, generator: nn.Module, known: Mapping[str, Any]
    ) -> tuple[Run, list[Incident]]:
        facts = self.facts | {
            **known,
            "module": f"{type(pl_module).__module__}.{type(pl_module).__qualname__}",
            "configuration": dict(pl_module.hparams),
            "optimizers": optimizers({str(index): optimizer for index, optimizer in enumerate(trainer.optimizers)}),
            "seed": os.environ.get("PL_GLOBAL_SEED"),
            "precision": str(trainer.precision),
            "world_size": trainer.world_size,
        }
        return start_run(
            self.store,
            self.name or type(pl_module).__name__,
            facts,
            data=trainer.train_dataloader,
            generator_range=_output_range(generator),
            audit_seconds=self.audit_seconds,
            resumed=(self._pending or {}).get("run"),
        )

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int) -> None:  # noqa: ARG002  # Lightning's signature
        """A batch has arrived."""
        if self.observer is not None:
            self.observer.on_real_batch(batch, time.perf_counter() - self._waiting_since)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int  # noqa: ARG002  # Lightning's signature
    ) -> None:
        """The batch is used up; from here the loop waits for the next one."""
        self._waiting_since = time.perf_counter()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """The run ended as planned."""
        self._close("finished")

    def on_exception(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:  # noqa: ARG002  # Lightning's signature
        """The run ended otherwise."""
        self._failed = True
        self._close("stopped" if isinstance(exception, KeyboardInterrupt) or terminated(exception) else "failed")

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Say so where the training never began; what a checkpoint brought for another stage is no beginning either."""
        if stage != "fit":
            self._pending = None
        empty = trainer.train_dataloader is not None and trainer.num_training_batches == 0 and trainer.limit_train_batches != 0
        if stage == "fit" and empty and not (self._started or self._failed or self.disabled):
            raise UserError("train_dataloaders must give at least one batch, got none: is the dataset smaller than the batch (drop_last)?")

    def state_dict(self) -> dict[str, Any]:
        """Plain types only, for the Lightning checkpoint."""
        return self.observer.state_dict() if self.observer is not None else self._pending or {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep what a checkpoint brought until the training starts."""
        self._pending = state_dict or None

    def _close(self, state: str) -> None:
        if self.observer is None:
            return
        self.observer.close(state)
        if self._tells:
            self._tells = False
            say_ended(self.observer.run, state, self.observer.recorder.index, self.observer.monitor)

    def _networks(self, module: lightning.LightningModule) -> dict[str, tuple[str, nn.Module]]:
        return {
            "g": find_network(module, "generator", self.generator, GENERATORS),
            "d": find_network(module, "discriminator", self.discriminator, DISCRIMINATORS),
        }

    def _averaged(self, module: lightning.LightningModule, generator: nn.Module) -> nn.Module | None:
        """What was named, or a sub-module shaped like the generator whose name says that it is an average."""
        if self.ema is not None:
            return find_network(module, "ema", self.ema, ())[1]
        shapes = [parameter.shape for parameter in generator.parameters()]
        children: dict[str, nn.Module] = dict(module.named_modules())
        for name, child in children.items():
            averaged = isinstance(child, AveragedModel) or "ema" in name.lower().split(".")[-1] or "average" in name.lower().split(".")[-1]
            if averaged and child is not generator and [parameter.shape for parameter in child.parameters()] == shapes:
                return child
        return None


def _copies(parts: list[Any] | None) -> list[Any] | None:
    """As they are now, before they have seen anything."""
    return None if parts is None else [_copied(part) for part in parts]


def _copied(part: Any) -> Any:
    try:
        return copy.deepcopy(part)
    except Exception:  # noqa: BLE001  # somebody's part that cannot be copied is no reason not to train
        return part


def _output_range(generator: nn.Module) -> tuple[float, float] | None:
    """What the generator's last layer can put out, None where it has no bound; layers that only change the shape are passed over."""
    shapes = (nn.Flatten, nn.Unflatten, nn.Identity)
    last = [module for module in generator.modules() if not list(module.children()) and not isinstance(module, shapes)][-1:]
    if not last:
        return None
    return {nn.Tanh: (-1.0, 1.0), nn.Sigmoid: (0.0, 1.0)}.get(type(last[0]))


def find_network(
    module: lightning.LightningModule, argument: str, name: str | None, usual: Sequence[str], *, callback: str = "GanWatch"
) -> tuple[str, nn.Module]:
    """Name and sub-module: the one of that name, or the one with a usual name; an error says what to tell the ``callback``."""
    children: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    if name is None:
        name = next((candidate for candidate in usual if candidate in children), None)
    network = children.get(name) if name else None
    if name is None or network is None:
        have = ", ".join(child for child, _ in module.named_children()) or "none"
        got = f"got {name!r}" if name else f"and none of the usual names ({', '.join(usual)}) is there"
        raise UserError(f'{argument} must name a network of {type(module).__name__}, {got}; it has: {have}. Say {callback}({argument}="…")')
    checked_network(argument, network, f"{name!r} ({type(network).__name__})")
    return name, network
