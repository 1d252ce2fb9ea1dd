"""A GAN loop in plain PyTorch, on the digits of scikit-learn, watched by one line.

Run it with ``python examples/plain_loop.py 2000``, then open ``ganwatch dashboard``.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

import ganwatch

LATENT = 32


def main(steps: int) -> None:
    torch.manual_seed(0)
    digits = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8.0 - 1.0
    loader = DataLoader(TensorDataset(digits), batch_size=64, shuffle=True, drop_last=True)
    netG = nn.Sequential(nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
    netD = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(128, 1))
    g_optimizer = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))

    ganwatch.watch(G=netG, D=netD, name="plain-loop")

    done = 0
    while done < steps:
        for (real,) in loader:
            fake = netG(torch.randn(len(real), LATENT))
            d_optimizer.zero_grad()
            (softplus(-netD(real)).mean() + softplus(netD(fake.detach())).mean()).backward()
            d_optimizer.step()
            g_optimizer.zero_grad()
            softplus(-netD(fake)).mean().backward()
            g_optimizer.step()
            done += 1
            if done == steps:
                break


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
