"""Cost of ``watch`` on five different plain loops, and on one of small vectors for scale. Run by ``make bench``."""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from overhead import CYCLE, MIN_PAIRS, SHORT_CYCLE, Timed, compare, count_warm, pictures
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.utils.data import DataLoader, Dataset, TensorDataset

import ganwatch
from ganwatch.capture.taps import loaders
from ganwatch.data.bundled import draw_ring
from ganwatch.session.defaults import default_probes
from ganwatch.trainer import losses
from ganwatch.trainer.data import load_digits
from ganwatch.trainer.module import GAN

BATCH, LATENT = 64, 32
Step = Callable[[Tensor], None]


def bce(score: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, float(real)))


class Loop:
    """Two networks, their optimizers, and one training step."""

    def __init__(self, data: Dataset[Any], **model: Any) -> None:
        torch.manual_seed(0)
        built = GAN(latent_dim=LATENT, **model)
        self.data, self.g, self.d = data, built.generator, built.discriminator
        self.opt_g, self.opt_d = (torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999)) for network in (self.g, self.d))
        self.count = 0

    def batches(self) -> Iterator[Tensor]:
        while True:
            for batch in DataLoader(self.data, BATCH, shuffle=True, drop_last=True):
                yield batch[0]

    def fake(self) -> Tensor:
        return self.g(torch.randn(BATCH, LATENT))  # type: ignore[no-any-return]  # a module's call

    @staticmethod
    def update(optimizer: torch.optim.Optimizer, *parts: Tensor) -> None:
        optimizer.zero_grad()
        for part in parts:
            part.backward()  # type: ignore[no-untyped-call]  # torch publishes no type here
        optimizer.step()

    def step(self, batches: Iterator[Tensor]) -> None:
        """Train one step as most tutorials do."""
        fake = self.fake()
        self.update(self.opt_d, bce(self.d(next(batches)), True), bce(self.d(fake.detach()), False))
        self.update(self.opt_g, bce(self.d(fake), True))


class Critic(Loop):
    """Wasserstein loss with gradient penalty and five critic steps."""

    def step(self, batches: Iterator[Tensor]) -> None:
        for _ in range(5):
            real, fake = next(batches), self.fake().detach()
            self.update(self.opt_d, self.d(fake).mean() - self.d(real).mean() + 10 * losses.gradient_penalty(self.d, real, fake))
        self.update(self.opt_g, -self.d(self.fake()).mean())


class Hinge(Loop):
    """Hinge loss, spectral norm, R1 at every 16th update of D."""

    def step(self, batches: Iterator[Tensor]) -> None:
        real, self.count = next(batches), self.count + 1
        loss = F.relu(1 - self.d(real)).mean() + F.relu(1 + self.d(self.fake().detach())).mean()
        if self.count % 16 == 0:
            loss = loss + 160 * losses.r1_penalty(self.d, real)
        self.update(self.opt_d, loss)
        self.update(self.opt_g, -self.d(self.fake()).mean())


class Together(Loop):
    """Least squares, reals and fakes in one call, clipped gradients, averaged weights."""

    def __init__(self, data: Dataset[Any], **model: Any) -> None:
        super().__init__(data, **model)
        self.mean = [p.detach().clone() for p in self.g.parameters()]

    def step(self, batches: Iterator[Tensor]) -> None:
        real, fake = self.d(torch.cat([next(batches), self.fake().detach()])).chunk(2)
        for optimizer, network, loss in (
            (self.opt_d, self.d, lambda: (real - 1).square().mean() + fake.square().mean()),
            (self.opt_g, self.g, lambda: (self.d(self.fake()) - 1).square().mean()),
        ):
            optimizer.zero_grad()
            loss().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        torch._foreach_lerp_(self.mean, list(self.g.parameters()), 0.01)


