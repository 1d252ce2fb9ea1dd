"""Training loops of other packages, called as users call them: bit-identical training, correct step counts, real and fake never swapped."""

import random
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from torch.optim import optimizer as hooks

import ganwatch
from ganwatch.core.probe import Probe
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink

pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_parse' is deprecated:DeprecationWarning")  # imported by a part of ctgan


class Loop:
    """One package's ``fit``."""

    names = ("Generator", "Discriminator")
    of_g, of_d = 0, 0
    generators = 1
    sure = True
    """True if every sampled step of the discriminator's phase has real and fake batches."""

    def __init__(self, folder):
        self.folder = folder
        self.data = np.random.default_rng(0).normal(size=(240, 6)).astype("float32")

    def fit(self):
        """Train; return the trained modules."""
        raise NotImplementedError

    def is_real(self, samples):
        """Return True for each sample of the discriminator that is real."""
        known = {row.tobytes() for row in self.data}
        return [row.numpy().tobytes() in known for row in samples]


class CTGAN(Loop):
    """A table of mixed columns with a conditional vector, ten samples scored together, Wasserstein loss with penalty."""

    of_g, of_d = 60, 120

    def fit(self):
        from ctgan import CTGAN

        table = pd.DataFrame({"x": self.data[:, 0], "y": self.data[:, 1] * 3 + 5, "kind": np.where(self.data[:, 2] > 0, "a", "b")})
        sizes = {"embedding_dim": 16, "generator_dim": (32,), "discriminator_dim": (32,)}
        model = CTGAN(epochs=10, batch_size=40, discriminator_steps=2, enable_gpu=False, **sizes)
        model.set_random_state(0)
        model.fit(table, ["kind"])
        self.kind = sum(span.dim for column in model._transformer.output_info_list[:2] for span in column)
        return [model._generator]

    def is_real(self, samples):
        """Real labels are exactly one-hot, generated ones nearly."""
        return [set(row[self.kind : self.kind + 2].tolist()) == {0.0, 1.0} for row in samples]


class SingleObjective(Loop):
    """Fakes go to the discriminator with their graph; the discriminator trains on alone when the generator has stopped."""

    of_g, of_d = 21, 60

    def fit(self):
        from pyod.models.so_gaal import SO_GAAL

        model = SO_GAAL(stop_epochs=20).fit(self.data)
        return [model.generator, model.discriminator]


class MultiObjective(Loop):
    """Three generators with an optimizer each, made in a function, all in one call with the real data."""

    of_g, of_d = 3 * 31, 90
    generators = 3

    def fit(self):
        from pyod.models.mo_gaal import MO_GAAL

        return [MO_GAAL(k=3, stop_epochs=30).fit(self.data).discriminator]


class Anomalies(Loop):
    """After the training another optimizer moves both networks to search latents."""

    of_g, of_d = 64, 64

    def fit(self):
        from pyod.models.anogan import AnoGAN

        model = AnoGAN(epochs=8, epochs_query=2).fit(self.data)
        return [model.query_model]


class Pythae(Loop):
    of_g, of_d = 60, 60

    def __init__(self, folder):
        super().__init__(folder)
        self.data = np.random.default_rng(0).random((240, 1, 8, 8)).astype("float32")

    def train(self, model, kind, trainer, config):
        from pythae.data.datasets import BaseDataset

        dataset = BaseDataset(torch.from_numpy(self.data), torch.zeros(len(self.data)))
        how = config(output_dir=str(self.folder), num_epochs=4, per_device_train_batch_size=16, no_cuda=True)
        built = model(kind(input_dim=(1, 8, 8), latent_dim=4))
        sample, self.codes = built._sample_gauss, set()

        def noted(*given):
            codes, noise = sample(*given)
            self.codes |= {code.tobytes() for code in codes.detach().numpy()}
            return codes, noise

        built._sample_gauss = noted
        trainer(model=built, train_dataset=dataset, training_config=how).train()
        return [built]


class Decoders(Pythae):
    """Three optimizers whose losses are all back-propagated before the first of them steps; scores and features from one network."""

    names = ("Decoder_AE_MLP", "Discriminator_MLP")
    sure = False  # the discriminator has no call on fakes of its own

    def fit(self):
        from pythae.models import VAEGAN, VAEGANConfig
        from pythae.trainers import CoupledOptimizerAdversarialTrainer, CoupledOptimizerAdversarialTrainerConfig

        return self.train(VAEGAN, VAEGANConfig, CoupledOptimizerAdversarialTrainer, CoupledOptimizerAdversarialTrainerConfig)


class Codes(Pythae):
    """The encoder is the generator, of codes; real are those of the prior."""

    names = ("Encoder_VAE_MLP", "Discriminator_MLP")
    sure = False  # reals come with a gradient asked for, as batches of a penalty do

    def fit(self):
        from pythae.models import Adversarial_AE, Adversarial_AE_Config
        from pythae.trainers import AdversarialTrainer, AdversarialTrainerConfig

        return self.train(Adversarial_AE, Adversarial_AE_Config, AdversarialTrainer, AdversarialTrainerConfig)

    def is_real(self, samples):
        return [row.numpy().tobytes() not in self.codes for row in samples]


