"""Flipped signs and labels, and losses that look as if they were flipped."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.optim import Adam, Optimizer

from wiring.loops import BATCH, Loop


class _Flipped(Loop):
    code, within = "GW003", 150


class FlippedG(_Flipped):
    """G's label is that of fakes."""

    def g_loss(self, fake: Tensor) -> Tensor:
        return F.softplus(fake).mean()


class NegatedG(_Flipped):
    """G's loss has the wrong sign."""

    def g_loss(self, fake: Tensor) -> Tensor:
        return -F.softplus(-fake).mean()


class FlippedGLate(_Flipped):
    """G's label is that of fakes from some step on."""

    start = 150

    def g_loss(self, fake: Tensor) -> Tensor:
        return F.softplus(fake if self.is_on else -fake).mean()


class BothReal(_Flipped):
    """D's labels are those of reals for both batches."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(-fake).mean()


class BothRealLate(BothReal):
    """D's labels become those of reals for both batches."""

    start = 150

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake) if self.is_on else Loop.d_loss(self, real, fake)


class BothFake(_Flipped):
    """D's labels are those of fakes for both batches."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(real).mean() + F.softplus(fake).mean()


class FlippedD(_Flipped):
    """D's labels are swapped while G's is not."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(real).mean() + F.softplus(-fake).mean()


class FlippedDLate(FlippedD):
    """D's labels are swapped from some step on."""

    start = 150

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real, fake) if self.is_on else Loop.d_loss(self, real, fake)


class _Hinge(Loop):
    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()


class HingeFlippedG(_Hinge):
    """Hinge loss without the minus of G's part."""

    code, within = "GW003", 150

    def g_loss(self, fake: Tensor) -> Tensor:
        return fake.mean()


class HingeFlippedGLate(_Hinge):
    """Hinge loss that loses the minus of G's part."""

    code, within, start = "GW003", 150, 150

    def g_loss(self, fake: Tensor) -> Tensor:
        return fake.mean() if self.is_on else -fake.mean()


class HingeFlippedD(_Hinge):
    """Hinge loss with both signs of D's part turned round."""

    code, within = "GW003", 150

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(-real, -fake)


class _Wasserstein(Loop):
    rates = 2e-4, 2e-4

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        mix = torch.rand(BATCH, *[1] * (real.ndim - 1))
        points = (mix * real + (1.0 - mix) * fake).requires_grad_()
        [grad] = torch.autograd.grad(self.d(points).sum(), points, create_graph=True)
        return 10.0 * (grad.flatten(1).norm(dim=1) - 1.0).square().mean()

    def d_phase(self) -> None:
        for _ in range(3):
            self.clear(self.d_optimizer)
            real, fake = self.draw_reals(), self.g(self.draw_latents()).detach()
            (self.d_loss(self.d(real), self.d(fake)) + self.penalty(real, fake)).backward()
            self.d_optimizer.step()


class WassersteinFlippedG(_Wasserstein):
    """Wasserstein loss without the minus of G's part."""

    code, within = "GW003", 150

    def g_loss(self, fake: Tensor) -> Tensor:
        return fake.mean()


class WassersteinFlippedDLate(_Wasserstein):
    """Wasserstein loss whose critic's part is negated from some step on."""

    code, within, start = "GW003", 150, 150

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return -super().d_loss(real, fake) if self.is_on else super().d_loss(real, fake)


class _LeastSquares(Loop):
    targets = 1.0, 0.0, 1.0
    """Targets of reals and fakes in D's loss, and of G's loss."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real - self.targets[0]).square().mean() + (fake - self.targets[1]).square().mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        return (fake - self.targets[2]).square().mean()


class LeastSquaresFlippedG(_LeastSquares):
    """Least squares with G's target that of fakes."""

    code, within, targets = "GW003", 150, (1.0, 0.0, 0.0)


class LeastSquaresFlippedD(_LeastSquares):
    """Least squares with swapped targets of D."""

    code, within, targets = "GW003", 150, (0.0, 1.0, 1.0)


class LeastSquaresBothReal(_LeastSquares):
    """Least squares with the same target of reals and fakes."""

    code, within, targets = "GW003", 150, (1.0, 1.0, 1.0)


class LeastSquaresNegatedG(_LeastSquares):
    """Least squares that G climbs."""

    code, within = "GW003", 150

    def g_loss(self, fake: Tensor) -> Tensor:
        return -super().g_loss(fake)


class MaximizedG(Loop):
    """G's optimizer climbs a loss that is to be descended."""

    code, within = "GW003", 150

    def make_optimizer(self, role: str) -> Optimizer:
        if role == "d":
            return super().make_optimizer(role)
        return Adam(self.g.parameters(), lr=self.rates[0], betas=(0.5, 0.999), maximize=True)


class _Look:
    silent = ("GW003",)


