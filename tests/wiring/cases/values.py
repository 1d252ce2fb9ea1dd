"""Faults of values and gradients: ranges that jump, gradients that die, held-out reals of other kinds; and what only resembles them."""

from torch import nn
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
