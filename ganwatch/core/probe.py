"""Base class of probes: the tensors of a step in, values per series out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ganwatch.core.readings import SampleImages

if TYPE_CHECKING:  # the core itself knows no tensors
    from torch import Tensor

    from ganwatch.capture.step import StepView, Update
    from ganwatch.evaluation.context import EvaluationContext


class Probe(ABC):
    """Base class of probes. Only probes and capture touch tensors."""

    name: ClassVar[str]
    signals: ClassVar[tuple[str, ...]]
    """Signals of the catalogue that it measures."""
    every: int = 1
    """Steps from one sampled step to the next, or after which ``offsets`` begin again."""
    early_every: ClassVar[int] = 0
    """Steps from one sampled step to the next among the first 100, in addition to its cadence; 0 for none."""
    offsets: ClassVar[tuple[int, ...]] = (0,)
    """Sampled steps among each ``every`` ones. Uneven ones keep a pattern of the loop from coinciding with them."""
    needs_output_grads: ClassVar[bool] = False
    """True if it needs dL/d(output) of the discriminator's calls at sampled steps."""
    needs_calls: ClassVar[bool] = True
    """True if it reads the networks' calls. Steps at which no probe does cost next to nothing."""
    needs_fakes: ClassVar[bool] = False
    """True if it reads the generator's latest samples (``StepView.fakes``), which costs less than the calls."""
    is_paced: ClassVar[bool] = False
    """True if it may sample fewer steps in quiet times, and more of them at once when the sentinel sees something (``core.pace``)."""
    needs_arguments: ClassVar[bool] = False
    """True if it needs the generator's inputs as they were passed."""
    deferrable: ClassVar[bool] = False
    """True if all its inputs still exist some steps later. Steps that only deferrable probes sample are read together."""
    problem: str = ""
    """Reason for which it cannot measure something that the user has asked for; empty if there is none."""

    def is_due(self, step: int) -> bool:
        """Return True if the probe samples this step."""
        return step % self.every in self.offsets

    def attach(self, context: EvaluationContext) -> None:  # noqa: B027  # optional hook, empty on purpose
        """Prepare before the first step. Called once; ``context`` calls generator and discriminator outside the training."""

    def before_update(self, update: Update) -> None:  # noqa: B027  # optional hook, empty on purpose
        """Handle a network's update before its optimizer steps, when gradients are complete. Called at sampled steps only."""

    def after_update(self, update: Update) -> None:  # noqa: B027  # optional hook, empty on purpose
        """Handle a network's update after its optimizer has stepped. Called at sampled steps only."""

    @abstractmethod
    def read(self, step: StepView) -> Mapping[str, float | Tensor]:
        """Return values per series: floats, or 0-d tensors that the gatherer copies without waiting."""

    def advance(self) -> None:  # noqa: B027  # optional hook, empty on purpose
        """Continue for some milliseconds what was begun, if it takes longer than a step may. Called between steps, about every fifth."""

    def read_end(self, step: int) -> Mapping[str, float]:  # noqa: ARG002  # most read nothing then
        """Return values per series at the end of a training, after its last step."""
        return {}

    def incident_samples(self, code: str, step: int, incident: str) -> SampleImages | None:  # noqa: ARG002  # most have none
        """Return samples that are evidence of an incident with this code, which has just fired."""
        return None

    def provenance(self) -> dict[str, Any]:
        """Return as plain types the settings that are needed to repeat the measurement."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs, as plain types."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027  # most have no state
        """Continue from a saved state."""
