"""One run of the wild part, as plain types."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FINAL_SEED = 2000
"""First seed of the final part, which is not used while tuning."""
FRESH_SEED = 3000
"""First seed of the fresh part, which was recorded after the last change of a rule."""


@dataclass(frozen=True)
class WildPlan:
    """One run. ``cause`` is the name of a cause or None, ``at`` its step, 1 for the start; ``variant`` is that of a healthy run."""

    world: str
    loss: str
    network: str
    optimizer: str
    style: str
    batch: int
    steps: int
    seed: int
    variant: str = "plain"
    cause: str | None = None
    at: int = 0

    @property
    def part(self) -> str:
        if self.seed >= FRESH_SEED:
            return "wild-fresh"
        return "wild-final" if self.seed >= FINAL_SEED else "wild-tuning"

    @property
    def name(self) -> str:
        what = f"{self.cause}@{self.at}" if self.cause else self.variant
        return f"wild-{self.world}-{what}-{self.loss}-{self.network}-{self.optimizer}-{self.style}-{self.batch}-{self.seed}"

    def setup(self) -> dict[str, Any]:
        """Return the set-up as plain types, for the facts."""
        return {name: value for name, value in asdict(self).items() if name not in {"cause", "at", "seed", "steps"}}
