"""Stall of the training thread for each save, and what a kill leaves: ganwatch, ``torch.save``, Lightning's asynchronous plug-in.

    python tests/benchmarks/checkpoint_stalls.py [--saves 20] [--kills 40]

Two networks of 5 million parameters with Adam, 120 MB a checkpoint. Saves of the three ways take turns. The stall is the time of the call.
*Steps beside* are those of the training until the next save, against steps while nothing is written, in the median of the ratios. Kills are
at random instants of a process that saves again and again; a file is whole if it loads and all of its tensors are of one save.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import random
import signal
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import AsyncCheckpointIO, TorchCheckpointIO
from torch import nn

from ganwatch.checkpoints.folder import load_checkpoint
from ganwatch.checkpoints.guard import CheckpointGuard
from ganwatch.checkpoints.manifest import Manifest

WIDTH, STEPS = 1500, 12
"""Units of a layer, and steps between two saves."""
WAYS = ("torch.save", "AsyncCheckpointIO", "ganwatch")


def make_parts(width: int) -> dict[str, Any]:
    """Return networks and optimizers whose states are complete."""
    layers = (64, width, width, 64)
    networks = {name: nn.Sequential(*(nn.Linear(*sizes) for sizes in itertools.pairwise(layers))) for name in "GD"}
    optimizers = {f"optimizer of {name}": torch.optim.Adam(network.parameters()) for name, network in networks.items()}
    return networks | optimizers


def train_step(parts: dict[str, Any]) -> None:
    """Update both networks once."""
    for name in "GD":
        optimizer = parts[f"optimizer of {name}"]
        optimizer.zero_grad()
        parts[name](torch.randn(32, 64)).square().mean().backward()
        optimizer.step()


class Saver:
    """One way to save, again and again, below a folder."""

    def __init__(self, way: str, folder: Path, parts: dict[str, Any]) -> None:
        self.way, self.path, self.parts, self.count = way, folder / way, parts, 0
        self.plugin = AsyncCheckpointIO(TorchCheckpointIO())
        self.guard = CheckpointGuard(self.path)

    def __call__(self) -> None:
        """Save once; the call returns when training may go on."""
        self.count += 1
        if self.way == "ganwatch":
            self.guard.save(self.parts, Manifest(self.count, dict.fromkeys(self.parts, self.count), {}))
            return
        states = {name: part.state_dict() for name, part in self.parts.items()}
        if self.way == "torch.save":
            torch.save(states, self.path)
        else:
            self.plugin.save_checkpoint(states, self.path)

    def wait(self) -> None:
        """Wait until it is on the disk."""
        if self.way == "ganwatch":
            self.guard.wait()
            self.guard.remove([path for path in self.guard.folder.checkpoints()[:-1] if path != self.guard.folder.latest()])
        elif self.way == "AsyncCheckpointIO":
            self.plugin.teardown()
            self.plugin = AsyncCheckpointIO(TorchCheckpointIO())

    def load(self) -> dict[str, Any]:
        """Load what is there."""
        return load_checkpoint(self.path) if self.way == "ganwatch" else torch.load(self.path, weights_only=True)


def measure_stalls(folder: Path, saves: int) -> None:
    """Print the stall of each way, and how much slower steps are until the next save."""
    parts = make_parts(WIDTH)
    train_step(parts)
    savers = [Saver(way, folder, parts) for way in WAYS]
    stalls: dict[str, list[float]] = {way: [] for way in WAYS}
    ratios: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(saves):
        for saver in savers:
            alone = _time_steps(parts)
            began = time.perf_counter()
            saver()
            stalls[saver.way].append(time.perf_counter() - began)
            ratios[saver.way].append(_time_steps(parts) / alone)
            saver.wait()
    copies = []
    for _ in range(saves):
        began = time.perf_counter()
        {name: [value.clone() for value in _tensors(part.state_dict())] for name, part in parts.items()}
        copies.append(time.perf_counter() - began)
    print(f"a copy of all tensors: {1e3 * statistics.median(copies):.0f} ms")
    for way in WAYS:
        stall, beside = 1e3 * statistics.median(stalls[way]), statistics.median(ratios[way])
        print(f"{way}: {stall:.0f} ms a save; steps beside it take {beside:.2f} of those alone", flush=True)


def _time_steps(parts: dict[str, Any]) -> float:
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        train_step(parts)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for one in inner for tensor in _tensors(one)]


def measure_kills(folder: Path, kills: int) -> None:
    """Print how often the file of each way is whole after a kill."""
    chance = random.Random(0)
    for way in WAYS:
        whole = 0
        for kill in range(kills):
            place = folder / f"{way}-{kill}"
            place.mkdir()
            _kill_while_saving(way, place, 0.4 + chance.random())
            whole += _is_whole(lambda way=way, place=place: Saver(way, place, {}).load())
        print(f"{way}: whole after {whole} of {kills} kills", flush=True)


def _kill_while_saving(way: str, folder: Path, seconds: float) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        parts = {name: part for name, part in make_parts(500).items() if name in {"G", "D"}}
        saver, value = Saver(way, folder, parts), 0
        saver.guard.reader._read_back = lambda _: {"sha256": "", "size": 0, "nonfinite": []}  # a process for each kill takes longer
        while True:
            value += 1
            with torch.no_grad():
                for part in parts.values():
                    for parameter in part.parameters():
                        parameter.fill_(value)
            saver()
            if value == 2:
                os.write(writing, b".")
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _is_whole(load: Callable[[], dict[str, Any]]) -> bool:
    try:
        values = [value for state in load().values() for value in _tensors(state)]
    except Exception:  # noqa: BLE001  # however it fails
        return False
    return len({float(extreme) for value in values for extreme in value.aminmax()}) == 1


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=20)
    parser.add_argument("--kills", type=int, default=40)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("ganwatch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure_stalls(Path(folder), args.saves)
        measure_kills(Path(folder), args.kills)


if __name__ == "__main__":
    main()
