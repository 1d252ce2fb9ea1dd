"""Kills processes at random instants while they save checkpoints, and looks at what can be loaded afterwards.

    python tests/regression/checkpoint_kills.py --folder kills [--writers 200] [--trainings 50]

Exit code 1 if something that was loaded is not what was saved, or is more than one save old.

A *writer* saves as fast as it can by the guard, and reports each checkpoint that was read back. A *training* is one of a plain loop with
``watching.checkpoint``, which goes on from the last checkpoint after each kill, or one of Lightning with ``ModelCheckpoint``, which begins
anew; half of them each. Each state carries a digest of itself, so that parts of two steps do not pass.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
import torch._dynamo  # optimizers import it; imported here, once for all forks
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

import ganwatch
from ganwatch.checkpoints import reader
from ganwatch.checkpoints.durable import TEMPORARY
from ganwatch.checkpoints.folder import load_checkpoint, load_foreign_states
from ganwatch.checkpoints.guard import CheckpointGuard
from ganwatch.checkpoints.manifest import Manifest
from ganwatch.checkpoints.read_back import describe_checkpoint
from ganwatch.store.checkpoints import checkpoints
from ganwatch.store.database import open_store
from ganwatch.store.queries import runs

EVERY = 5
"""Steps between two checkpoints of a training."""
LONGEST = 1.5
"""Longest life of a process after its first sign of life, in seconds."""


class ReadBackHere:
    """Reads back in this process, as another one for each kill would take longer than the kills."""

    __call__ = staticmethod(describe_checkpoint)

    def close(self) -> None:
        """Do nothing."""


def make_networks(step: int) -> dict[str, nn.Module]:
    """Return networks with random weights."""
    torch.manual_seed(step)
    return {name: nn.Sequential(nn.Linear(first, 64), nn.ReLU(), nn.Linear(64, last)) for name, first, last in (("G", 4, 2), ("D", 2, 1))}


def losses(g: nn.Module, d: nn.Module, real: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the loss of each phase of a step."""
    yield "D", d(g(torch.randn(8, 4)).detach()).mean() - d(real).mean()
    yield "G", -d(g(torch.randn(8, 4))).mean()


def digest(states: dict[str, Any], step: int) -> str:
    """Return a hash of the tensors of all parts and of the step."""
    found = hashlib.sha256(str(step).encode())
    for part in sorted(states):
        for name, value in sorted(states[part].items()):
            found.update(f"{part}.{name}".encode() + value.detach().numpy().tobytes())
    return found.hexdigest()


def check(states: dict[str, Any]) -> int:
    """Return the step of states whose digest is right."""
    facts = states.pop("facts")
    if digest(states, facts["step"]) != facts["digest"]:
        raise SystemExit(f"the checkpoint of step {facts['step']} holds something else than was saved")
    return int(facts["step"])


def write(folder: Path, report: Callable[[int], object]) -> None:
    """Save as fast as possible."""
    guard, step = CheckpointGuard(folder), 0
    if folder.exists():
        step = check(load_checkpoint(folder))
    while True:
        step += 1
        parts = {name: network.state_dict() for name, network in make_networks(step).items()}
        facts = {"step": step, "digest": digest(parts, step)}
        guard.save(parts | {"facts": facts}, Manifest(step, dict.fromkeys((*parts, "facts"), step), {}))
        guard.wait()
        if not all(one.is_verified for one in guard.take_results()):
            raise SystemExit("a checkpoint could not be verified")
        guard.remove(guard.folder.checkpoints()[:-2])
        report(step)


def train(folder: Path, report: Callable[[int], object]) -> None:
    """Train a plain loop from its last checkpoint on."""
    networks, step = make_networks(0), 0
    if (folder / "saved").exists():
        states = load_checkpoint(folder / "saved")
        step = check({name: dict(state) for name, state in states.items()})
        for name, network in networks.items():
            network.load_state_dict(states[name])
    optimizers = {name: torch.optim.Adam(network.parameters()) for name, network in networks.items()}
    g, d = networks.values()
    with ganwatch.watch(g, d, store=folder / "runs", audit_seconds=0.0) as watching:
        while True:
            step += 1
            for name, loss in losses(g, d, torch.randn(8, 2)):
                optimizers[name].zero_grad()
                loss.backward()
                optimizers[name].step()
            if step % EVERY == 0:
                parts = {name: network.state_dict() for name, network in networks.items()}
                watching.checkpoint(folder / "saved", parts | {"facts": {"step": step, "digest": digest(parts, step)}})
                if watching.wait_for_checkpoints():
                    report(step)


