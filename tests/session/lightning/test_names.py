"""The callback under both names of Lightning, together and alone, each in its own process: the second import redirects the first's log.

As a script it runs every case in a fork of one process, which has imported all that they share.
"""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

NAMES = ("lightning.pytorch", "pytorch_lightning")
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def train(name, folder, *callbacks):
    """Train a GAN for six steps in that Lightning; return its last state and the trainer."""
    package = import_module(name)

    class GAN(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.discriminator = nn.Linear(2, 6), nn.Linear(6, 1)

        def configure_optimizers(self):
            return [torch.optim.Adam(network.parameters()) for network in (self.generator, self.discriminator)]

        def training_step(self, batch):
            of_g, of_d = self.optimizers()
            fake = self.generator(torch.randn(8, 2))
            for optimizer, loss in (
                (of_d, lambda: self.discriminator(fake.detach()).mean() - self.discriminator(batch[0]).mean()),
                (of_g, lambda: -self.discriminator(fake).mean()),
            ):
                optimizer.zero_grad()
                self.manual_backward(loss())
                optimizer.step()

    torch.manual_seed(0)
    module = GAN()
    trainer = package.Trainer(max_steps=12, callbacks=list(callbacks), default_root_dir=folder, **QUIET)
    trainer.fit(module, DataLoader(TensorDataset(torch.randn(64, 6)), 8))
    return [*module.state_dict().values(), torch.get_rng_state()], trainer


def check(name, folder):
    """Train with and without the callback; return the step in the callback's checkpoint."""
    from ganwatch import GanWatch

    package = import_module(name)
    watch = GanWatch(store=None, audit_seconds=0.0)
    assert isinstance(watch, package.Callback)
    alone, _ = train(name, f"{folder}/alone")
    watched, trainer = train(name, f"{folder}/watched", watch)
    assert all(map(torch.equal, alone, watched))
    assert watch.observer.steps == 6
    assert watch.observer.guard.errors == {}
    assert "d_auc" not in watch.observer.latest  # due at step 20
    saved = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
    return saved["callbacks"]["GanWatch"]["recorder"]["index"]


def check_alone_and_together(folder, hidden, names, kill):
    """Train in the Lightning packages of those names; no other may be imported."""
    if hidden:
        sys.modules[hidden.partition(".")[0]] = None
    for name in names:
        assert check(name, folder / name) == 6
    assert [name for name in NAMES if sys.modules.get(name)] == list(names)


def check_missing(folder, kill):
    """Import the callback without Lightning; the error must name the command that installs it."""
    sys.modules["lightning"] = sys.modules["pytorch_lightning"] = None
    with pytest.raises(ImportError, match=re.escape('GanWatch needs lightning: pip install "ganwatch[lightning]"')):
        from ganwatch import GanWatch  # noqa: F401  # fails


def test_the_trainer_of_each_takes_it_and_without_either_the_error_says_what_to_install(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 4


if __name__ == "__main__":
    import torch._dynamo  # optimizers import it
    import torchmetrics  # noqa: F401  # both packages import it

    import ganwatch

    sys.path.insert(0, str(Path(__file__).parents[2]))
    from forked import start  # not installed

    torch.set_num_threads(1)
    with ganwatch.watch(nn.PReLU(), nn.PReLU(), store=None):  # imports all that a watch needs
        pass
    assert not [name for name in NAMES if name in sys.modules]
    first, second = NAMES
    start(check_alone_and_together, "first", hidden=second, names=[first])
    start(check_alone_and_together, "second", hidden=first, names=[second])
    start(check_alone_and_together, "both", hidden=None, names=NAMES)
    start(check_missing, "neither")
