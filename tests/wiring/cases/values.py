"""Faults of values and gradients: ranges that jump, gradients that die, held-out reals of other kinds; and what only resembles them."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, RMSprop

from ganwatch.probes.quality import Quality
from ganwatch.session.defaults import default_probes
from ganwatch.trainer.data import load_digits
from wiring.loops import LATENTS, Loop


class DeepSigmoids(Loop):
    """A generator of many layers with sigmoids, whose first layer gets no gradient."""

    code = "GW301"
    steps = 500
    within = 300
    worlds = ("digits",)
    rates = (2e-3, 5e-4)

    def make_generator(self) -> nn.Module:
        """Create a generator of fourteen layers without normalisation."""
        layers = [layer for _ in range(12) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
        return nn.Sequential(nn.Linear(LATENTS, 64), nn.Sigmoid(), *layers, nn.Linear(64, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))


class DeepResiduals(DeepSigmoids):
    """A generator as deep whose layers pass the gradient on."""

    code = None
    silent = ("GW301",)

    def make_generator(self) -> nn.Module:
        """Create a generator of fourteen layers with normalisation."""
        layers = [layer for _ in range(12) for layer in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
        return nn.Sequential(nn.Linear(LATENTS, 64), nn.ReLU(), *layers, nn.Linear(64, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))


class LostGradient(Loop):
    """A first layer whose gradient all but vanishes from a step on."""

    code = "GW301"
    start = 150
    within = 200

    def before_step(self) -> None:
        """Cut the gradient behind the first layer."""
        if self.step == self.start:
            self.g[0].register_forward_hook(lambda layer, inputs, output: output.detach() + 1e-7 * (output - output.detach()))  # type: ignore[operator, union-attr]


class RangeJump(Loop):
    """Reals that are no longer scaled from a step on."""

    code = "GW501"
    start = 150
    within = 60

    def draw_reals(self) -> Tensor:
        """Return values of 0…255 in place of -1…1."""
        reals = super().draw_reals()
        return (reals + 1.0) * 127.5 if self.is_on else reals


class RangeDrop(Loop):
    """Reals that are scaled twice from a step on."""

    code = "GW501"
    start = 150
    within = 100

    def draw_reals(self) -> Tensor:
        """Return values that were divided by 255 once too often."""
        reals = super().draw_reals()
        return reals / 255.0 if self.is_on else reals


class FakesRescaled(Loop):
    """Fakes that reach D as pixels of 0…255 from a step on, while the reals stay in -1…1."""

    code = "GW501"
    start = 150
    within = 60
    worlds = ("digits",)

    def make_generator(self) -> nn.Module:
        """Create a generator whose output is rescaled from a step on."""
        generator = super().make_generator()
        generator.register_forward_hook(lambda network, inputs, output: (output + 1.0) * 127.5 if self.is_on else output)
        return generator


class RangeMismatchAtStart(RangeJump):
    """Reals of 0…255 against a generator that ends in a tanh."""

    start = 0
    within = 60
    worlds = ("digits",)


class StandardisedReals(Loop):
    """Reals with the mean and the spread of a standardised image, for a generator that ends in a tanh."""

    code = "GW501"
    within = 300
    worlds = ("digits",)

    def draw_reals(self) -> Tensor:
        """Return values of about -0.8…2.4."""
        return (super().draw_reals() - self.reals.mean()) / self.reals.std()


class StandardisedForLinear(StandardisedReals):
    """The same reals for a generator whose output has no bound."""

    code = None
    silent = ("GW501",)

    def make_generator(self) -> nn.Module:
        """Create a generator without a tanh."""
        return nn.Sequential(*(layer for layer in super().make_generator() if not isinstance(layer, nn.Tanh)))


class EndsInRelu(Loop):
    """A generator that ends in a ReLU, for reals of -1…1."""

    code = "GW501"
    within = 200
    worlds = ("digits",)

    def make_generator(self) -> nn.Module:
        """Create a generator without negative values."""
        return nn.Sequential(*(nn.ReLU() if isinstance(layer, nn.Tanh) else layer for layer in super().make_generator()))


class PositiveReals(EndsInRelu):
    """The same generator for reals of 0…1."""

    code = None
    silent = ("GW501",)

    def draw_reals(self) -> Tensor:
        """Return values of 0…1."""
        return (super().draw_reals() + 1.0) / 2.0


class MissingValue(Loop):
    """One row of every real batch has a missing value from a step on."""

    code = "GW502"
    start = 153
    within = 60

    def draw_reals(self) -> Tensor:
        """Return a batch with a NaN."""
        reals = super().draw_reals().clone()
        if self.is_on:
            reals[3].view(-1)[0] = float("nan")
        return reals


class RawTable(Loop):
    """Columns that nobody has standardised, for a generator with an unbounded output."""

    silent = ("GW501",)
    worlds = ("table",)

    def draw_reals(self) -> Tensor:
        """Return columns on other scales."""
        return super().draw_reals() * torch.logspace(0.0, 2.0, 30)


class HeavyTails(Loop):
    """A standardised table with heavy tails."""

    silent = ("GW501",)
    worlds = ("table",)

    def draw_reals(self) -> Tensor:
        """Return the cubes of standardised columns."""
        return super().draw_reals() ** 3 / 10.0


class OutliersInOneBatch(Loop):
    """One batch with a few samples that are far out."""

    silent = ("GW501",)
    start = 200

    def draw_reals(self) -> Tensor:
        """Return a batch with two samples of a thousand times the values at the step at which it is looked at."""
        reals = super().draw_reals().clone()
        if self.step == self.start:
            reals[:2] *= 1000.0
        return reals


class DimmedReals(Loop):
    """Reals whose contrast varies from batch to batch by a factor of three."""

    silent = ("GW501",)

    def draw_reals(self) -> Tensor:
        """Return a batch of another contrast each time."""
        return super().draw_reals() * (1.0 if self.step % 3 else 0.33)


class NonFiniteLoss(Loop):
    """A loss of the generator that is not finite from a step on."""

    code = "GW303"
    start = 153
    within = 20

    def g_loss(self, fake: Tensor) -> Tensor:
        """Return the logarithm of a probability that underflows."""
        return super().g_loss(fake) if not self.is_on else torch.log(torch.zeros_like(fake) * fake).mean()


class NonFiniteWeight(Loop):
    """A weight of D that is not finite from a step on."""

    code = "GW303"
    start = 153
    within = 20

    def before_step(self) -> None:
        """Spoil a weight."""
        if self.step == self.start:
            next(self.d.parameters()).data[0, 0] = float("nan")


class RateJump(Loop):
    """A learning rate of both networks that is a hundred times as high from a step on."""

    code = "GW302"
    start = 150
    within = 200

    def before_step(self) -> None:
        """Raise the rate."""
        if self.step == self.start:
            for optimizer in (self.g_optimizer, self.d_optimizer):
                optimizer.param_groups[0]["lr"] *= 100.0


class ClippedCritic(Loop):
    """A critic whose weights are clipped to next to nothing, so that nothing reaches the generator."""

    code = "GW301"
    within = 200
    rates = 2e-4, 2e-4
    bound = 1e-4

    def make_optimizer(self, role: str) -> Optimizer:
        """Create the optimizer of Wasserstein GANs with clipping."""
        network = {"g": self.g, "d": self.d}[role]
        return RMSprop(network.parameters(), lr=self.rates["gd".index(role)])

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the negated difference of the means."""
        return fake.mean() - real.mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        """Return the negated mean."""
        return -fake.mean()

    def d_phase(self) -> None:
        """Update the critic three times, and clip its weights."""
        for _ in range(3):
            super().d_phase()
            with torch.no_grad():
                for parameter in self.d.parameters():
                    parameter.clamp_(-self.bound, self.bound)


