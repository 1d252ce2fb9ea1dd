"""Two data-parallel processes in plain PyTorch, on the digits of scikit-learn, watched by one line that every process runs.

Run it with ``torchrun --nproc-per-node 2 examples/data_parallel.py 2000``, then open ``ganwatch dashboard``.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.nn.functional import softplus
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import ganwatch

LATENT = 32


def main(steps: int) -> None:
    distributed.init_process_group("gloo")  # "nccl" on GPUs
    torch.manual_seed(0)
    digits = TensorDataset(torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8.0 - 1.0)
    loader = DataLoader(digits, batch_size=32, sampler=DistributedSampler(digits), drop_last=True)
    netG = nn.Sequential(nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
    netD = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(128, 1))
    netG, netD = DistributedDataParallel(netG), DistributedDataParallel(netD)
    g_optimizer = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
    torch.manual_seed(1 + distributed.get_rank())  # different latents on every rank

    ganwatch.watch(G=netG, D=netD, name="data-parallel")

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
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
