"""Labels: those of a conditional training that are shuffled, drawn anew or ignored."""

from __future__ import annotations

import torch
from corpus.wild.causes.cause import Cause
from corpus.wild.loop import Batch


class LabelsShuffled(Cause):
    """Labels of the reals that belong to other samples."""

    codes = ("GW104",)
    worlds = ("digits",)

    def next_real(self) -> Batch:
        batch = super().next_real()
        return Batch(batch.samples, batch.labels[torch.randperm(len(batch.labels))]) if self.is_on else batch


class LabelsRedrawn(Cause):
    """The discriminator gets other labels with the fakes than the generator was asked for."""

    codes = ("GW104",)
    worlds = ("digits",)

    def generate(self, count: int) -> Batch:
        batch = super().generate(count)
        return Batch(batch.samples, self.draw_labels(count)) if self.is_on else batch


class LabelsOff(Cause):
    """The discriminator gets the fakes' labels counted from one."""

    codes = ("GW104",)
    worlds = ("digits",)

    def generate(self, count: int) -> Batch:
        batch = super().generate(count)
        return Batch(batch.samples, (batch.labels + 1) % self.world.kinds) if self.is_on else batch


class LabelsIgnored(Cause):
    """The generator's embedding of labels is zero, and stays so."""

    codes = ("GW104",)
    worlds = ("digits",)

    def before_step(self) -> None:
        super().before_step()
        if self.is_on:
            with torch.no_grad():
                self.g.embedding.weight.zero_()  # type: ignore[operator, union-attr]
