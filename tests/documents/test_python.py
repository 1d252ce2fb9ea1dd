"""Every Python block of the documents runs, and a training that it watches is found in the store."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from ganwatch.session.auto import Auto
from ganwatch.session.watch import Watch
from ganwatch.store import queries
from ganwatch.store.database import open_store

from .conftest import blocks


class Generator(nn.Sequential):
    """Four latents to an image of 8×8."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))


class Discriminator(nn.Sequential):
    """An image to a score."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 1))


def names() -> dict[str, object]:
    """Names that the blocks take for granted."""
    from ganwatch.trainer.data import GANData
    from ganwatch.trainer.module import GAN

    netG, netD = Generator(), Discriminator()

    def train_one_step() -> None:
        of_g, of_d = (torch.optim.SGD(network.parameters(), lr=0.1) for network in (netG, netD))
        fake = netG(torch.randn(8, 4))
        of_d.zero_grad()
        (netD(fake.detach()) - netD(torch.randn(8, 1, 8, 8))).mean().backward()
        of_d.step()
        of_g.zero_grad()
        (-netD(fake)).mean().backward()
        of_g.step()

    return {
        "netG": netG,
        "netD": netD,
        "train_one_step": train_one_step,
        "heldout": torch.randn(40, 1, 8, 8),
        "my_gan": GAN(),
        "my_data": GANData(),
    }


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Trainings of Lightning end after a few steps."""
    import lightning

    class Short(lightning.Trainer):
        def __init__(self, **given):
            quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
            super().__init__(max_steps=4, **quiet, **given)

    monkeypatch.setattr(lightning, "Trainer", Short)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: f"{block.document}:{block.line}")
def test_python_block(block, world):
    given = names()
    exec(compile(block.text, block.document, "exec"), given)  # noqa: S102  # the document's own lines
    watches = "watch(" in block.text or "auto(" in block.text
    if watches:
        given["train_one_step"]()
        for watching in [thing for thing in gc.get_objects() if type(thing) in {Auto, Watch}]:
            watching.close()
    with open_store(world / "runs") as store:
        new = [run for run in queries.runs(store) if not run.name.startswith("demo")]
    if watches or ".fit(" in block.text:
        assert new, "no run was watched"
        assert all((run.state, run.last_step > 0) == ("finished", True) for run in new)
