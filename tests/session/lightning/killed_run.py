"""Trains under observation in forked processes, some of which kill themselves: run in an empty folder."""

import json
import logging
import os
import signal
import sys
from pathlib import Path

import lightning
import torch

from ganwatch.core.detector import Detector, Verdict
from ganwatch.session.lightning import GanWatch
from ganwatch.store import queries
from ganwatch.store.database import open_store
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit

sys.path.insert(0, str(Path(__file__).parents[2]))
from forked import start  # not installed

STEPS, KILLED = 40, 33


class Between(Detector):
    """Fires from one of its own updates to another."""

    title, severity, inputs, fire_after, resolve_after = "Between", "ticket", ("loss/g",), 3, 5
    first, last = 0, 0

    def __init__(self):
        self._updates = 0

    def update(self, readings):
        self._updates += 1
        if self.first <= self._updates <= self.last:
            return Verdict(float(self._updates), 0.0, "loss/g", 2, "definition", "It is so.")
        return None

    @classmethod
    def demo(cls, seed):
        raise NotImplementedError


class BeforeTheCheckpoint(Between):
    code, first, last = "GW991", 8, 1000


class AcrossTheCheckpoint(Between):
    code, first, last = "GW992", 15, 20


class BehindTheCheckpoint(Between):
    code, first, last = "GW993", 26, 1000


class Kill(lightning.Callback):
    """Waits until the store holds the readings, notes them, and kills the process."""

    def __init__(self, folder, watch):
        self.folder, self.watch = folder, watch

    def on_train_batch_end(self, trainer, module, *_):
        if module.g_updates < KILLED:
            return
        run, committed = self.watch.observer.run.id, {}
        for sink in self.watch.observer.sinks:
            sink.sync()
        with open_store(self.folder / "runs", create=False) as store:
            for name in queries.series_names(store, run):
                steps, values = queries.series(store, run, name)
                committed[name] = list(zip(steps.tolist(), values.tolist(), strict=True))
        (self.folder / "committed.json").write_text(json.dumps(committed))
        os.kill(os.getpid(), signal.SIGKILL)


def train(folder, *, kill, every=10):
    logging.basicConfig(filename=folder / "log", level=logging.INFO)
    resume = (folder / "last.ckpt").is_file()
    lightning.seed_everything(9 if resume else 1, verbose=False)
    gan = GAN((2,), width=8, latent_dim=4, dropout=0.2)
    detectors = [BeforeTheCheckpoint(), AcrossTheCheckpoint(), BehindTheCheckpoint()]
    watch = GanWatch(store=folder / "runs", detectors=detectors, audit_seconds=0.0)
    callbacks = [watch, Kill(folder, watch)] if kill else [watch]
    data = GANData("ring", samples=96, batch_size=16)
    fit(gan, data, steps=STEPS, seed=1, root=folder, checkpoint_every=every, resume=resume, callbacks=callbacks)


if __name__ == "__main__":
    torch.set_num_threads(1)
    start(train, "whole")
    start(train, "with checkpoint", kill=True)
    start(train, "with checkpoint")
    start(train, "before the first checkpoint", kill=True, every=100)
    start(train, "before the first checkpoint", every=100)
    start(train, "twice")
    Path("twice/last.ckpt").unlink()
    start(train, "twice")
