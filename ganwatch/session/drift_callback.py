"""``FreshDataDrift``: compares fresh real data with a baseline at the ends of epochs of a Lightning training."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ganwatch.core.errors import UserError
from ganwatch.core.guard import Guard
from ganwatch.data.opening import open_source
from ganwatch.data.source import NotIndexableError
from ganwatch.drift.check import DriftCheck
from ganwatch.drift.sequential import DAILY
from ganwatch.drift.verdict import Drift
from ganwatch.features.extractor import Extractor
from ganwatch.isolation.generators import find_all_generators
from ganwatch.isolation.random_state import preserved_random_state
from ganwatch.session.lightning_package import Callback, set_callback_bases

if TYPE_CHECKING:
    import lightning

log = logging.getLogger("ganwatch")


class FreshDataDrift(Callback):
    """Check every ``every`` epochs if fresh real data still have the distribution of the baseline.

    A check runs between two epochs, on rank 0, and changes no random state: a training with it ends bit for bit as one without. An error
    of a check is logged once and does not stop the training. Drift is logged as a warning. If ``GanWatch`` is among the callbacks and has
    a store, each result is stored with the run.

    Parameters
    ----------
    baseline : any source of ``ganwatch.data.opening.open_source``
        Real data; read once, before the first check.
    fresh : the same, or a callable that returns it
        Read again at each check.
    every : int, epochs
    times : int
        Number of checks that ``level`` covers; by default 365.
    level : float, in (0, 1)
        Probability of any false alarm in ``times`` checks, for 95 % of baselines at least.
    features : str, Extractor or None
        See ``ganwatch.features.registry.make_extractor``.
    limit : int
        Maximum number of samples to read from each side.
    seed : int

    Attributes
    ----------
    results : list of Drift

    Raises
    ------
    UserError
        An argument breaks a rule. Before the first step: data cannot be opened.

    Examples
    --------
    >>> from lightning import Trainer
    >>> trainer = Trainer(callbacks=[FreshDataDrift("digits:1/2", "digits:2/2")], logger=False, accelerator="cpu")
    """

    def __init__(
        self,
        baseline: Any,
        fresh: Any,
        *,
        every: int = 1,
        times: int = DAILY,
        level: float = 0.05,
        features: str | Extractor | None = None,
        limit: int = 2000,
        seed: int = 0,
    ) -> None:
        set_callback_bases()
        for name, value in {"every": every, "times": times, "limit": limit}.items():
            if value < 1:
                raise UserError(f"{name} must be >= 1, got {value}")
        if not 0 < level < 1:
            raise UserError(f"level must be in (0, 1), got {level}")
        self.baseline, self.fresh, self.every = baseline, fresh, every
        self.results: list[Drift] = []
        self._options: dict[str, Any] = {"times": times, "level": level, "features": features, "limit": limit, "seed": seed}
        self._check: DriftCheck | None = None
        self._guard = Guard()

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Open both sides, so that data that cannot be read fail now."""
        if os.environ.get("GANWATCH_DISABLED") == "1" or not trainer.is_global_zero:
            return
        for name, data in {"baseline": self.baseline, "fresh": self.fresh}.items():
            if not _is_callable(data):
                try:
                    with preserved_random_state():
                        open_source(data, name)
                except NotIndexableError as error:
                    raise UserError(f"{name} must be readable by index: {error}") from error

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Check if one is due."""
        is_due = (trainer.current_epoch + 1) % self.every == 0
        if not is_due or os.environ.get("GANWATCH_DISABLED") == "1" or not trainer.is_global_zero:
            return
        self._guard("the check of fresh data", partial(self._check_isolated, trainer))

    def _check_isolated(self, trainer: lightning.Trainer) -> None:
        with preserved_random_state(*find_all_generators()):
            self._run_check(trainer)

    def _run_check(self, trainer: lightning.Trainer) -> None:
        if self._check is None:
            self._check = DriftCheck(self.baseline, **self._options)
        result = self._check(self.fresh() if _is_callable(self.fresh) else self.fresh).drift
        self.results.append(result)
        if result.verdict == "world_moved":
            columns = "; ".join(map(str, result.changed_columns[:4])) or "no single column"
            log.warning("ganwatch: fresh data have moved away from the baseline, most of all %s", columns)
        _record_result(trainer, result)


def _is_callable(data: Any) -> bool:
    """Return True if ``data`` is a function that returns data; a data set or an array is data itself."""
    return isinstance(data, Callable) and not hasattr(data, "__getitem__")  # type: ignore[arg-type]  # an abstract base to compare with


def _record_result(trainer: lightning.Trainer, result: Drift) -> None:
    """Pass the result to the observer among the callbacks: to its readings and to its sinks."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
    for callback in callbacks:
        observer = getattr(callback, "observer", None)
        if observer is None:
            continue
        if result.check is not None and result.world is not None:
            score = result.check.statistic / result.check.calibration.threshold
            observer.add_readings({"drift_score": score, "drift_effect": result.world.effect})
        observer.add_drift(result.as_dict())