LOOPS = {
    "ctgan": CTGAN,
    "pyod SO_GAAL": SingleObjective,
    "pyod MO_GAAL": MultiObjective,
    "pyod AnoGAN": Anomalies,
    "pythae VAEGAN": Decoders,
    "pythae Adversarial_AE": Codes,
}


class Variational(Loop):
    """No GAN."""

    seen = "Decoder, Encoder"

    def fit(self):
        from ctgan import TVAE

        model = TVAE(epochs=8, batch_size=40, compress_dims=(16,), decompress_dims=(16,), embedding_dim=4, enable_gpu=False)
        model.set_random_state(0)
        model.fit(pd.DataFrame(self.data[:, :2], columns=["x", "y"]))
        return [model.decoder]


class Nameless(Loop):
    """Networks have torch's own classes only."""

    seen = "only torch's own"

    def fit(self):
        from pyod.models.alad import ALAD

        model = ALAD(epochs=30).fit(self.data)
        return [model.enc, model.dec, model.disc_xx, model.disc_xz, model.disc_zz]


class Shown(Probe):
    """Records the batches of the discriminator, with the origin that ganwatch gave them."""

    name, signals, every = "shown", (), 1

    def __init__(self):
        self.batches, self.looks = [], []

    def __deepcopy__(self, _):
        return self

    def read(self, step):
        calls = [call for call in step.calls if call.network == "d" and call.index == step.index]
        self.batches += [(call.origin, call.inputs[0].clone()) for call in calls]
        self.looks.append({call.origin for call in calls if not call.in_g_phase})
        return {}


def seeded(fit):
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    state = [value for module in fit() for value in module.state_dict().values()]
    return [*state, torch.get_rng_state(), torch.from_numpy(np.random.get_state()[1])]  # noqa: NPY002


def always():
    probes = default_probes()
    for probe in probes:
        probe.every = 1
    return probes


@pytest.mark.parametrize("name", LOOPS)
def test_a_watched_loop_trains_the_same_and_is_recognised_correctly(name, tmp_path):
    loop, sink, shown, moved = LOOPS[name](tmp_path), MemorySink(), Shown(), []
    seeded(loop.fit)  # imports on first use may draw random numbers
    alone = seeded(loop.fit)
    before = [{**hooks._global_optimizer_pre_hooks}, {**hooks._global_optimizer_post_hooks}, torch.optim.Optimizer.__init__]
    handle = hooks.register_optimizer_step_post_hook(
        lambda optimizer, *_: moved.append({id(p) for group in optimizer.param_groups for p in group["params"] if p.grad is not None})
    )
    with ganwatch.auto(*loop.names, store=None, sinks=[sink], probes=[*always(), shown], audit_seconds=0.0) as watching:
        watched = seeded(loop.fit)
        text = watching.status()
    handle.remove()
    assert all(map(torch.equal, alone, watched))
    observer = watching.observer
    assert observer.guard.errors == {}
    assert sink.incidents == {}
    assert "No batch that D sees is known to be real" not in text or not loop.sure

    networks = observer.networks
    own = {role: {id(p) for p in network.parameters()} for role, network in networks.items()}
    roles = [[role for role in own if ids & own[role]] for ids in moved]
    count = Counter(role for [role] in (of for of in roles if len(of) == 1))
    assert count == {"g": loop.of_g, "d": loop.of_d}
    assert observer.steps == loop.of_g // loop.generators
    assert [reading.step for reading in sink.steps] == [*range(1, observer.steps + 1)]

    for batch, samples in shown.batches:
        if batch != "unknown":
            assert set(loop.is_real(samples)) == {batch == "real"}
    if loop.sure:
        assert sum({"real", "fake"} <= kinds for kinds in shown.looks) >= len(shown.looks) - 4  # what only the losses tell is believed then
    assert [{**hooks._global_optimizer_pre_hooks}, {**hooks._global_optimizer_post_hooks}, torch.optim.Optimizer.__init__] == before
    assert not any(hasattr(type(network).forward, "__wrapped__") for network in watching.watching.networks())


@pytest.mark.parametrize("kind", [Variational, Nameless])
def test_a_loop_without_matching_networks_is_not_watched_and_reported(kind, tmp_path, caplog):
    loop = kind(tmp_path)
    seeded(loop.fit)
    alone = seeded(loop.fit)
    with ganwatch.auto(store=None) as watching:
        assert all(map(torch.equal, alone, seeded(loop.fit)))
    assert watching.watching is None
    [said] = [record.getMessage() for record in caplog.records if record.name == "ganwatch"]
    assert f"Classes with parameters in an optimizer: {loop.seen}." in said
