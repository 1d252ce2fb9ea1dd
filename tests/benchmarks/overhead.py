"""Cost of observation: step time, the monitor's own time, imports, memory. Run by ``make bench``."""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter, defaultdict
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightning
import torch
from torch.utils.data import TensorDataset

from ganwatch.capture.gatherer import Gatherer
from ganwatch.core.monitor import Monitor
from ganwatch.core.probe import Probe
from ganwatch.core.readings import Readings
from ganwatch.session.defaults import default_detectors, default_probes
from ganwatch.session.lightning import GanWatch
from ganwatch.trainer.data import GANData
from ganwatch.trainer.defaults import DIGITS
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit

CYCLE, SHORT_CYCLE = 400, 40
"""Steps after which all probes have been sampled at the same phase again, in quiet times; and before these, for steps that take long."""
WARM_CYCLES = 2
"""Cycles after which times are quiet."""
MIN_PAIRS = 400
"""Pairs of steps that a result needs, unless time is up."""
CASES = {
    "demo GAN, 8x8 digits, batch 64": (1.03, DIGITS["non-saturating"], {"source": "digits"}),
    "DCGAN, 64x64x3, 16 channels, batch 64": (
        1.01,
        {"shape": (3, 64, 64), "latent_dim": 100, "channels": 16},
        {"source": "overhead:pictures"},
    ),
}


def pictures() -> TensorDataset:
    """Return noise in the shape of pictures, because only the cost matters."""
    return TensorDataset(torch.rand(256, 3, 64, 64) * 2 - 1)


class Switch(lightning.Callback):
    """Switches observation off and on, batch by batch, in pairs of random order. It must come before ``GanWatch``."""

    def __init__(self, watch: GanWatch, *, bound: float, seconds: float, cycle: int = CYCLE) -> None:
        self.watch, self.bound, self.cycle, self.seconds = watch, bound, cycle, seconds
        self.random = random.Random(0)
        self.plan: list[bool] = []
        self.on = True
        self.taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        self.began = time.perf_counter()
        self.result: dict[str, Any] = {}
        self.previous: tuple[float, float] | None = None
        self.own_time_before = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        gc.disable()

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int) -> None:
        now = (time.perf_counter(), time.process_time())
        if self.previous is not None:
            self.taken[self.on].append((now[0] - self.previous[0], now[1] - self.previous[1]))
            if self.on and len(self.taken[True]) <= count_warm(self.cycle):
                self.own_time_before = self.watch.observer.own_time
        if not self.plan:
            self.plan = self.random.choice([[True, False], [False, True]])
            done = len(self.taken[True])
            if done > count_warm(self.cycle) and done % self.cycle == 0 and len(self.taken[False]) == done:
                gc.collect()
                self.result = compare(self.taken, self.bound, self.cycle)
                late = time.perf_counter() - self.began > self.seconds
                trainer.should_stop = late or (self.result["decided"] and self.result["pairs"] >= MIN_PAIRS)
        self.turn(on=self.plan.pop(0))
        self.previous = (time.perf_counter(), time.process_time())

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.turn(on=True)
        gc.enable()

    def turn(self, *, on: bool) -> None:
        if on == self.on:
            return
        self.on = on
        if on:
            self.watch.observer = self.observer
        else:
            self.observer, self.watch.observer = self.watch.observer, None
        self.observer.attach_taps() if on else self.observer.detach_taps()


def count_warm(cycle: int) -> int:
    """Return the pairs of steps that warm up."""
    return cycle * (WARM_CYCLES if cycle == CYCLE else 1)


