"""Conditional trainings whose labels are ignored, mixed up or drawn anew, and conditional trainings that work."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

from wiring.cases.collapse import label_reals
from wiring.loops import BATCH, LATENTS, Loop


class Conditional(nn.Module):
    """A network that gets the embedding of a label beside its input."""

    def __init__(self, network: nn.Module, kinds: int, width: int) -> None:
        super().__init__()
        self.network, self.embedding = network, nn.Embedding(kinds, width)

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        outputs: Tensor = self.network(torch.cat([inputs.flatten(1), self.embedding(labels)], 1))
        return outputs


class _ConditionalLoop(Loop):
    """A loop whose networks both get labels. ``labels`` are what G is asked for."""

    worlds = ("digits", "ring")
    steps = 1200
    rates = 1e-3, 1e-3
    width = 16

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.labels = label_reals(world, self.reals)

    @property
    def kinds(self) -> int:
        return {"digits": 10, "ring": 8}[self.world]

    def make_generator(self) -> nn.Module:
        body = super().make_generator()
        body[0] = nn.Linear(LATENTS + self.width, 128)
        return Conditional(body, self.kinds, self.width)

    def make_discriminator(self) -> nn.Module:
        body = super().make_discriminator()
        body[1] = nn.Linear(self.reals[0].numel() + self.width, 128)
        return Conditional(body, self.kinds, self.width)

    def draw_labelled(self) -> tuple[Tensor, Tensor]:
        """Return reals and their labels."""
        places = torch.randint(len(self.reals), (BATCH,))
        return self.reals[places], self.labels[places]

    def draw_labels(self) -> Tensor:
        """Return labels to request."""
        return torch.randint(self.kinds, (BATCH,))

    def to_d(self, labels: Tensor) -> Tensor:
        """Return the labels that D gets with fakes of these labels."""
        return labels

    def generate(self, labels: Tensor) -> Tensor:
        """Return fakes of these labels."""
        fakes: Tensor = self.g(self.draw_latents(), labels)
        return fakes

    def d_phase(self) -> None:
        self.clear(self.d_optimizer)
        real, kinds = self.draw_labelled()
        labels = self.draw_labels()
        self.d_loss(self.d(real, kinds), self.d(self.generate(labels).detach(), self.to_d(labels))).backward()
        self.d_optimizer.step()

    def g_phase(self) -> None:
        self.clear(self.g_optimizer)
        labels = self.draw_labels()
        self.g_loss(self.d(self.generate(labels), self.to_d(labels))).backward()
        self.g_optimizer.step()


class LabelsIgnored(_ConditionalLoop):
    """The generator's embedding is multiplied by zero, as by a mask that was left in."""

    code = "GW104"
    within = 1000

    def generate(self, labels: Tensor) -> Tensor:
        with torch.no_grad():
            self.g.embedding.weight.zero_()
        return super().generate(labels)


class LabelsRedrawn(_ConditionalLoop):
    """The discriminator gets other labels with the fakes than the generator was asked for."""

    code = "GW104"
    within = 1000

    def to_d(self, labels: Tensor) -> Tensor:
        return self.draw_labels()


class LabelsOfOtherOrder(_ConditionalLoop):
    """The generator's labels count from another kind than the discriminator's."""

    code = "GW104"
    within = 1000

    def to_d(self, labels: Tensor) -> Tensor:
        return (labels + 1) % self.kinds


class LabelsRedrawnLater(LabelsRedrawn):
    """From a step on the discriminator gets other labels with the fakes than the generator was asked for."""

    worlds = ("digits",)  # the ring collapses within twenty steps
    start, steps, within = 1000, 1700, 600

    def to_d(self, labels: Tensor) -> Tensor:
        return super().to_d(labels) if self.is_on else labels


class LabelsObeyed(_ConditionalLoop):
    """A conditional training that works."""


class LabelsOfRareKinds(_ConditionalLoop):
    """A conditional training of data with rare kinds, whose labels are requested equally often."""

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        kept = (self.labels > 1) | (torch.rand(len(self.labels), generator=torch.Generator().manual_seed(0)) < 0.3)
        self.reals, self.labels = self.reals[kept], self.labels[kept]


class LabelsByAuxiliaryLoss(_ConditionalLoop):
    """The discriminator gets no labels; a classifier of its own tells them, for reals and fakes. Kinds lose some of their variety by it."""

    silent = ("GW104", "GW402")

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        size = self.reals[0].numel()
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(size, 64), nn.LeakyReLU(0.2), nn.Linear(64, self.kinds))
        self.d_optimizer.add_param_group({"params": list(self.classifier.parameters())})

    def make_discriminator(self) -> nn.Module:
        return Loop.make_discriminator(self)

    def d_phase(self) -> None:
        self.clear(self.d_optimizer)
        real, kinds = self.draw_labelled()
        loss = self.d_loss(self.d(real), self.d(self.generate(self.draw_labels()).detach()))
        (loss + F.cross_entropy(self.classifier(real), kinds)).backward()
        self.d_optimizer.step()

    def g_phase(self) -> None:
        self.clear(self.g_optimizer)
        labels = self.draw_labels()
        fake = self.generate(labels)
        (self.g_loss(self.d(fake)) + F.cross_entropy(self.classifier(fake), labels)).backward()
        self.g_optimizer.step()
