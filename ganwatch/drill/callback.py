"""The Lightning callback that brings an injection into a training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ganwatch.core.errors import UserError
from ganwatch.drill.injecting import ActiveInjection
from ganwatch.drill.injection import make_injection
from ganwatch.session.lightning_networks import DISCRIMINATOR_NAMES, GENERATOR_NAMES, find_network
from ganwatch.session.lightning_package import Callback, set_callback_bases

if TYPE_CHECKING:
    import lightning


class Drill(Callback):
    """Bring the cause of a failure into a training from the generator's step number ``step`` on.

    Parameters
    ----------
    failure : str
        One of ``ganwatch.drill.injections()``.
    step : int, >= 1
        The first of the generator's steps that is interfered with; of a training that goes on from a checkpoint with this callback in
        it, counted from its start.
    generator, discriminator : str or None
        Attributes of the LightningModule, as for ``GanWatch``.
    **how : float
        What the injection itself takes.

    Raises
    ------
    UserError
        There is no such injection, or an argument does not fit; before the first step, networks are not found.

    Examples
    --------
    >>> from lightning import Trainer
    >>> trainer = Trainer(callbacks=[Drill("stall", step=500)], logger=False, enable_checkpointing=False, accelerator="cpu")
    """

    def __init__(
        self, failure: str, *, step: int = 500, generator: str | None = None, discriminator: str | None = None, **how: float
    ) -> None:
        if isinstance(step, bool) or not isinstance(step, int) or step < 1:
            raise UserError(f"step must be an integer >= 1 (steps of the generator), got {step!r}")
        self._make = partial(make_injection, failure, **how)
        self.injection = self._make()
        self.step, self.generator, self.discriminator = step, generator, discriminator
        self._before = 0
        self.injected: ActiveInjection | None = None
        set_callback_bases()

    @property
    def injected_at(self) -> int | None:
        """The first step in which something was changed; None as long as nothing was."""
        return None if self.injected is None else self.injected.injected_at

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin to count, before the first step."""
        _, generator = find_network(pl_module, "generator", self.generator, GENERATOR_NAMES, callback="Drill")
        _, discriminator = find_network(pl_module, "discriminator", self.discriminator, DISCRIMINATOR_NAMES, callback="Drill")
        self.injection = self._make()
        injected = self.injected = ActiveInjection(self.injection, generator, discriminator, self.step, deliveries=False)
        deliver = trainer.strategy.batch_to_device

        def delivered(*args: Any, **kwargs: Any) -> Any:
            batch = deliver(*args, **kwargs)
            return injected.batch(batch) if trainer.training else batch

        trainer.strategy.batch_to_device = delivered  # type: ignore[method-assign]  # all that is delivered passes there

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """A checkpoint is restored."""
        if self.injected is not None:
            self.injected.steps = self._before

    def on_exception(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:  # noqa: ARG002  # Lightning's signature
        """Leave nothing behind; there is no teardown then."""
        self._close(trainer)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Leave nothing behind."""
        self._close(trainer)

    def _close(self, trainer: lightning.Trainer) -> None:
        if self.injected is not None:
            self.injected.close()
            vars(trainer.strategy).pop("batch_to_device", None)

    def state_dict(self) -> dict[str, Any]:
        """Steps so far, for the Lightning checkpoint."""
        return {"steps": self._before if self.injected is None else self.injected.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from a checkpoint."""
        self._before = state_dict["steps"]