class UsualClipping(ClippedCritic):
    """The same critic with a usual bound."""

    code = None
    silent = ("GW301", "GW002", "GW403")
    bound = 0.1


class _WithHeldout(Loop):
    """A training with held-out reals."""

    worlds = ("digits",)
    steps = 600
    within = 600

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        order = torch.randperm(len(self.reals), generator=torch.Generator().manual_seed(seed))
        self.heldout, self.reals = self.choose(order[:300], order[300:])

    def choose(self, unseen: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return held-out and training reals of these places."""
        return self.reals[unseen], self.reals[seen]

    def options(self) -> dict[str, object]:
        """Return the held-out reals, and quality that may take its time."""
        return {"heldout": self.heldout, "probes": default_probes(Quality(share=0.9))}


class MissingKinds(_WithHeldout):
    """Training data with the digits 0…4 only, held-out data with all ten."""

    code = "GW008"

    def choose(self, unseen: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return all held-out reals, and training reals of five kinds."""
        return self.reals[unseen], self.reals[seen[load_digits().tensors[1][seen] < 5]]


class SameKinds(_WithHeldout):
    """Held-out data of the same source."""

    silent = ("GW008",)


class FewHeldout(_WithHeldout):
    """Forty held-out samples of the same source, three of them outliers."""

    silent = ("GW008",)

    def choose(self, unseen: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return few held-out reals with outliers."""
        few = self.reals[unseen[:40]].clone()
        few[:3] = few[:3].flip(2)
        return few, self.reals[seen]


class AugmentedReals(_WithHeldout):
    """Training reals that are flipped and shifted at random, by design; held-out ones are not."""

    silent = ("GW008",)

    def draw_reals(self) -> Tensor:
        """Return an augmented batch."""
        reals = super().draw_reals()
        flipped = torch.where(torch.rand(len(reals), 1, 1, 1) < 0.5, reals.flip(3), reals)
        return torch.stack([one.roll(int(torch.randint(-1, 2, (1,))), 2) for one in flipped])


class FewReals(_WithHeldout):
    """A hundred training reals of the same source, with noise."""

    silent = ("GW008",)

    def choose(self, unseen: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return few training reals."""
        return self.reals[unseen], self.reals[seen[:100]]

    def draw_reals(self) -> Tensor:
        """Return a batch with noise."""
        reals = super().draw_reals()
        return reals + 0.1 * torch.randn_like(reals)
