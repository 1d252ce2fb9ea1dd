"""What a probe is: the tensors of a step in, values per series out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ganwatch.core.readings import SampleImages


class Probe(ABC):
    """Tensors in, values per series out. The only part of ganwatch, beside capture, that touches tensors."""

    name: ClassVar[str]
    signals: ClassVar[tuple[str, ...]]
    """Families of the catalogue that it reads."""
    every: int = 1
    """Cadence, in steps."""
    needs_output_grads: ClassVar[bool] = False
    """Whether it needs dL/d(output) of the discriminator's calls on due steps."""
    needs_calls: ClassVar[bool] = True
    """Whether it reads the networks' calls; steps at which nobody does cost next to nothing."""
    needs_arguments: ClassVar[bool] = False
    """Whether it needs what the generator was given as it was given."""
    deferrable: ClassVar[bool] = False
    """Whether all that it reads is still there some steps later; steps at which all are patient are read together."""

    def due(self, step: int) -> bool:
        """Whether the probe measures at this step."""
        return step % self.every == 0

    def attach(self, context: Any) -> None:  # noqa: B027  # optional hook, empty on purpose
        """Called once, before the first step: ``context`` calls generator and discriminator beside the training."""

    def before_update(self, update: Any) -> None:  # noqa: B027  # optional hook, empty on purpose
        """A network's optimizer is about to step: gradients are complete. Called on due steps only."""

    def after_update(self, update: Any) -> None:  # noqa: B027  # optional hook, empty on purpose
        """A network's optimizer has stepped. Called on due steps only."""

    @abstractmethod
    def read(self, step: Any) -> Mapping[str, Any]:
        """Values per series: floats, or 0-d tensors that the gatherer copies without waiting."""

    def pinned(self, code: str, step: int, incident: str) -> SampleImages | None:  # noqa: ARG002  # most have nothing to show
        """Samples that are evidence of an incident with this code, which has just fired."""
        return None

    def provenance(self) -> dict[str, Any]:
        """What it takes to measure the same again, as plain types, where its name does not say it."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on, as plain types."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027  # most keep nothing
        """Go on from a saved state."""
