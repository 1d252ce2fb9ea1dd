"""Averaged copies in the place of a network, and loops that write weights on purpose."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim import RMSprop
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wiring.loops import Loop


class _WithAverage(Loop):
    """Keeps a moving average of G."""

    decay = 0.999

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.average = copy.deepcopy(self.g)

    def update_average(self) -> None:
        with torch.no_grad():
            for averaged, parameter in zip(self.average.parameters(), self.g.parameters(), strict=True):
                averaged.lerp_(parameter, 1 - self.decay)

    def load_average(self) -> None:
        for averaged, parameter in zip(self.average.parameters(), self.g.parameters(), strict=True):
            parameter.data.copy_(averaged.data)

    def g_phase(self) -> None:
        super().g_phase()
        self.update_average()


class WatchesAverage(_WithAverage):
    """The average is watched instead of G."""

    code, within = "GW007", 60

    def networks(self) -> dict[str, nn.Module]:
        return {"G": self.average, "D": self.d}


class ReplacesG(Loop):
    """G is replaced by a copy that is trained from then on."""

    code, start, within = "GW007", 200, 60

    def before_step(self) -> None:
        if self.step == self.start:
            self.g = copy.deepcopy(self.g)
            self.g_optimizer = self.make_optimizer("g")


class WritesAverageBack(_WithAverage):
    """The average is written into G after every update."""

    code, start, within = "GW007", 200, 60

    def g_phase(self) -> None:
        super().g_phase()
        if self.is_on:
            self.load_average()


class RestoresSnapshotOfD(Loop):
    """D's weights of a snapshot are restored at the beginning of each step."""

    code, start, within = "GW007", 200, 60
    snapshot: dict[str, torch.Tensor] | None = None

    def before_step(self) -> None:
        if self.step == self.start:
            self.snapshot = copy.deepcopy(self.d.state_dict())
        if self.snapshot is not None:
            self.d.load_state_dict(self.snapshot)


class KeepsAverageApart(Loop):
    """Torch's own moving average beside G, which is sampled now and then."""

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.average = AveragedModel(self.g, multi_avg_fn=get_ema_multi_avg_fn(0.99))

    def g_phase(self) -> None:
        super().g_phase()
        self.average.update_parameters(self.g)
        if self.step % 10 == 0:
            with torch.no_grad():
                self.average(self.draw_latents())


class SwapsAverage(_WithAverage):
    """The average is swapped in for sampling after every update, and out again."""

    def g_phase(self) -> None:
        super().g_phase()
        own = copy.deepcopy(self.g.state_dict())
        self.load_average()
        with torch.no_grad():
            self.g(self.draw_latents())
        self.g.load_state_dict(own)


class RestartsFromAverage(_WithAverage):
    """G restarts from its average every 100 steps."""

    silent, decay = ("GW007",), 0.9

    def g_phase(self) -> None:
        super().g_phase()
        if self.step % 100 == 0:
            self.load_average()


class ClipsWeights(Loop):
    """A Wasserstein critic whose weights are clipped after each update, five updates for one of G."""

    silent, steps = ("GW007",), 300
    rates = (5e-4, 5e-3)

    def make_optimizer(self, role: str) -> torch.optim.Optimizer:
        return RMSprop({"g": self.g, "d": self.d}[role].parameters(), lr=self.rates["gd".index(role)])

    def d_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return fake.mean() - real.mean()

    def g_loss(self, fake: torch.Tensor) -> torch.Tensor:
        return -fake.mean()

    def d_phase(self) -> None:
        for _ in range(5):
            super().d_phase()
            for parameter in self.d.parameters():
                parameter.data.clamp_(-0.02, 0.02)


class NormalisesWeights(Loop):
    """Each row of D's matrices is normalised after every update."""

    silent = ("GW007",)

    def d_phase(self) -> None:
        super().d_phase()
        with torch.no_grad():
            for parameter in self.d.parameters():
                if parameter.ndim == 2:
                    parameter.div_(parameter.norm(dim=1, keepdim=True))


class LooksAhead(Loop):
    """Every second, fifth or tenth update G goes half of the way back to the slow weights."""

    silent = ("GW007",)
    period = 2

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.slow = [parameter.detach().clone() for parameter in self.g.parameters()]
        self.period = {"digits": 2, "ring": 5, "table": 10}[world]

    def g_phase(self) -> None:
        super().g_phase()
        if self.step % self.period == 0:
            with torch.no_grad():
                for slow, parameter in zip(self.slow, self.g.parameters(), strict=True):
                    parameter.copy_(slow.lerp_(parameter, 0.5))


class UnrollsD(Loop):
    """D is updated once more before G's update, and that is taken back afterwards."""

    silent = ("GW007",)

    def g_phase(self) -> None:
        backup = copy.deepcopy(self.d.state_dict())
        self.d_phase()
        super().g_phase()
        self.d.load_state_dict(backup)


class Extragradient(Loop):
    """Every update is computed at weights that a first update has extrapolated."""

    silent = ("GW007",)

    def d_phase(self) -> None:
        backup = copy.deepcopy(self.d.state_dict())
        super().d_phase()
        self.d.load_state_dict(backup)
        super().d_phase()

    def g_phase(self) -> None:
        backup = copy.deepcopy(self.g.state_dict())
        super().g_phase()
        self.g.load_state_dict(backup)
        super().g_phase()


class TrainsTwoGenerators(Loop):
    """A second generator of the same shapes is trained beside G, three times as often."""

    silent = ("GW007",)

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.second = self.make_generator()
        self.second_optimizer = torch.optim.Adam(self.second.parameters(), lr=self.rates[0])

    def g_phase(self) -> None:
        for _ in range(3):
            self.second_optimizer.zero_grad()
            self.g_loss(self.d(self.second(self.draw_latents()))).backward()
            self.second_optimizer.step()
        super().g_phase()