def compare(taken: dict[bool, list[tuple[float, float]]], bound: float, cycle: int = CYCLE) -> dict[str, Any]:
    """Return ratios of step times with their 95 % intervals.

    The ratio of wall time is the median over pairs at the same position of the cycle, averaged over positions. Other processes disturb
    single steps, and sampled steps cost more than others. The ratio of processor time (all threads) is that of the means.
    """
    pairs = list(zip(taken[True], taken[False], strict=True))[count_warm(cycle) :]
    draws = random.Random(1)
    places: dict[int, list[tuple[tuple[float, float], tuple[float, float]]]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        places[number % cycle].append(pair)

    def wall(sample: dict[int, list[Any]]) -> float:
        off = statistics.median(without[0] for chosen in sample.values() for _, without in chosen)
        return 1.0 + statistics.fmean(statistics.median(w[0] - o[0] for w, o in chosen) for chosen in sample.values()) / off

    def processor(sample: dict[int, list[Any]]) -> float:
        flat = [pair for chosen in sample.values() for pair in chosen]
        return sum(w[1] for w, _ in flat) / sum(o[1] for _, o in flat)

    if not pairs:
        raise SystemExit(f"no complete cycle of {cycle} pairs of steps in the given time: ask for more --seconds")
    found: dict[str, Any] = {"pairs": len(pairs), "step": statistics.median(o[0] for _, o in pairs)}
    for name, statistic in (("wall", wall), ("processor", processor)):
        resampled = sorted(statistic({p: draws.choices(chosen, k=len(chosen)) for p, chosen in places.items()}) for _ in range(400))
        found[name] = (statistic(places), resampled[10], resampled[389])
    found["decided"] = all(not low <= bound <= high for _, low, high in (found["wall"], found["processor"]))
    return found


class Timed(Probe):
    """A probe that adds up its own time."""

    def __init__(self, probe: Probe, spent: Counter[str]) -> None:
        self.probe, self.spent = probe, spent
        for fact in Probe.__annotations__.keys() - {"problem"}:
            setattr(self, fact, getattr(probe, fact))
        for moment in ("before_update", "after_update"):
            if getattr(type(probe), moment) is not getattr(Probe, moment):
                setattr(self, moment, partial(self._time, moment))

    def _time(self, method: str, *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return getattr(self.probe, method)(*arguments)
        finally:
            self.spent[self.name] += time.perf_counter() - start

    def read(self, step: Any) -> Any:
        return self._time("read", step)

    def advance(self) -> None:
        self._time("advance")


def train(model: dict[str, Any], data: dict[str, Any], steps: int, *callbacks: lightning.Callback) -> None:
    sys.modules.setdefault("overhead", sys.modules["__main__"])
    lightning.seed_everything(0, verbose=False)
    fit(GAN(**model), GANData(**data), steps=steps, seed=0, callbacks=callbacks, threads=1)


def measure_parts(seconds: float) -> bool:
    """Measure what each part adds to a step of the demo GAN: capture alone, and all of it with one part after another."""
    _, model, data = CASES[next(iter(CASES))]
    none: dict[str, Any] = {"probes": [], "detectors": [], "store": None}
    rows = {"capture": none, "and probes": none | {"probes": None}, "and judging": {"store": None}, "and writing": {}}
    print(f"\nCost by part, µs of a step of {next(iter(CASES))}: medians of pairs of steps with and without, by position in the cycle")
    costs = {}
    for name, left_out in rows.items():
        with tempfile.TemporaryDirectory() as folder:
            watch = GanWatch(**{"store": folder} | left_out, audit_seconds=0.0)
            switch = Switch(watch, bound=1.0, seconds=seconds / len(rows))
            train(model, data, 1_000_000, switch, watch)
        found = switch.result
        costs[name] = [1e6 * found["step"] * (ratio - 1.0) for ratio in found["wall"]]
        print("  {:12} {:6.0f} [{:.0f}, {:.0f}]".format(name, *costs[name]), end="")
        own = (switch.observer.own_time - switch.own_time_before) / (len(switch.taken[True]) - count_warm(CYCLE))
        print(f"    self-timed, without the taps: {1e6 * own:.0f} (mean)")
    alone, whole = costs["capture"][0], costs["and writing"][0]
    print(f"  capture alone {'within' if alone <= 100.0 else 'OVER'} 100 µs, all {'within' if whole <= 280.0 else 'OVER'} 280 µs")
    return alone <= 100.0 and whole <= 280.0


def measure_step_time(name: str, seconds: float) -> bool:
    bound, model, data = CASES[name]
    large = model["shape"][-1] > 8
    with tempfile.TemporaryDirectory() as folder:
        watch = GanWatch(store=folder, audit_seconds=0.0)
        switch = Switch(watch, bound=bound, seconds=seconds, cycle=SHORT_CYCLE if large else CYCLE)
        train(model, data, 1_000_000, switch, watch)
    found = switch.result
    print(f"\n{name}: {found['step'] * 1e3:.1f} ms a step, {found['pairs']} pairs of steps with and without, in random order")
    is_within = True
    for clock, method in (("wall", "medians by position in the cycle"), ("processor", "means, all threads")):
        ratio, low, high = found[clock]
        verdict = "within" if high < bound else "OVER" if low > bound else "undecided against"
        is_within = is_within and low <= bound
        print(f"  {clock:9} time ratio {ratio:.4f}  [{low:.4f}, {high:.4f}] by bootstrap of {method}: {verdict} {bound}")

    spent: Counter[str] = Counter()
    total: list[tuple[float, float]] = []

    class Total(lightning.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            total.append((time.perf_counter(), watch.observer.own_time if watch.observer else 0.0))

    with tempfile.TemporaryDirectory() as folder:
        probes = [Timed(probe, spent) for probe in default_probes()]
        watch = GanWatch(store=folder, audit_seconds=0.0, probes=probes)
        steps = SHORT_CYCLE if large else 4 * CYCLE
        train(model, data, steps, watch, Total())
    whole = found["step"] * len(total)
    own = total[-1][1]
    print(f"  self-timed {own / len(total) * 1e6:.0f} µs a step, {own / whole:.2%} of it, over {steps} steps; of that the probes:")
    print("   ", ", ".join(f"{probe} {taken / len(total) * 1e6:.0f} µs" for probe, taken in spent.most_common()))
    return is_within


class IdleStep:
    """A step at which no probe is due."""

    def __init__(self, index: int) -> None:
        self.index, self.due, self.logged, self.wall_time = index, (), {}, 0.0


def measure_idle_step() -> bool:
    """Measure ``Monitor.process_step`` with no probe due."""
    monitor = Monitor(detectors=default_detectors(), gatherer=Gatherer())
    steps = [IdleStep(1) for _ in range(1000)]
    rounds = []
    for _ in range(50):
        start = time.perf_counter()
        for step in steps:
            monitor.process_step(step)
            monitor.send_readings()
        rounds.append((time.perf_counter() - start) / len(steps))
    taken = min(rounds)
    verdict = "within" if taken <= 50e-6 else "OVER"
    print(f"\nMonitor.process_step with no probe due: {taken * 1e6:.1f} µs (best of 50 rounds of 1,000): {verdict} 50 µs")
    return taken <= 50e-6


def measure_start_up(rounds: int = 15) -> bool:
    """Measure imports beyond the bare interpreter."""
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "import ganwatch": [sys.executable, "-c", "import ganwatch"],
        "ganwatch --help": [sys.executable, "-m", "ganwatch", "--help"],
    }
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        for name, command in commands.items():
            before, start = os.times(), time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            taken[name].append((time.perf_counter() - start, used))
    is_within = True
    print(f"\nStart-up beyond the bare interpreter, median of {rounds} interleaved runs:")
    for name, bound in (("import ganwatch", 0.1), ("ganwatch --help", 0.5)):
        wall, used = (statistics.median(a[c] - b[c] for a, b in zip(taken[name], taken["bare"], strict=True)) for c in (0, 1))
        is_within = is_within and wall <= bound
        print(f"  {name}: {wall:.3f} s (processor {used:.3f} s): {'within' if wall <= bound else 'OVER'} {bound} s")
    return is_within


def measure_memory(steps: int = 100_000) -> bool:
    """Measure the growth of the monitor's memory over observed steps."""

    def observe(monitor: Monitor, first: int, last: int) -> int:
        for index in range(first, last):
            values = {name: 1.0 + 0.1 * draws.random() for name in names}
            for step, complete, wall in monitor.gatherer.put(index, values, 0.0):  # type: ignore[union-attr]  # given below
                monitor.add_readings(Readings(step, complete, 1, wall))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    draws = random.Random(0)
    detectors = default_detectors()
    names = sorted({name for detector in detectors for name in detector.inputs})
    monitor = Monitor(detectors=detectors, gatherer=Gatherer())
    tracemalloc.start()
    warm = observe(monitor, 1, steps // 5)
    end = observe(monitor, steps // 5, steps)
    tracemalloc.stop()
    state = len(json.dumps(monitor.state_dict()))
    is_within = end - warm < 64 * 1024
    print(f"\nMemory over {steps:,} observed steps, tracemalloc: {(end - warm) / 1024:+.1f} KiB after the first fifth; "
          f"state of {state / 1024:.0f} KiB: {'within' if is_within else 'OVER'} 64 KiB")  # fmt: skip
    return is_within


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["parts", "demo", "dcgan", "monitor", "start", "memory"], help="one part instead of all")
    parser.add_argument("--seconds", type=float, default=300.0, help="longest time for a comparison of step times")
    args = parser.parse_args()
    demo, dcgan = CASES
    parts = {
        "parts": lambda: measure_parts(args.seconds),
        "demo": lambda: measure_step_time(demo, args.seconds),
        "dcgan": lambda: measure_step_time(dcgan, args.seconds),
        "monitor": measure_idle_step,
        "start": measure_start_up,
        "memory": measure_memory,
    }
    torch.set_num_threads(1)
    print(f"Processor load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; one torch thread")
    is_within = [part() for name, part in parts.items() if args.only in {None, name}]
    return 0 if all(is_within) else 1


if __name__ == "__main__":
    sys.exit(main())
