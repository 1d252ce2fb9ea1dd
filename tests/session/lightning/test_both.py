"""The callback and ``watch`` give identical readings on the same training."""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganwatch
from ganwatch.core.signals import find_signal
from ganwatch.session.lightning import GanWatch
from ganwatch.sinks.memory import MemorySink
from ganwatch.trainer.run import QUIET_TRAINER, silence_lightning

STEPS = 64
SAID = {"store": None, "audit_seconds": 0.0, "logits": 0, "latent": torch.ones(5, 4).cumsum(0), "sample": lambda made: 0.5 * made}


class Plain(lightning.LightningModule):
    """Two critic steps for one of the generator, batch norm, dropout, a discriminator whose first channel is the score."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.automatic_optimization = False
        body = nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 64)
        self.generator = nn.Sequential(*body, nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
        self.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(16, 2))

    def configure_optimizers(self):
        return torch.optim.Adam(self.generator.parameters(), 1e-3), torch.optim.RMSprop(self.discriminator.parameters(), 1e-3)

    def training_step(self, batch, batch_idx):
        one_step(self, *self.optimizers(), batch, batch_idx)


def loader():
    data = torch.rand(256, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return DataLoader(TensorDataset(data), 16)


def one_step(gan, of_g, of_d, batch, index):
    torch.manual_seed(index)
    [real] = batch
    for _ in range(2):
        of_d.zero_grad()
        fake = gan.generator(torch.randn(16, 4)).detach()
        (nn.functional.softplus(-score(gan, real)).mean() + nn.functional.softplus(score(gan, fake)).mean()).backward()
        of_d.step()
    of_g.zero_grad()
    nn.functional.softplus(-score(gan, gan.generator(torch.randn(16, 4)))).mean().backward()
    of_g.step()


def score(gan, images):
    return gan.discriminator(images)[:, :1]


def kept(sink):
    readings = {
        (reading.step, name): repr(value)
        for reading in sink.steps
        for name, value in reading.values.items()
        if find_signal(name).group != "resources"
    }
    return readings, [(image.step, image.kind, image.shape, image.pixels) for image in sink.images], sink.reports


def test_both_front_ends_read_the_same(tmp_path):
    by_callback, by_watch = MemorySink(), MemorySink()
    gan = Plain()
    callback = GanWatch(sinks=[by_callback], **SAID)
    with silence_lightning():
        how = {"accelerator": "cpu", "enable_checkpointing": False, "default_root_dir": tmp_path, "max_epochs": STEPS // 16}
        lightning.Trainer(**QUIET_TRAINER | how, callbacks=[callback]).fit(gan, loader())

    by_hand, batches = Plain(), loader()
    of_g, of_d = by_hand.configure_optimizers()
    with ganwatch.watch(G=by_hand.generator, D=by_hand.discriminator, sinks=[by_watch], **SAID) as watching:
        for _ in range(STEPS // 16):
            for index, batch in enumerate(batches):
                one_step(by_hand, of_g, of_d, batch, index)

    assert all(map(torch.equal, gan.state_dict().values(), by_hand.state_dict().values()))
    readings, images, reports = kept(by_callback)
    assert (readings, images, reports) == kept(by_watch)
    assert max(step for step, _ in readings) == STEPS
    assert {"loss", "grad_norm", "d_auc", "vendi_ratio", "data_std", "latent_scale"} <= {name.partition("/")[0] for _, name in readings}
    assert {(kind, shape[0]) for _, kind, shape, _ in images} == {("fixed", 5), ("real", 16)}
    assert callback.status() == watching.status()
