"""A loss belongs to the update that applied its gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

import ganwatch
from ganwatch.sinks.memory import MemorySink


def bce(score, real):
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, float(real)))


class Training:
    """A training that keeps account of the losses that were applied."""

    def __init__(self):
        torch.manual_seed(0)
        self.e, self.g, self.d = nn.Linear(4, 3), nn.Linear(3, 4), nn.Linear(4, 1)
        self.optimizers = {name: torch.optim.SGD(getattr(self, name).parameters(), 0.05) for name in "egd"}
        self.applied = {}

    def update(self, name, loss, step, *, applies=True):
        self.optimizers[name].zero_grad()
        loss.backward()
        if applies:
            self.optimizers[name].step()
            self.applied[f"loss/{name}", step] = float(loss.detach())

    def run(self, steps=40):
        for step in range(1, steps + 1):
            real, fake = torch.randn(8, 4), self.g(torch.randn(8, 3))
            self.d_phase(real, fake, step)
            self.update("g", bce(self.d(fake), True), step)
            self.after(real, step)

    def d_phase(self, real, fake, step):
        self.update("d", bce(self.d(real), True) + bce(self.d(fake.detach()), False), step)

    def after(self, real, step):
        pass


class SkippingTraining(Training):
    """Some losses of the discriminator are computed and not applied."""

    def d_phase(self, real, fake, step):
        self.update("d", bce(self.d(real), True) + bce(self.d(fake.detach()), False), step, applies=step % 3 != 1)


class EncoderTraining(Training):
    """A third network's loss passes through the generator, whose gradients are dropped before its own."""

    def after(self, real, step):
        self.update("e", (self.g(self.e(real)) - real).square().mean(), step)


class DroppingTraining(Training):
    """A batch that is not finite is dropped."""

    def after(self, real, step):
        if step == 20:
            (self.d(real).mean() * float("nan")).backward()
            self.optimizers["d"].zero_grad()


@pytest.mark.parametrize(("training_class", "unknown"), [(Training, 0), (SkippingTraining, 0), (EncoderTraining, 0), (DroppingTraining, 1)])
def test_losses_that_were_not_applied_are_in_no_reading(training_class, unknown):
    training, sink = training_class(), MemorySink()
    with ganwatch.watch(G=training.g, D=training.d, store=None, sinks=[sink], audit_seconds=0.0):
        training.run()
    read = {(name, reading.step): x for reading in sink.steps for name, x in reading.values.items() if name in {"loss/g", "loss/d"}}
    own = {key: loss for key, loss in training.applied.items() if key[0] != "loss/e"}
    assert len(own) - len(read) == unknown
    assert read == pytest.approx({key: own[key] for key in read}, rel=1e-5)
    assert not any(report.code == "GW303" for report in sink.reports)


class RareDTraining(Training):
    """The discriminator is updated with every second, fourth or tenth update of the generator."""

    every = 2

    def d_phase(self, real, fake, step):
        if step % self.every == 1:
            super().d_phase(real, fake, step)


@pytest.mark.parametrize("every", [2, 4, 5, 10])
def test_sampled_steps_shift_to_the_updates_of_a_rarely_updated_discriminator(every):
    training, sink = RareDTraining(), MemorySink()
    training.every = every
    with ganwatch.watch(G=training.g, D=training.d, store=None, sinks=[sink], audit_seconds=0.0):
        training.run(300)
    assert len(sink.series("grad_norm/d")[0]) >= 5
    assert len(sink.series("update_to_weight/d")[0]) >= 5
    assert len(sink.series("vendi_ratio")[0]) >= 4
