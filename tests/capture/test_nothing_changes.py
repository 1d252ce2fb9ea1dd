"""A run under observation ends bit for bit as the run alone."""

import random

import lightning
import numpy as np
import pytest
import torch

from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.session.defaults import default_probes
from ganwatch.session.lightning import GanWatch
from ganwatch.trainer.data import GANData
from ganwatch.trainer.losses import LOSSES
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit

STEPS = 24


def frequent_probes():
    """The default probes, due many times in few steps."""
    probes = default_probes()
    for probe in probes:
        probe.every = -(-probe.every // 10)
    return probes


VECTOR = {"shape": (2,), "width": 8, "latent_dim": 4}
VARIANTS = {
    **{loss: VECTOR | {"loss": loss, "d_norm": "none"} for loss in LOSSES},
    "critic steps": VECTOR | {"loss": "wgan-gp", "d_steps": 3},
    "two updates of G": VECTOR | {"g_steps": 2},
    "batch norm, dropout, EMA": VECTOR | {"d_norm": "batch", "dropout": 0.3, "ema": 0.9},
    "convolutions, spectral norm, EMA": {"channels": 4, "latent_dim": 8, "d_norm": "spectral", "ema": 0.9},
    "convolutions, batch norm, dropout, R1, labels": {
        "channels": 4, "latent_dim": 8, "d_norm": "batch", "dropout": 0.3, "r1_weight": 0.1, "r1_every": 4, "classes": 10,
    },
}  # fmt: skip


class FrequentGrids(lightning.Callback):
    """Grids every third step, and evidence pinned in between, through the real path."""

    def __init__(self, watch):
        self.watch = watch

    def on_train_start(self, trainer, module):
        self.watch.observer.gallery.every = 3

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if batch_idx % 5 == 0:
            incident = Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 1, 1, fired=1, seen=1)
            for listener in self.watch.observer._monitor.listeners:
                listener(incident)


def end_of_run(options, callbacks):
    lightning.seed_everything(3, verbose=False)
    gan = GAN(**options)
    data = GANData("ring", samples=128, batch_size=16) if "shape" in options else GANData(batch_size=16)
    trainer = fit(gan, data, steps=STEPS, seed=3, callbacks=callbacks)
    return {
        "weights and buffers": gan.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "modes": [part.training for part in gan.modules()],
        "counts": [gan.batches, gan.g_updates, gan.d_updates],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(legacy=True)[1:],  # noqa: NPY002  # the global state
        "python": random.getstate(),
    }


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(value, counterpart) for value, counterpart in zip(one, other, strict=True))
    return one == other


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_bit_identical(options, tmp_path):
    alone = end_of_run(options, [])
    watch = GanWatch(store=tmp_path, probes=frequent_probes())
    watched = end_of_run(options, [watch, FrequentGrids(watch)])
    assert [name for name in alone if not equal(alone[name], watched[name])] == []
    assert watch.observer.steps == alone["counts"][1]
    assert watch.observer.guard.errors.total() == 0
    assert {"d_auc", "vendi_ratio", "loss/g", "loss/d"} <= watch.observer.latest.keys()
