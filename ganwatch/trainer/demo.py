"""The demonstration: a real GAN on the 1,797 real digits, healthy or with a real cause of failure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning

from ganwatch.contracts import Incident, Sink
from ganwatch.errors import UserError
from ganwatch.lightning import GanWatch
from ganwatch.presets import STORE
from ganwatch.trainer.data import GANData
from ganwatch.trainer.defaults import DIGITS
from ganwatch.trainer.faults import FAULTS
from ganwatch.trainer.module import GAN
from ganwatch.trainer.progress import SignalBar
from ganwatch.trainer.run import fit

STEPS = {"wgan-gp": 1200}
"""Updates of the generator in a healthy demonstration where they differ from ``DEFAULT_STEPS``: about two minutes on two cores."""
DEFAULT_STEPS = 2000


def demo(
    fault: str | None = None,
    *,
    loss: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    store: str | Path | None = STORE,
    sinks: Sequence[Sink] = (),
    callbacks: Sequence[lightning.Callback] = (),
    progress: bool = True,
    prometheus_port: int | None = None,
    threads: int = 1,
) -> tuple[GanWatch, GAN]:
    """Train on the digits under observation.

    Parameters
    ----------
    fault : str or None
        One of ``ganwatch.trainer.faults.FAULTS``; None trains a healthy set-up.
    loss : str or None
        One of ``ganwatch.trainer.defaults.DIGITS``. None takes the fault's own, or non-saturating.
    seed, steps, threads : int
        One thread is as fast as two for networks this small, and gives the same run on every machine load.
    store, sinks, prometheus_port
        See ``GanWatch``.
    callbacks : sequence of Callback
        Further ones.
    progress : bool
        Whether to show progress on standard error.

    Returns
    -------
    GanWatch, GAN

    Raises
    ------
    UserError
        An argument breaks a rule.
    """
    if fault is not None and fault not in FAULTS:
        raise UserError(f"fault must be one of {', '.join(FAULTS)}, got {fault!r}")
    if loss is not None and loss not in DIGITS:
        raise UserError(f"loss must be one of {', '.join(DIGITS)}, got {loss!r}")
    if not 0 <= seed < 2**32:
        raise UserError(f"seed must be in [0, 2**32), got {seed}")
    planned = FAULTS[fault] if fault else None
    own = planned.model.get("loss") if planned else None
    if loss is not None and own not in {None, loss}:
        raise UserError(f"loss must be {own} with fault {fault!r}, because it is part of the cause, got {loss!r}")
    base = own or loss or "non-saturating"
    model_settings = DIGITS[base] | (dict(planned.model) if planned else {}) | {"loss": base}
    data_settings = dict(planned.data) if planned else {}
    if steps is None:
        steps = planned.steps if planned else STEPS.get(base, DEFAULT_STEPS)
    lightning.seed_everything(seed, verbose=False)
    model = GAN(**model_settings)
    data = GANData(seed=seed, **data_settings)
    watch = GanWatch(
        store=store,
        name=f"demo {fault or 'healthy'} {base}",
        sinks=sinks,
        prometheus_port=prometheus_port,
        facts={"configuration": {"model": model_settings, "data": {"source": "digits"} | data_settings, "steps": steps}, "fault": fault},
    )
    shown = [SignalBar(watch, steps)] if progress else []
    fit(model, data, steps=steps, seed=seed, callbacks=[watch, *shown, *callbacks], threads=threads)
    return watch, model


def summary(watch: GanWatch) -> dict[str, Any]:
    """What ``ganwatch demo --json`` prints: run, steps, last value of each signal, incidents. Non-finite numbers are None."""
    assert watch.observer is not None
    monitor = watch.observer.monitor
    codes = {incident.id: incident.code for incident in monitor.incidents.known}
    return {
        "run": watch.observer.run.id,
        "steps": watch.observer.recorder.index,
        "signals": {name: value if math.isfinite(value) else None for name, value in sorted(monitor.latest.items())},
        "incidents": [_plain(incident, codes) for incident in monitor.incidents.known],
    }


def _plain(incident: Incident, codes: dict[str, str]) -> dict[str, Any]:
    evidence = incident.evidence
    return {
        "id": incident.id,
        "code": incident.code,
        "title": incident.title,
        "state": str(incident.state),
        "onset": incident.onset,
        "opened": incident.opened,
        "resolved": incident.resolved,
        "cause": codes.get(incident.cause) if incident.cause else None,
        "explanation": evidence.explanation if evidence else None,
    }
