"""Your own GAN in Lightning, watched by one line. Run it: python examples/lightning_gan.py [steps]."""

from __future__ import annotations

import sys

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ganwatch import GanWatch


class DigitsGAN(lightning.LightningModule):
    """Fully connected, non-saturating, manual optimisation."""

    def __init__(self, latent: int = 32, rate: float = 2e-4) -> None:  # noqa: ARG002  # saved by save_hyperparameters
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.generator = nn.Sequential(
            nn.Linear(latent, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 64),
            nn.Tanh(), nn.Unflatten(1, (1, 8, 8)),
        )  # fmt: skip
        self.discriminator = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
        )

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        rate = self.hparams["rate"]
        return [torch.optim.Adam(net.parameters(), rate, betas=(0.5, 0.999)) for net in (self.generator, self.discriminator)]

    def training_step(self, batch: list[Tensor]) -> None:
        real, latent = batch[0], torch.randn(len(batch[0]), self.hparams["latent"], device=self.device)
        g_optimizer, d_optimizer = self.optimizers()
        fake = self.generator(latent)
        d_loss = nn.functional.softplus(-self.discriminator(real)).mean() + nn.functional.softplus(self.discriminator(fake.detach())).mean()
        d_optimizer.zero_grad()
        self.manual_backward(d_loss)
        d_optimizer.step()
        g_loss = nn.functional.softplus(-self.discriminator(fake)).mean()
        g_optimizer.zero_grad()
        self.manual_backward(g_loss)
        g_optimizer.step()


def main(steps: int) -> None:
    lightning.seed_everything(0)
    digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8.0 - 1.0
    loader = DataLoader(TensorDataset(digits), batch_size=64, shuffle=True, drop_last=True)
    trainer = lightning.Trainer(
        max_steps=2 * steps,  # with manual optimisation Lightning counts every optimizer's step
        callbacks=[GanWatch()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(DigitsGAN(), loader)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
