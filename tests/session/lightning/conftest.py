"""GANs as people write them. They record by hand the values that an observer should report."""

from itertools import pairwise
from types import MappingProxyType

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ganwatch.trainer.run import QUIET_TRAINER, silence_lightning


def layers(*sizes, last=None):
    parts = []
    for size, following in pairwise(sizes):
        parts += [nn.Linear(size, following), nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts[:-1], *([last] if last else []))


class Foreign(lightning.LightningModule):
    """Base of the styles; ``noted`` has an entry for each optimizer step."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.noted = []

    def networks(self):
        raise NotImplementedError

    def configure_optimizers(self):
        g, d = self.networks()
        return torch.optim.Adam(g.parameters(), lr=2e-3), torch.optim.SGD(d.parameters(), lr=1e-2, momentum=0.5)

    def update(self, role, loss, real=None, fake=None):
        network = dict(zip("gd", self.networks(), strict=True))[role]
        optimizer = dict(zip("gd", self.optimizers(), strict=True))[role]
        optimizer.zero_grad()
        self.manual_backward(loss)
        parameters = list(network.parameters())
        matrices = [p.grad for p in parameters if p.ndim > 1]
        before = [p.detach().clone() for p in parameters]
        optimizer.step()
        flat = lambda tensors: torch.cat([t.detach().double().flatten() for t in tensors])
        rms = lambda tensor: tensor.double().pow(2).mean().sqrt()
        self.noted.append({
            "role": role,
            "loss": float(loss.detach()),
            "grad_norm": float(flat([p.grad for p in parameters]).norm()),
            "grad_first_to_last": float(rms(matrices[0]) / rms(matrices[-1])),
            "weight_norm": float(flat(before).norm()),
            "update_to_weight": float((flat(parameters) - flat(before)).norm() / flat(before).norm()),
            "real": None if real is None else real.detach().flatten(1).mean(1).tolist(),
            "fake": None if fake is None else fake.detach().flatten(1).mean(1).tolist(),
        })  # fmt: skip


class Documented(Foreign):
    """GAN of Lightning's documentation: G first, optimizers toggled, fakes through ``self(z)``."""

    loss = staticmethod(nn.functional.binary_cross_entropy)

    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(layers(4, 16, 64, last=nn.Tanh()), nn.Unflatten(1, (1, 8, 8)))
        self.discriminator = nn.Sequential(nn.Flatten(), layers(64, 16, 1, last=nn.Sigmoid()))

    def networks(self):
        return self.generator, self.discriminator

    def forward(self, z):
        return self.generator(z)

    def training_step(self, batch):
        imgs, _ = batch
        optimizer_g, optimizer_d = self.optimizers()
        z = torch.randn(len(imgs), 4).type_as(imgs)
        self.toggle_optimizer(optimizer_g)
        self.generated_imgs = self(z)
        valid = torch.ones(len(imgs), 1).type_as(imgs)
        g_loss = self.loss(self.discriminator(self(z)), valid)
        self.log("g_loss", g_loss, prog_bar=True)
        self.update("g", g_loss)
        self.untoggle_optimizer(optimizer_g)
        self.toggle_optimizer(optimizer_d)
        on_real = self.discriminator(imgs)
        on_fake = self.discriminator(self(z).detach())
        d_loss = (self.loss(on_real, valid) + self.loss(on_fake, torch.zeros_like(valid))) / 2
        self.update("d", d_loss, on_real, on_fake)
        self.untoggle_optimizer(optimizer_d)


class Together(Foreign):
    """D sees real and fake in one call and returns a vector; the networks are plain sequences under other names."""

    def __init__(self):
        super().__init__()
        self.netG = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
        self.netD = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))

    def networks(self):
        return self.netG, self.netD

    def training_step(self, batch, batch_idx):
        real = batch[0]
        fake = self.netG(torch.randn(len(real), 4))
        logits = self.netD(torch.cat([real, fake.detach()]))
        on_real, on_fake = logits.chunk(2)
        target = torch.cat([torch.ones(len(real)), torch.zeros(len(real))])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target)
        self.update("d", loss, on_real[:, None], on_fake[:, None])
        self.update("g", nn.functional.softplus(-self.netD(fake)).mean())
        return {"loss": loss.detach()}