class Module(lightning.LightningModule):
    """A GAN of two steps, whose checkpoint carries a digest."""

    def __init__(self, folder: Path, report: Callable[[int], object]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = make_networks(0).values()
        self.folder, self.report = folder, report

    def configure_optimizers(self) -> Any:
        """Create one optimizer for each network."""
        return [torch.optim.Adam(network.parameters()) for network in (self.generator, self.discriminator)]

    def training_step(self, batch: Any) -> None:
        """Update both networks once."""
        optimizers = dict(zip("GD", self.optimizers(), strict=True))
        for name, loss in losses(self.generator, self.discriminator, batch[0]):
            optimizers[name].zero_grad()
            self.manual_backward(loss)
            optimizers[name].step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the digest."""
        step = self.trainer.global_step
        checkpoint["facts"] = {"step": step, "digest": digest({"all": checkpoint["state_dict"]}, step)}

    def on_train_batch_end(self, *_: Any) -> None:
        """Report the last verified checkpoint."""
        if (saved := last_verified(self.folder)) is not None:
            self.report(saved)


def last_verified(folder: Path) -> int | None:
    """Return the time, in µs, of the newest checkpoint that the store of a Lightning training calls verified; it must be what was saved."""
    if not (folder / "runs" / "ganwatch.db").exists():
        return None
    with open_store(folder / "runs", create=False) as store:
        found = [one for run in runs(store) for one in checkpoints(store, run.id) if one.is_verified]
    if not found:
        return None
    newest = max(found, key=lambda one: one.created)
    states = load_foreign_states(Path(newest.path))
    check({"all": states["state_dict"], "facts": states["facts"]})
    return int(1e6 * newest.created)


def train_lightning(folder: Path, report: Callable[[int], object]) -> None:
    """Train with Lightning from the last verified checkpoint on."""
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(800, 2)), batch_size=8)
    saving = ModelCheckpoint(folder / "saved", every_n_train_steps=2 * EVERY, save_top_k=-1)
    watching = ganwatch.GanWatch(store=folder / "runs", audit_seconds=0.0)
    trainer = lightning.Trainer(
        max_epochs=-1, callbacks=[saving, watching], logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu"
    )
    trainer.fit(Module(folder, report), data)


def kill_once(act: Callable[[Path, Callable[[int], object]], None], folder: Path, chance: random.Random) -> int:
    """Run in a forked process, which is killed some time after its first report. Return the last step that it reported."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            act(folder, lambda step: os.write(writing, step.to_bytes(8, "little")))
        except BaseException:
            logging.getLogger("ganwatch").exception("failed")
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as reports:
        last = int.from_bytes(reports.read(8), "little")
        time.sleep(chance.random() ** 2 * LONGEST)
        os.kill(child, signal.SIGKILL)
        while report := reports.read(8):
            last = int.from_bytes(report, "little")
    status = os.waitpid(child, 0)[1]
    if status != signal.SIGKILL:
        raise SystemExit(f"{folder}: the process ended with status {status}")
    return last


def run_kills(name: str, act: Callable[..., None], folder: Path, load: Callable[[Path], int], kills: int) -> None:
    """Kill so many times, and compare what is loaded with what was reported."""
    chance, newer = random.Random(0), 0
    for kill in range(kills):
        reported = kill_once(act, folder, chance)
        loaded = load(folder)
        if loaded < reported:
            raise SystemExit(f"{name}: {reported} was verified before kill {kill}, and {loaded} is loaded")
        newer += loaded > reported
        if kill % 10 == 9:
            print(f"{name}: {kill + 1} kills", flush=True)
    left = len(list(folder.rglob(f"{TEMPORARY}*")))
    facts = f"newer than the last report in {newer}; incomplete files left by the last kill: {left}"
    print(f"{name}: {kills} kills; what is loaded is what was saved, {facts}", flush=True)


def main() -> None:
    """Kill writers and trainings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="created, and emptied first")
    parser.add_argument("--writers", type=int, default=200)
    parser.add_argument("--trainings", type=int, default=50)
    args = parser.parse_args()
    logging.getLogger("ganwatch").setLevel(logging.ERROR)
    logging.getLogger("lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    setattr(reader, "ReadBack", ReadBackHere)  # noqa: B010  # called and closed like it
    shutil.rmtree(args.folder, ignore_errors=True)
    for name in ("writers", "plain", "lightning"):
        (args.folder / name).mkdir(parents=True)
    run_kills("writers", write, args.folder / "writers" / "saved", lambda folder: check(load_checkpoint(folder)), args.writers)
    run_kills("plain", train, args.folder / "plain", lambda folder: check(load_checkpoint(folder / "saved")), args.trainings // 2)
    rest = args.trainings - args.trainings // 2
    run_kills("lightning", train_lightning, args.folder / "lightning", lambda folder: last_verified(folder) or 0, rest)


if __name__ == "__main__":
    sys.exit(main())