def cases() -> dict[str, tuple[float, Callable[[], Loop]]]:
    digits, small = load_digits(), {"shape": (1, 8, 8), "channels": 16}
    return {
        "tutorial, digits": (1.03, lambda: Loop(digits, **small)),
        "WGAN-GP, digits": (1.03, lambda: Critic(digits, **small)),
        "hinge, spectral norm, lazy R1, digits": (1.03, lambda: Hinge(digits, **small, d_norm="spectral")),
        "one call, clipping, EMA, digits": (1.03, lambda: Together(digits, **small)),
        "tutorial, 64x64": (1.01, lambda: Loop(pictures(), shape=(3, 64, 64), channels=16)),
        "for scale: vectors, ring": (float("inf"), lambda: Loop(ring(), shape=(2,))),
    }


def ring() -> TensorDataset:
    return TensorDataset(*draw_ring(4096, 0))


def switch(watching: Any, *, on: bool) -> None:
    watching.observer.attach_taps() if on else watching.observer.detach_taps()
    loaders.add_listener(watching._on_batch) if on else loaders.remove_listener(watching._on_batch)


def measure(name: str, bound: float, loop: Loop, seconds: float) -> bool:
    """Measure pairs of steps with and without observation, in random order, then the probes' shares."""
    chance = random.Random(0)
    taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    found: dict[str, Any] = {}
    cycle = SHORT_CYCLE if "64x64" in name else CYCLE
    began, spent, probes = time.perf_counter(), Counter[str](), default_probes()
    with tempfile.TemporaryDirectory() as folder, ganwatch.watch(G=loop.g, D=loop.d, store=folder, audit_seconds=0.0) as watching:
        batches, on = loop.batches(), True
        loop.step(batches)
        gc.disable()
        while not (found and ((found["decided"] and found["pairs"] >= MIN_PAIRS) or time.perf_counter() - began > seconds)):
            for _ in range(cycle):
                for wanted in chance.choice([[True, False], [False, True]]):
                    if wanted is not on:
                        switch(watching, on=wanted)
                        on = wanted
                    start = time.perf_counter(), time.process_time()
                    loop.step(batches)
                    taken[on].append((time.perf_counter() - start[0], time.process_time() - start[1]))
            gc.collect()
            found = compare(taken, bound, cycle) if len(taken[True]) > count_warm(cycle) else {}
        gc.enable()
        if not on:
            switch(watching, on=True)
    with ganwatch.watch(G=loop.g, D=loop.d, store=None, probes=[Timed(probe, spent) for probe in probes], audit_seconds=0.0) as watching:
        for _ in range(2 * cycle):
            loop.step(batches)
        own = watching.observer.own_time / (2 * cycle)
    print(f"\n{name}: {found['step'] * 1e3:.1f} ms a step, {found['pairs']} pairs of steps with and without")
    is_within = True
    for clock in ("wall", "processor"):
        ratio, low, high = found[clock]
        verdict = (
            "" if bound == float("inf") else f": {'within' if high < bound else 'OVER' if low > bound else 'undecided against'} {bound}"
        )
        is_within = is_within and low <= bound
        print(f"  {clock:9} time ratio {ratio:.4f}  [{low:.4f}, {high:.4f}]{verdict}")
    shares = ", ".join(f"{probe} {taken / (2 * cycle) / found['step']:.2%}" for probe, taken in spent.most_common())
    print(f"  self-timed {own * 1e6:.0f} µs a step, {own / found['step']:.2%}; of that the probes: {shares}")
    return is_within


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    every = cases()
    parser.add_argument("--only", choices=list(every), help="one loop instead of all")
    parser.add_argument("--seconds", type=float, default=120.0, help="longest time for one loop")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Processor load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; one torch thread")
    is_within = [measure(name, bound, make(), args.seconds) for name, (bound, make) in every.items() if args.only in {None, name}]
    return 0 if all(is_within) else 1


if __name__ == "__main__":
    sys.exit(main())
