"""The callback under both names of Lightning, together and alone, in processes of their own as the second import redirects the first's log.

Run as a script: python test_names.py [--not NAME] NAME [NAME].
"""

import subprocess
import sys
from importlib import import_module

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

NAMES = ("lightning.pytorch", "pytorch_lightning")
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def train(name, folder, *callbacks):
    """Six steps of a GAN in that Lightning; what it ends with."""
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
    """Train with and without; the callback's state in the checkpoint."""
    from ganwatch import GanWatch

    package = import_module(name)
    watch = GanWatch(store=None, audit_seconds=0.0)
    assert isinstance(watch, package.Callback)
    alone, _ = train(name, f"{folder}/alone")
    watched, trainer = train(name, f"{folder}/watched", watch)
    assert all(map(torch.equal, alone, watched))
    assert watch.observer.recorder.index == 6
    assert watch.observer.monitor.errors == {}
    assert "d_auc" not in watch.observer.monitor.latest  # due at step 20
    saved = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
    return saved["callbacks"]["GanWatch"]["index"]


@pytest.mark.parametrize("arguments", [["--not", *NAMES], ["--not", *NAMES[::-1]], NAMES])
def test_the_trainer_of_each_takes_it(arguments, tmp_path):
    done = subprocess.run([sys.executable, __file__, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_either_the_error_says_what_to_install():
    block = "import sys; sys.modules['lightning'] = sys.modules['pytorch_lightning'] = None"
    done = subprocess.run([sys.executable, "-c", f"{block}; from ganwatch import GanWatch"], capture_output=True, text=True, check=False)
    assert 'GanWatch needs lightning: pip install "ganwatch[lightning]"' in done.stderr


if __name__ == "__main__":
    names = sys.argv[1:]
    if names[0] == "--not":
        sys.modules[names[1].partition(".")[0]] = None
        names = names[2:]
    for each in names:
        assert check(each, each) == 6
    assert [name for name in NAMES if sys.modules.get(name)] == names  # no other has been imported
