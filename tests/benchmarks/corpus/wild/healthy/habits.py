"""Habits: what a loop does beside the training."""

from __future__ import annotations

import copy
import io

import torch
from corpus.wild.healthy.variant import Variant
from corpus.wild.loop import Batch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Plain(Variant):
    """Nothing special."""


class AveragedGenerator(Variant):
    """A moving average of the generator, kept beside it."""

    def before_step(self) -> None:
        super().before_step()
        if self.step == 1:
            self.average = copy.deepcopy(self.g)

    def after_step(self) -> None:
        super().after_step()
        with torch.no_grad():
            for averaged, parameter in zip(self.average.parameters(), self.g.parameters(), strict=True):
                averaged.lerp_(parameter, 0.01)


class AuxiliaryClassifier(Variant):
    """The discriminator's body has a second head that classifies, and the generator is asked for labels (Odena et al., 2017)."""

    worlds = ("digits",)

    def classify(self, batch: Batch) -> Tensor:
        """Return the loss of a classifier on samples."""
        return F.cross_entropy(self.classifier(batch.samples), batch.labels)

    def configure(self) -> None:
        super().configure()
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.classifier_optimizer = torch.optim.Adam(self.classifier.parameters(), lr=1e-3)

    def next_real(self) -> Batch:
        batch = super().next_real()
        self.classifier_optimizer.zero_grad()
        with torch.enable_grad():
            self.classify(batch).backward()
        self.classifier_optimizer.step()
        return batch

    def g_term(self, fake: Batch) -> Tensor:
        return 0.2 * self.classify(fake)


class Evaluated(Variant):
    """An evaluation with ``eval()`` every 40 steps, and ``train()`` after it."""

    def after_step(self) -> None:
        super().after_step()
        if self.step % 40 == 0:
            self.g.eval()
            self.d.eval()
            with torch.no_grad():
                self.score(self.generate(100))
            self.g.train()
            self.d.train()


class Checkpointed(Variant):
    """A checkpoint every 100 steps."""

    def after_step(self) -> None:
        super().after_step()
        if self.step % 100 == 0:
            states = [self.g.state_dict(), self.d.state_dict(), *(optimizer.state_dict() for optimizer in self.optimizers.values())]
            torch.save(states, io.BytesIO())


class Reloaded(Checkpointed):
    """The weights of the last checkpoint are loaded in half-way, as after a break."""

    def after_step(self) -> None:
        super().after_step()
        if self.step % 200 == 0:
            self.kept = copy.deepcopy((self.g.state_dict(), self.d.state_dict()))
        if self.step % 200 == 50 and self.step > 200:
            self.g.load_state_dict(self.kept[0])
            self.d.load_state_dict(self.kept[1])


class Sampled(Variant):
    """Pictures of fixed latents every 25 steps."""

    def after_step(self) -> None:
        super().after_step()
        if self.step % 25 == 0:
            fixed = torch.randn(16, self.latents, generator=torch.Generator().manual_seed(7))
            labels = self.pool_labels[:16]
            with torch.no_grad():
                _ = self.g(fixed, labels) if self.world.conditional else self.g(fixed)
