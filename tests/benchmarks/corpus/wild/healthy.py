"""Variants of healthy trainings: schedules, data, and what a loop does beside the training."""

from __future__ import annotations

import copy
import io
import math
import re
from collections.abc import Iterator
from typing import ClassVar

import torch
from corpus.wild.loop import Batch, Loop
from corpus.wild.plan import WildPlan
from corpus.wild.worlds import World
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

IMAGES = ("photos", "enlarged", "digits", "stacked")


class Variant(Loop):
    """A healthy training with something special.

    Attributes
    ----------
    worlds, losses, without
        As for ``Cause``.
    """

    worlds: ClassVar[tuple[str, ...] | None] = None
    losses: ClassVar[tuple[str, ...] | None] = None
    networks: ClassVar[tuple[str, ...] | None] = None
    styles: ClassVar[tuple[str, ...] | None] = None
    optimizers: ClassVar[tuple[str, ...] | None] = None
    without: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def label(cls) -> str:
        """Return the name in words with hyphens."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()


class Plain(Variant):
    """Nothing special."""


class SlowStart(Variant):
    """Rates that rise over a quarter of the training."""

    def schedule(self) -> None:
        self.factors = dict.fromkeys("gd", min(1.0, self.step / (self.plan.steps / 4)))


class WarmRestarts(Variant):
    """Rates that fall along a cosine and start again, four times."""

    def schedule(self) -> None:
        period = self.plan.steps // 4
        self.factors = dict.fromkeys("gd", 0.1 + 0.45 * (1.0 + math.cos(math.pi * (self.step % period) / period)))


class Cosine(Variant):
    """Rates that fall along a cosine to a twentieth."""

    def schedule(self) -> None:
        self.factors = dict.fromkeys("gd", 0.05 + 0.475 * (1.0 + math.cos(math.pi * self.step / self.plan.steps)))


class RateSteps(Variant):
    """Rates that are halved three times."""

    def schedule(self) -> None:
        self.factors = dict.fromkeys("gd", 0.5 ** (4 * (self.step - 1) // self.plan.steps))


class FineTuning(Variant):
    """Networks of an earlier training, which goes on with a fifth of its rates."""

    earlier, is_pretrained = 400, False

    def __init__(self, plan: WildPlan, world: World) -> None:
        super().__init__(plan, world)
        for step in range(1, self.earlier + 1):
            self.train_step(step)
        self.optimizers = {role: self.make_optimizer(role) for role in "gd"}
        self.step, self.is_pretrained = 0, True

    def schedule(self) -> None:
        self.factors = dict.fromkeys("gd", 0.2 if self.is_pretrained else 1.0)


class GrowingBatch(Variant):
    """Batches that are doubled twice."""

    styles = ("plain", "generator-first", "frozen")

    def before_step(self) -> None:
        super().before_step()
        if self.step in {self.plan.steps // 3, 2 * self.plan.steps // 3}:
            self.batch *= 2


class GrowingResolution(Variant):
    """Images that are coarse in the first third."""

    worlds = ("photos", "enlarged", "digits")

    def spoil(self, samples: Tensor) -> Tensor:
        if self.step > self.plan.steps // 3:
            return samples
        return F.interpolate(F.avg_pool2d(samples, 2), scale_factor=2.0)


class FlipsOfBothSides(Variant):
    """Reals and fakes are flipped and shifted at random before the discriminator gets them."""

    worlds = ("photos", "enlarged", "signals")

    def show(self, samples: Tensor) -> Tensor:
        if self.world.name == "photos":
            mask = torch.rand(len(samples), 1, 1, 1) < 0.5
            return torch.where(mask, samples.flip(3), samples)
        shift = int(torch.randint(-1, 2, ()))
        return samples.roll(shift, -1)


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


class ClippedGradients(Variant):
    """Gradients that are clipped to a usual norm."""

    def update(self, role: str) -> None:
        nn.utils.clip_grad_norm_(getattr(self, role).parameters(), 1.0)
        super().update(role)


class Autocast(Variant):
    """Both losses under automatic mixed precision with bfloat16."""

    without = ("probability-bce", "wgan-gp", "r3gan", "logistic-r1")

    def d_objective(self) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().d_objective()

    def g_objective(self) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().g_objective()


class FadingNoise(Variant):
    """Noise on reals and fakes that fades to nothing (Sønderby et al., 2017, arXiv:1610.04490)."""

    def show(self, samples: Tensor) -> Tensor:
        level = 0.3 * max(0.0, 1.0 - 2.0 * self.step / self.plan.steps)
        return samples + level * torch.randn_like(samples) if level else samples


class ReplayedFakes(Variant):
    """Half of the discriminator's fakes come from a buffer of earlier ones (Shrivastava et al., 2017, arXiv:1612.07828)."""

    without = ("digits", "reused", "wgan-gp")
    size = 256
    buffer: Tensor | None = None

    def fakes_for_d(self) -> Batch:
        fakes = super().fakes_for_d()
        buffer = fakes.samples if self.buffer is None else self.buffer
        half = len(fakes.samples) // 2
        mixed = torch.cat([fakes.samples[:half], buffer[torch.randint(len(buffer), (len(fakes.samples) - half,))]])
        self.buffer = torch.cat([fakes.samples[:half], buffer])[: self.size]
        return Batch(mixed, fakes.labels)