class Patches(Foreign):
    """Least squares on a map of patches, two updates of D for one of G, no gradient for D in G's phase, ``forward`` called by name."""

    def __init__(self):
        super().__init__()
        self.G = nn.Sequential(nn.ConvTranspose2d(4, 8, 4), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh())
        self.D = nn.utils.spectral_norm(nn.Conv2d(1, 8, 3, 2, 1))
        self.D = nn.Sequential(self.D, nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, 1, 1))

    def networks(self):
        return self.G, self.D

    def training_step(self, batch, batch_idx):
        real, _ = batch
        z = torch.randn(len(real), 4, 1, 1)
        on_real, on_fake = self.D.forward(real), self.D.forward(self.G.forward(z).detach())
        self.update("d", ((on_real - 1) ** 2).mean() + (on_fake**2).mean(), on_real, on_fake)
        if batch_idx % 2 == 1:
            self.D.requires_grad_(requires_grad=False)
            self.update("g", ((self.D.forward(self.G.forward(z)) - 1) ** 2).mean())
            self.D.requires_grad_(requires_grad=True)


class Labelled(Foreign):
    """D returns the score and a class; the labels go to G; the networks are one level deeper."""

    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.validity, self.label = layers(64, 16, 16), nn.Linear(16, 1), nn.Linear(16, 10)

        def forward(self, images):
            features = self.body(images.flatten(1))
            return self.validity(features), self.label(features)

    class Maker(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.body = nn.Embedding(10, 4), layers(8, 16, 64, last=nn.Tanh())

        def forward(self, noise, *, labels):
            return self.body(torch.cat([noise, self.embedding(labels)], 1)).view(-1, 1, 8, 8)

    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict({"G": self.Maker(), "D": self.Judge()})

    def networks(self):
        return self.model["G"], self.model["D"]

    def training_step(self, batch, batch_idx):
        real, labels = batch
        fake = self.model["G"](torch.randn(len(real), 4), labels=labels)
        (on_real, class_real), (on_fake, class_fake) = self.model["D"](real), self.model["D"](fake.detach())
        known = nn.functional.cross_entropy(class_real, labels) + nn.functional.cross_entropy(class_fake, labels)
        self.update("d", nn.functional.relu(1 - on_real).mean() + nn.functional.relu(1 + on_fake).mean() + known, on_real, on_fake)
        score, kind = self.model["D"](fake)
        self.update("g", nn.functional.cross_entropy(kind, labels) - score.mean())


class Rescaled(Documented):
    """The batch arrives in [0, 1] and is stretched inside ``training_step``."""

    def training_step(self, batch):
        return super().training_step([batch[0] * 2 - 1, batch[1]])


STYLES = {"documented": Documented, "together": Together, "patches": Patches, "labelled": Labelled}


def digits(samples=160, unit=False):
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(found.images[:samples]).float().unsqueeze(1) / 16.0
    return TensorDataset(images if unit else images * 2 - 1, torch.from_numpy(found.target[:samples]).long())


@pytest.fixture
def train(tmp_path):
    """Return a function that trains a module for some batches of 16 and returns the trainer."""

    def run(module, *callbacks, batches=40, data=None, how=MappingProxyType({}), **options):
        loader = DataLoader(digits() if data is None else data, 16, shuffle=True, drop_last=True)
        epochs = {"max_epochs": max(1, batches // max(1, len(loader))), "limit_train_batches": min(batches, len(loader))}
        place = {"accelerator": "cpu", "enable_checkpointing": False, "default_root_dir": tmp_path}
        with silence_lightning():
            trainer = lightning.Trainer(**QUIET_TRAINER | place | epochs | options, callbacks=list(callbacks))
            trainer.fit(module, loader, **how)
        return trainer

    return run


@pytest.fixture(params=STYLES)
def style(request):
    """A foreign module in each style, and the names of its networks if they are unusual."""
    lightning.seed_everything(5, verbose=False)
    names = {"generator": "model.G", "discriminator": "model.D"} if request.param == "labelled" else {}
    return STYLES[request.param](), names


@pytest.fixture
def rescaled():
    lightning.seed_everything(5, verbose=False)
    return Rescaled()


@pytest.fixture
def documented():
    lightning.seed_everything(5, verbose=False)
    return Documented()


@pytest.fixture
def make_digits():
    return digits