class InvertedConvention(_Look, Loop):
    """Reals are labelled 0, and G asks for 0."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(-real, -fake)

    def g_loss(self, fake: Tensor) -> Tensor:
        return super().g_loss(-fake)


class Saturating(_Look, Loop):
    """The minimax loss of the original paper (Goodfellow et al., 2014)."""

    def g_loss(self, fake: Tensor) -> Tensor:
        return -F.softplus(fake).mean()


class Probabilities(_Look, Loop):
    """D ends in a sigmoid."""

    def make_discriminator(self) -> nn.Module:
        return nn.Sequential(*super().make_discriminator(), nn.Sigmoid())

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        bce = F.binary_cross_entropy
        return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))

    def g_loss(self, fake: Tensor) -> Tensor:
        return F.binary_cross_entropy(fake, torch.ones_like(fake))


class Hinge(_Look, _Hinge):
    """Hinge loss."""


class Wasserstein(_Look, _Wasserstein):
    """Wasserstein loss with a gradient penalty."""


class LeastSquares(_Look, _LeastSquares):
    """Least squares."""


class LeastSquaresAtRest(_Look, _LeastSquares):
    """Least squares with G's target between those of D (Mao et al., 2017, arXiv:1611.04076)."""

    targets = 1.0, -1.0, 0.0


class LeastSquaresStrongD(_Look, _LeastSquares):
    """Least squares with a D that learns much faster than G."""

    rates = 1e-4, 2e-3


class LeastSquaresSlowD(_Look, _LeastSquares):
    """Least squares with a D that learns slowly and whose scores begin below both targets."""

    rates = 5e-4, 2e-5

    def make_discriminator(self) -> nn.Module:
        d = super().make_discriminator()
        nn.init.constant_(d[-1].bias, -1.0)
        return d


class RelativisticAverage(_Look, Loop):
    """Scores are compared with the mean of the other batch (Jolicoeur-Martineau, 2018, arXiv:1807.00734)."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(real - fake.mean(), fake - real.mean())

    def g_phase(self) -> None:
        self.clear(self.g_optimizer)
        real, fake = self.d(self.draw_reals()), self.d(self.g(self.draw_latents()))
        self.d_loss(fake, real).backward()
        self.g_optimizer.step()


class LabelSmoothing(_Look, Loop):
    """Reals are labelled 0.9 (Salimans et al., 2016, arXiv:1606.03498)."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(real, torch.full_like(real, 0.9)) + F.softplus(fake).mean()


class FlippedLabels(_Look, Loop):
    """A twentieth of D's labels is flipped (Chintala et al., ganhacks, 2016)."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        signs = torch.where(torch.rand(2, BATCH, 1) < 0.05, -1.0, 1.0)
        return super().d_loss(signs[0] * real, signs[1] * fake)


class FlippedBatches(_Look, Loop):
    """All of D's labels are flipped in one batch of twenty."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        sign = -1.0 if torch.rand(()) < 0.05 else 1.0
        return super().d_loss(sign * real, sign * fake)


class HingeFlippedBatches(_Look, _Hinge):
    """All of D's labels are flipped in one batch of twenty, with margins."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        sign = -1.0 if torch.rand(()) < 0.05 else 1.0
        return super().d_loss(sign * real, sign * fake)


class FeatureMatching(_Look, Loop):
    """G matches the mean of features and does not use the score (Salimans et al., 2016, arXiv:1606.03498)."""

    def g_phase(self) -> None:
        self.clear(self.g_optimizer)
        self.d(fake := self.g(self.draw_latents()))
        real, fake = self.d[:5](self.draw_reals()), self.d[:5](fake)
        (real.mean(0).detach() - fake.mean(0)).square().sum().backward()
        self.g_optimizer.step()


class Reversal(_Look, Loop):
    """One loss trains both, and G's gradients are turned round before its update."""

    def d_phase(self) -> None:
        self.clear(self.d_optimizer)
        self.clear(self.g_optimizer)
        self.d_loss(self.d(self.draw_reals()), self.d(self.g(self.draw_latents()))).backward()
        for parameter in self.g.parameters():
            parameter.grad.neg_()
        self.d_optimizer.step()

    def g_phase(self) -> None:
        self.g_optimizer.step()


class MaximizedLosses(_Look, Loop):
    """Both networks maximise the logarithm of a probability."""

    def make_optimizer(self, role: str) -> Optimizer:
        network = {"g": self.g, "d": self.d}[role]
        return Adam(network.parameters(), lr=self.rates["gd".index(role)], betas=(0.5, 0.999), maximize=True)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return -super().d_loss(real, fake)

    def g_loss(self, fake: Tensor) -> Tensor:
        return -super().g_loss(fake)


class MaximizedD(MaximizedLosses):
    """D alone maximises."""

    def make_optimizer(self, role: str) -> Optimizer:
        return super().make_optimizer(role) if role == "d" else Loop.make_optimizer(self, role)

    def g_loss(self, fake: Tensor) -> Tensor:
        return Loop.g_loss(self, fake)


class AutoEncoder(_Look, Loop):
    """D reconstructs, and its error is the score (Zhao et al., 2016, arXiv:1609.03126)."""

    rates = 2e-4, 2e-4

    def make_discriminator(self) -> nn.Module:
        size, shape = self.reals[0].numel(), self.reals.shape[1:]
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.ReLU(), nn.Linear(16, size), nn.Unflatten(1, shape))

    def error(self, batch: Tensor) -> Tensor:
        return (self.d(batch) - batch).flatten(1).abs().mean(1)

    def d_phase(self) -> None:
        self.clear(self.d_optimizer)
        real, fake = self.error(self.draw_reals()), self.error(self.g(self.draw_latents()).detach())
        (real.mean() + F.relu(1.0 - fake).mean()).backward()
        self.d_optimizer.step()

    def g_phase(self) -> None:
        self.clear(self.g_optimizer)
        self.error(self.g(self.draw_latents())).mean().backward()
        self.g_optimizer.step()
