"""The demonstration: trains a real GAN on the 1,797 real digits, healthy or with a real cause of failure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning

from ganwatch.core.errors import UserError
from ganwatch.core.sink import Sink
from ganwatch.session.defaults import STORE
from ganwatch.session.lightning import GanWatch
from ganwatch.trainer.data import GANData
from ganwatch.trainer.defaults import DIGITS, STEPS
from ganwatch.trainer.faults import FAULTS
from ganwatch.trainer.module import GAN
from ganwatch.trainer.progress import SignalBar
from ganwatch.trainer.run import fit
from ganwatch.trainer.summary import summary

__all__ = ["DemoInterrupted", "demo", "summary"]


class DemoInterrupted(KeyboardInterrupt):
    """Ctrl-C during the demonstration; the run of ``watch`` has ended as stopped, with all its readings and incidents."""

    def __init__(self, watch: GanWatch) -> None:
        super().__init__()
        self.watch = watch


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
    """Train on the digits under a watch.

    Parameters
    ----------
    fault : str or None
        One of ``ganwatch.trainer.faults.FAULTS``; None trains a healthy configuration.
    loss : str or None
        One of ``ganwatch.trainer.defaults.DIGITS``. None takes that of the fault, or non-saturating.
    seed, steps, threads : int
        One thread is as fast as two for networks this small, and gives the same run under any machine load.
    store, sinks, prometheus_port
        See ``GanWatch``.
    callbacks : sequence of Callback
        Further callbacks.
    progress : bool
        True shows progress on standard error.

    Returns
    -------
    GanWatch, GAN

    Raises
    ------
    UserError
        An argument breaks a rule.
    Stopped
        Ctrl-C after the first step began.
    """
    if fault is not None and fault not in FAULTS:
        raise UserError(f"fault must be one of {', '.join(FAULTS)}, got {fault!r}")
    if loss is not None and loss not in DIGITS:
        raise UserError(f"loss must be one of {', '.join(DIGITS)}, got {loss!r}")
    if not 0 <= seed < 2**32:
        raise UserError(f"seed must be in [0, 2**32), got {seed}")
    plan = FAULTS[fault] if fault else None
    fault_loss = plan.model.get("loss") if plan else None
    if loss is not None and fault_loss not in {None, loss}:
        raise UserError(f"loss must be {fault_loss} with fault {fault!r}, because it is part of the cause, got {loss!r}")
    base = fault_loss or loss or "non-saturating"
    model_settings = DIGITS[base] | (dict(plan.model) if plan else {}) | {"loss": base}
    data_settings = dict(plan.data) if plan else {}
    if steps is None:
        steps = plan.steps if plan else STEPS[base]
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
    bars = [SignalBar(watch, steps)] if progress else []
    try:
        fit(model, data, steps=steps, seed=seed, callbacks=[watch, *bars, *callbacks], threads=threads)
    except KeyboardInterrupt:
        if watch.observer is None:
            raise
        raise DemoInterrupted(watch) from None
    return watch, model
