"""Loops in which a network is no longer trained, or never was, while the rest goes on."""

import copy

import torch
from plain_loop import Loop, variant


class StoppingLoop(Loop):
    """A loop in which something happens after ``stop`` iterations."""

    stop = 100
    is_stopped = False
    """True from that iteration on."""

    def run(self, steps=360):
        self.start()
        batches = self.batches()
        for number in range(steps):
            if number == self.stop:
                self.change()
            self.d_phase(next(batches))
            self.g_phase(None)

    def change(self):
        self.is_stopped = True

    def norm(self, role, scale=1.0):
        return 0.0  # no gradient is left to measure


class FrozenGeneratorLoop(StoppingLoop):
    def change(self):
        self.g.requires_grad_(False)


class DetachedFakesLoop(StoppingLoop):
    def fake(self):
        return super().fake().detach() if self.is_stopped else super().fake()


class OptimizerOfACopyLoop(StoppingLoop):
    """The generator's optimizer is replaced by one that holds a copy's parameters."""

    def change(self):
        self.copy = copy.deepcopy(self.g)
        for parameter in self.copy.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizers["g"] = torch.optim.Adam(self.copy.parameters(), 1e-3)


class NoGeneratorPhaseLoop(StoppingLoop):
    def g_phase(self, real):
        if not self.is_stopped:
            super().g_phase(real)


class NoDiscriminatorPhaseLoop(StoppingLoop):
    def d_phase(self, real):
        if not self.is_stopped:
            super().d_phase(real)


class SkippedUpdatesLoop(StoppingLoop):
    """Mixed precision whose scaler skips every update from some iteration on, because a gradient overflows."""

    def start(self):
        super().start()
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def backward(self, loss, **options):
        self.scaler.scale(loss * (torch.inf if self.is_stopped else 1.0)).backward(**options)

    def step(self, network, clipped=None, norm=None):
        self.scaler.step(self.optimizers[network])
        self.scaler.update(1024.0)


class OwnOptimizerLoop(StoppingLoop):
    """Both networks are updated by hand, without any optimizer."""

    stop = 0

    def start(self):
        self.networks_by_role = {"g": self.g, "d": self.d}

    def update(self, network, loss):
        for other in self.networks_by_role.values():
            other.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in self.networks_by_role[network].parameters():
                parameter.sub_(1e-2 * parameter.grad)


class SwappedLoop(StoppingLoop):
    """The networks are given in each other's place."""

    def networks(self):
        return {"G": self.d, "D": self.g}


FROM_START = {"stop": 0}
STOPPED_GENERATORS = {
    "frozen": FrozenGeneratorLoop,
    "fakes detached": DetachedFakesLoop,
    "optimizer of a copy": OptimizerOfACopyLoop,
    "no phase of its own": NoGeneratorPhaseLoop,
    "updates skipped": SkippedUpdatesLoop,
    **{
        f"{name}, from the start": variant(loop, **FROM_START)
        for name, loop in (
            ("frozen", FrozenGeneratorLoop),
            ("fakes detached", DetachedFakesLoop),
            ("optimizer of a copy", OptimizerOfACopyLoop),
            ("no phase of its own", NoGeneratorPhaseLoop),
            ("updates skipped", SkippedUpdatesLoop),
        )
    },
}
"""By name: loops whose generator gets no update from some iteration on."""