class FlippedLabels(Variant):
    """One label in twenty of the discriminator's is flipped."""

    losses = ("bce", "minimax", "probability-bce", "smoothed-bce", "least-squares")

    def score_both(self, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
        first, second = super().score_both(real, fake)
        flipped = torch.rand(len(first), 1) < 0.05
        return torch.where(flipped, second, first), torch.where(flipped, first, second)


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
        self.classify(batch).backward()
        self.classifier_optimizer.step()
        return batch

    def fakes_for_g(self) -> Batch:
        self.shown = super().fakes_for_g()
        return self.shown

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().g_loss(real, fake) + 0.2 * self.classify(self.shown)


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


class TrainedAhead(Variant):
    """A discriminator that is trained alone for some updates before the first step."""

    without = ("combined",)

    def before_step(self) -> None:
        super().before_step()
        if self.step == 1:
            for _ in range(15):
                self.d_phase()


class FreshOptimizers(Variant):
    """Optimizers that are created again at half of the training."""

    def before_step(self) -> None:
        super().before_step()
        if self.step == self.plan.steps // 2:
            self.optimizers = {role: self.make_optimizer(role) for role in "gd"}


class UnevenRates(Variant):
    """A discriminator at half of its rate."""

    def schedule(self) -> None:
        self.factors["d"] = 0.5


class TwoDiscriminatorUpdates(Variant):
    """Two updates of the discriminator for each of the generator, at half of its rate."""

    def configure(self) -> None:
        super().configure()
        self.d_steps = max(2, self.d_steps)

    def schedule(self) -> None:
        self.factors["d"] = 0.5


class UniformLatents(Variant):
    """Latents from a cube."""

    def draw_latents(self, count: int) -> Tensor:
        return 2.0 * torch.rand(count, self.latents) - 1.0

    def truth_latents(self, count: int) -> Tensor:
        return 2.0 * torch.rand(count, self.latents, generator=torch.Generator().manual_seed(0)) - 1.0


class OrderedEpochs(Variant):
    """Reals in the same order in every epoch."""

    def read(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for start in range(0, len(self.pool) - self.batch + 1, self.batch):
                yield self.pool[start : start + self.batch], self.pool_labels[start : start + self.batch]


VARIANTS = {
    cls.label(): cls for cls in list(globals().values()) if isinstance(cls, type) and issubclass(cls, Variant) and cls is not Variant
}
"""Variants by name."""
