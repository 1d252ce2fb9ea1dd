"""Trainings on one or two ranks, started by the tests: ``training.py main OUT MODE …``, by torchrun or not, or ``forked OUT RUN …``.

Every rank works in a folder of its own, trains once without and once with ganwatch, and leaves its weights and what it printed there.
"""

import contextlib
import importlib
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import softplus
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import ganwatch

STEPS, BATCH, LATENT, FEATURES = 40, 16, 4, 6
LATE_IMPORTS = ("ganwatch.session.watch", "ganwatch.session.run_start", "ganwatch.metrics.conditioning", "ganwatch.sinks.sql")


class Networks:
    def __init__(self):
        torch.manual_seed(1)
        self.g = nn.Sequential(nn.Linear(LATENT, 8), nn.ReLU(), nn.Linear(8, FEATURES), nn.Tanh())
        self.d = nn.Sequential(nn.Linear(FEATURES, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def optimizers(self):
        return [torch.optim.SGD(network.parameters(), lr=0.1) for network in (self.g, self.d)]


def batches(rank=0, size=1, steps=STEPS):
    """This rank's part of every batch of reals, from a loader, and of latents."""
    torch.manual_seed(2)
    real, latent = torch.rand(STEPS, size, BATCH // size, FEATURES) - 0.2, torch.randn(STEPS, size, BATCH // size, LATENT)
    loader = DataLoader(TensorDataset(real[:steps, rank].flatten(0, 1)), BATCH // size)
    yield from ((batch, z) for (batch,), z in zip(loader, latent[:steps, rank], strict=True))


def step(g, d, optimizers, batch, backward=torch.Tensor.backward):
    (of_g, of_d), (real, latent) = optimizers, batch
    fake = g(latent)
    of_d.zero_grad()
    backward(softplus(-d(real)).mean() + softplus(d(fake.detach())).mean())
    of_d.step()
    of_g.zero_grad()
    backward(softplus(-d(fake)).mean())
    of_g.step()


def keep(networks, name):
    torch.save([*networks.g.state_dict().values(), *networks.d.state_dict().values(), torch.get_rng_state()], name)


def alone(networks, given, steps):
    given(networks.g, networks.d)
    optimizers = networks.optimizers()
    for batch in batches():
        step(networks.g, networks.d, optimizers, batch)


def plain(networks, given, steps):
    g, d = (DistributedDataParallel(network) for network in (networks.g, networks.d))
    given(g, networks.d)  # one of them wrapped, one as it was
    optimizers = networks.optimizers()
    for batch in batches(dist.get_rank(), dist.get_world_size()):
        step(g, d, optimizers, batch)


def uneven(networks, given, steps):
    """Every rank on its own, the second one with less data."""
    rank = dist.get_rank()
    given(networks.g, networks.d)
    optimizers = networks.optimizers()
    for batch in batches(rank, 2, STEPS if rank == 0 else steps):
        step(networks.g, networks.d, optimizers, batch)
    dist.barrier()


def fabric(networks, given, steps, wrap=lambda g: g):
    from lightning.fabric import Fabric

    runner = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    runner.launch()
    of_g, of_d = networks.optimizers()
    g, of_g = runner.setup(networks.g, of_g)
    g = wrap(g)
    given(g, networks.d)
    d, of_d = runner.setup(networks.d, of_d)
    for batch in batches(runner.global_rank, 2):
        step(g, d, (of_g, of_d), batch, runner.backward)


def nested(networks, given, steps):
    """A generator that holds what talks to the other rank when it is called."""
    fabric(networks, given, steps, wrap=nn.Sequential)


def lightning(networks, callbacks, steps):
    """Two epochs of half the batches each; the second one from a checkpoint where it is watched."""
    from lightning import LightningModule, Trainer

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.discriminator = networks.g, networks.d

        def configure_optimizers(self):
            return networks.optimizers()

        def train_dataloader(self):
            first = self.trainer.current_epoch * STEPS // 2
            mine = list(batches(self.global_rank, 2))[first : first + STEPS // 2]
            return DataLoader(mine, batch_size=None)

        def training_step(self, batch):
            step(self.generator, self.discriminator, self.optimizers(), batch, self.manual_backward)

    for epochs in (1, 2):
        trainer = Trainer(
            accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true", max_epochs=epochs, use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=1, callbacks=callbacks, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Module(), ckpt_path=None if epochs == 1 else "../half.ckpt")
        trainer.save_checkpoint("../half.ckpt")


def failing(networks, given, steps):
    g, d = (DistributedDataParallel(network) for network in (networks.g, networks.d))
    given(networks.g, networks.d)
    optimizers = networks.optimizers()
    for place, batch in enumerate(batches(dist.get_rank(), 2)):
        if place == steps and dist.get_rank() == 1:
            raise RuntimeError("the second rank has failed")
        step(g, d, optimizers, batch)


def late(out):
    """Observation begins before the process group, in a process whose environment tells no rank."""
    rank, size = int(os.environ.pop("RANK")), int(os.environ.pop("WORLD_SIZE"))
    with place(out, rank):
        networks = Networks()
        watching = ganwatch.watch(G=networks.g, D=networks.d, audit_seconds=0)
        url = f"tcp://{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        dist.init_process_group("gloo", init_method=url, rank=rank, world_size=size)
        plain(networks, lambda g, d: None, STEPS)
        watching.close()
        dist.destroy_process_group()


@contextlib.contextmanager
def place(out, rank):
    folder = Path(out) / f"rank{rank}"
    folder.mkdir(parents=True)
    os.chdir(folder)
    with (folder / "printed.txt").open("w") as printed, contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
        yield


def main(out, *modes):
    """Modes are ``name`` or ``name:steps``; the last one's observation ends with the process."""
    rank = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    for mode in modes:
        name, _, steps = mode.partition(":")
        train, where = globals()[name], Path(out) / mode
        with place(where, rank):
            networks, watching = Networks(), []
            train(networks, [] if name == "lightning" else lambda g, d: None, int(steps or STEPS))
            keep(networks, "without.pt")
            given = {"store": where / f"runs{rank}", "name": mode, "audit_seconds": 0}
            networks = Networks()
            if name == "lightning":
                observing = [ganwatch.GanWatch(**given)]
            else:
                observing = lambda g, d: watching.append(ganwatch.watch(G=g, D=d, **given))  # noqa: B023  # called within the turn
            train(networks, observing, int(steps or STEPS))
            keep(networks, "with.pt")
            if mode != modes[-1]:
                watching[0].close()
    if dist.is_initialized():
        dist.destroy_process_group()


def fail(out, watched):
    dist.init_process_group("gloo")
    failing(Networks(), lambda g, d: watched == "no" or ganwatch.watch(G=g, D=d, store=f"{out}/runs", audit_seconds=0), 30)


class Deadly(torch.utils.data.Dataset):
    """Data whose reading kills the process, as the audit does before the first step is over."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def killed(out):
    """Rank 0 is killed while it starts its run."""
    dist.init_process_group("gloo")
    networks = Networks()
    ganwatch.watch(G=networks.g, D=networks.d, store=f"{out}/runs", real=Deadly())
    optimizers = networks.optimizers()
    for batch in batches(dist.get_rank(), 2):
        step(networks.g, networks.d, optimizers, batch)


def forked(out, *runs):
    """Runs one after the other (``name`` or ``name:argument``), each of two processes without a launcher, or of one if it is ``alone``.

    Each process leaves its errors and its exit code in a file.
    """
    for run in runs:
        name, *arguments = run.split(":")
        folder = Path(out) / run
        folder.mkdir()
        children = {}
        for rank in (0,) if name == "alone" else (0, 1):
            child = os.fork()
            if not child:
                os.dup2(os.open(folder / f"errors{rank}.txt", os.O_CREAT | os.O_WRONLY), 2)
                if name == "alone":
                    main(out, name)
                else:
                    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
                    globals()[name](folder, *arguments)
                return
            children[child] = rank
        for _ in children:
            child, status = os.wait()
            (folder / f"code{children[child]}.txt").write_text(str(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    if sys.argv[1] == "forked":  # modules that are imported late are imported once, before the fork
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        for module in LATE_IMPORTS:
            importlib.import_module(module)
    globals()[sys.argv[1]](*sys.argv[2:])
