"""A GAN loop in Lightning Fabric, watched by one line. Run it: python examples/fabric_gan.py [steps]."""

import sys
from itertools import chain, repeat

import torch
from lightning.fabric import Fabric
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

import ganwatch

LATENT = 32


def main(steps: int) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.seed_everything(0)
    digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8.0 - 1.0
    loader = fabric.setup_dataloaders(DataLoader(TensorDataset(digits), batch_size=64, shuffle=True, drop_last=True))
    G = nn.Sequential(nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
    D = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(128, 1))
    netG, g_optimizer = fabric.setup(G, torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999)))
    netD, d_optimizer = fabric.setup(D, torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999)))

    ganwatch.watch(G=netG, D=netD, name="fabric-gan")

    for _, (real,) in zip(range(steps), chain.from_iterable(repeat(loader)), strict=False):
        fake = netG(torch.randn(len(real), LATENT, device=fabric.device))
        d_optimizer.zero_grad()
        fabric.backward(softplus(-netD(real)).mean() + softplus(netD(fake.detach())).mean())
        d_optimizer.step()
        g_optimizer.zero_grad()
        fabric.backward(softplus(-netD(fake)).mean())
        g_optimizer.step()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
