"""Injections under Lightning, in the reference trainer and in a foreign module."""

from contextlib import suppress

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ganwatch.core.errors import UserError
from ganwatch.drill import Drill
from ganwatch.session.lightning import GanWatch
from ganwatch.session.run_start import active_drills
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import QUIET_TRAINER, fit, silence_lightning

STEP, STEPS = 5, 9


class Note(lightning.Callback):
    """Records the weights after each batch, and its largest value."""

    def __init__(self):
        self.states, self.largest = [], []

    def on_train_batch_start(self, trainer, module, batch, index):
        self.largest.append(float(batch[0].max()))

    def on_train_batch_end(self, trainer, module, *_):
        self.states.append([tensor.numpy().tobytes() for tensor in module.state_dict().values()])


class Foreign(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.netG, self.netD = nn.Linear(3, 2), nn.Linear(2, 1)

    def configure_optimizers(self):
        return [torch.optim.Adam(net.parameters(), lr=1e-2) for net in (self.netG, self.netD)]

    def training_step(self, batch, _):
        g, d = self.optimizers()
        d.zero_grad()
        self.manual_backward((self.netD(self.netG(torch.randn(16, 3)).detach()) - self.netD(batch[0])).mean())
        d.step()
        g.zero_grad()
        self.manual_backward(-self.netD(self.netG(torch.randn(16, 3))).mean())
        g.step()


def reference(callbacks):
    lightning.seed_everything(0, verbose=False)
    return fit(GAN((2,), width=8, latent_dim=4), GANData("ring", samples=128, batch_size=16), steps=STEPS, seed=0, callbacks=callbacks)


def foreign(callbacks):
    lightning.seed_everything(0, verbose=False)
    data = DataLoader(TensorDataset(torch.rand(128, 2)), batch_size=16)
    with silence_lightning():
        trainer = lightning.Trainer(**QUIET_TRAINER, max_steps=2 * STEPS, callbacks=callbacks, enable_checkpointing=False)
        trainer.fit(Foreign(), data)
    return trainer


@pytest.mark.parametrize("train", [reference, foreign])
@pytest.mark.parametrize("failure", ["range-mismatch", "constant-latents", "mode-collapse"])
def test_a_training_is_the_same_up_to_the_step_and_called_a_drill(train, failure):
    alone, note, drill, watch = Note(), Note(), Drill(failure, step=STEP), GanWatch(store=None, name="mine", audit_seconds=0)
    train([alone])
    trainer = train([watch, note, drill])
    assert note.states[: STEP - 1] == alone.states[: STEP - 1]
    assert note.states[STEP] != alone.states[STEP]
    assert drill.injected_at == STEP
    assert watch.observer.run.name == f"drill {failure} at step {STEP}: mine"
    assert watch.observer.run.provenance["drill"] == [{"name": failure, "step": STEP}]
    if failure == "range-mismatch":  # seen by every callback
        assert max(note.largest[: STEP - 1]) < 2.0
        assert min(note.largest[STEP - 1 :]) > 200.0
    assert "batch_to_device" not in vars(trainer.strategy)
    after = GanWatch(store=None, name="mine", audit_seconds=0)
    train([after])
    assert after.observer.run.name == "mine"


class Fails(lightning.Callback):
    def on_train_batch_end(self, trainer, module, *_):
        if module.g_updates == STEP + 1:
            raise ArithmeticError


def test_a_training_that_fails_is_left_alone_and_the_callback_begins_anew():
    drill, again, once = Drill("non-finite", step=STEP), Note(), Note()
    for note, more in ((once, [Fails()]), (again, [])):
        with suppress(ArithmeticError):
            reference([drill, note, *more])
        assert drill.injected_at == STEP
        assert active_drills == []
    assert again.states[: STEP + 1] == once.states
    unspoilt = Note()
    reference([unspoilt])
    assert unspoilt.states[-1] != again.states[-1]


def test_networks_by_other_names_are_asked_for():
    with pytest.raises(UserError, match=r'Write Drill\(generator="…"\)'):
        foreign([Drill("stall", generator="maker")])


def test_a_checkpoint_goes_on_counting():
    drill = Drill("stall", step=STEP)
    drill.load_state_dict({"steps": 3})
    note, alone = Note(), Note()
    reference([alone])
    reference([note, drill])
    assert drill.injected_at == STEP
    assert [mine == theirs for mine, theirs in zip(note.states, alone.states, strict=True)][:3] == [True, False, False]
    assert drill.state_dict() == {"steps": 3 + STEPS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"failure": "boredom"}, "failure must be one of"), ({"failure": "stall", "step": 1.5}, "step must be an integer >= 1")],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        Drill(**arguments)
