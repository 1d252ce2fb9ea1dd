"""``Drill``: the Lightning callback that brings an injection into a training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ganwatch.core.errors import UserError
from ganwatch.drill.active_injection import ActiveInjection
from ganwatch.drill.injection import make_injection
from ganwatch.session.lightning_networks import DISCRIMINATOR_NAMES, GENERATOR_NAMES, find_network
from ganwatch.session.lightning_package import Callback, set_callback_bases

if TYPE_CHECKING:
    import lightning


class Drill(Callback):
    """Bring the cause of a failure into a training, from a step of the generator on.

    Parameters
    ----------
    failure : str
        One of ``ganwatch.drill.injections()``.
    step : int, >= 1
        First step of the generator that is changed. A training that continues from a checkpoint with this callback counts from its
        start.
    generator, discriminator : str or None
        Attributes of the LightningModule, as for ``GanWatch``.
    **how : float
        Arguments of the injection.

    Raises
    ------
    UserError
        There is no such injection, or an argument does not fit. Before the first step: networks are not found.

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
        """First step in which something was changed; None before that."""
        return None if self.injected is None else self.injected.injected_at

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Install the injection before the first step."""
        _, generator = find_network(pl_module, "generator", self.generator, GENERATOR_NAMES, callback="Drill")
        _, discriminator = find_network(pl_module, "discriminator", self.discriminator, DISCRIMINATOR_NAMES, callback="Drill")
        self.injection = self._make()
        injected = self.injected = ActiveInjection(self.injection, generator, discriminator, self.step, loaders_too=False)
        deliver = trainer.strategy.batch_to_device

        def change_and_deliver(*args: Any, **kwargs: Any) -> Any:
            batch = deliver(*args, **kwargs)
            return injected.change_batch(batch) if trainer.training else batch

        trainer.strategy.batch_to_device = change_and_deliver  # type: ignore[method-assign]  # every batch passes there

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Count on from a restored checkpoint."""
        if self.injected is not None:
            self.injected.steps = self._before

    def on_exception(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:  # noqa: ARG002  # Lightning's signature
        """Remove the injection; after an exception Lightning calls no teardown."""
        self._close(trainer)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002  # Lightning's signature
        """Remove the injection."""
        self._close(trainer)

    def _close(self, trainer: lightning.Trainer) -> None:
        if self.injected is not None:
            self.injected.close()
            vars(trainer.strategy).pop("batch_to_device", None)

    def state_dict(self) -> dict[str, Any]:
        """State for the Lightning checkpoint: the steps so far."""
        return {"steps": self._before if self.injected is None else self.injected.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the steps of a checkpoint until the training starts."""
        self._before = state_dict["steps"]
