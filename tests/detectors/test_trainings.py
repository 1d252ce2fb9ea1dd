"""Detectors find real failures in short trainings."""

from collections.abc import Callable
from typing import Any

import lightning
import pytest

from ganwatch.core.incidents import Incident
from ganwatch.drill.callback import Drill
from ganwatch.session.lightning import GanWatch
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit


class ChangeOptimizers(lightning.Callback):
    """Changes the optimizers at a step."""

    def __init__(self, step: int, change: Callable[[Any], None]) -> None:
        self.step, self.change = step, change

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if pl_module.g_updates == self.step:
            for optimizer in trainer.optimizers:
                self.change(optimizer)


def freeze(optimizer: Any) -> None:
    for group in optimizer.param_groups:
        group["lr"] = 0.0


def incidents(*callbacks: lightning.Callback, steps: int, data: GANData | None = None, **settings: Any) -> list[Incident]:
    lightning.seed_everything(0, verbose=False)
    watch = GanWatch(store=None, audit_seconds=0.0)
    model = GAN(**{"shape": (2,), "g_norm": "none", "width": 64} | settings)
    fit(model, data or GANData("ring", batch_size=64), steps=steps, seed=0, callbacks=[watch, *callbacks], threads=1)
    assert watch.observer.guard.errors == {}
    return watch.observer.incidents


def codes(found: list[Incident]) -> list[str]:
    return [incident.code for incident in found if incident.cause is None]


@pytest.mark.parametrize("loss", ["non-saturating", "wgan-gp"])
def test_a_discriminator_without_a_rate_learns_too_slowly(loss):
    [root, *others] = incidents(steps=260, d_lr=0.0, loss=loss)
    assert (root.code, root.cause) == ("GW002", None)
    assert {one.cause for one in others} <= {root.id}


def test_a_bad_generator_whose_learning_rate_is_gone_is_stalled():
    found = {one.code: one for one in incidents(ChangeOptimizers(20, freeze), steps=260)}
    assert found["GW403"].onset == 40  # the first sampled step after that
    assert found["GW403"].cause == found["GW002"].id


def test_a_training_that_goes_well_is_left_alone():
    assert incidents(steps=400) == []


def test_networks_that_chase_each_other_oscillate():
    [root] = [incident for incident in incidents(Drill("oscillation", step=500), steps=1000) if incident.cause is None]
    assert root.code == "GW304"
    assert 440 <= root.onset <= 540
