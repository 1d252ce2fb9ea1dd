"""Updates, exact resume and the command."""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import warnings

import lightning
import numpy as np
import pytest
import torch
import yaml

from ganwatch.cli import main
from ganwatch.commands import train
from ganwatch.core.errors import UserError
from ganwatch.trainer.data import GANData
from ganwatch.trainer.losses import LOSSES
from ganwatch.trainer.module import GAN
from ganwatch.trainer.resume import AtomicCheckpointIO, random_state, restore_random_state
from ganwatch.trainer.run import fit

OPTIONS = {
    "batch": {"d_norm": "batch"},
    "spectral": {"d_norm": "spectral"},
    "dropout": {"dropout": 0.3},
    "ema": {"ema": 0.9},
    "labels": {"classes": 10, "r1_weight": 1.0},
}


VECTOR = {"shape": (2,), "width": 8}


def build(seed=0, **options):
    lightning.seed_everything(seed, verbose=False)
    return GAN(**{"channels": 4, "latent_dim": 8} | options)


def moved(before, after):
    return [name for name in before if not torch.equal(before[name], after[name])]


def layer(name):
    return name.partition(".parametrizations")[0].removesuffix(".weight").removesuffix(".bias")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("option", OPTIONS)
def test_every_loss_trains_with_every_option(loss, option):
    gan = build(loss=loss, **OPTIONS[option])
    before = {name: tensor.clone() for name, tensor in gan.named_parameters()}
    fit(gan, GANData(batch_size=16), steps=2, seed=0)
    after = dict(gan.named_parameters())
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    assert {layer(name) for name in before} == {layer(name) for name in moved(before, after)}
    assert (gan.g_updates, gan.d_updates) == (2, 2)


@pytest.mark.parametrize(("ratio", "expected"), [({"d_steps": 3}, (12, 4, 12)), ({"g_steps": 2}, (2, 4, 2)), ({}, (4, 4, 4))])
def test_update_ratio(ratio, expected):
    gan = build(shape=(2,), width=4, **ratio)
    trainer = fit(gan, GANData("ring", samples=64, batch_size=8), steps=4)
    assert (gan.batches, gan.g_updates, gan.d_updates) == expected
    assert trainer.global_step == gan.optimizer_steps(4) == gan.g_updates + gan.d_updates


def test_each_network_is_updated_alone():
    gan = build(shape=(2,), width=4, g_lr=0.0)
    before = {name: tensor.clone() for name, tensor in gan.state_dict().items()}
    fit(gan, GANData("ring", samples=64, batch_size=8), steps=1)
    names = [name for name in moved(before, gan.state_dict()) if "running" not in name and "num_batches" not in name]
    assert names
    assert all(name.startswith("discriminator") for name in names)
    assert all(parameter.requires_grad for parameter in gan.parameters())


def test_the_generators_update_leaves_no_gradient_in_the_discriminator(monkeypatch):
    gan = build(**VECTOR)
    monkeypatch.setattr(gan, "_update_d", lambda *_: torch.zeros(()))
    fit(gan, GANData("ring", samples=64), steps=1)
    assert all(parameter.grad is not None for parameter in gan.generator.parameters())
    assert all(parameter.grad is None for parameter in gan.discriminator.parameters())


class Follow(lightning.Callback):
    def __init__(self):
        self.generator, self.average = [], []

    def on_train_batch_end(self, trainer, module, *_):
        for seen, network in ((self.generator, module.generator), (self.average, module.average.module)):
            seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})


def test_average_follows_the_generator_and_samples_come_from_it():
    gan, follow = build(ema=0.5), Follow()
    fit(gan, GANData(batch_size=16), steps=2, callbacks=[follow])
    assert moved(follow.generator[0], follow.average[0]) == []
    name, buffer = "body.0.weight", "body.2.running_mean"
    assert moved({name: follow.generator[0][name]}, follow.generator[1]) == [name]
    torch.testing.assert_close(follow.average[1][name], torch.lerp(follow.generator[0][name], follow.generator[1][name], 0.5))
    assert moved({buffer: follow.average[1][buffer]}, follow.generator[1]) == []
    with torch.no_grad():
        gan.generator.body[0].weight.fill_(torch.nan)
    assert gan.sample(2).isfinite().all()


def test_textbook_minimax_breaks_by_itself():
    gan = build(loss="minimax", stable=False, d_lr=10.0, g_lr=10.0)
    fit(gan, GANData(batch_size=16), steps=30)
    assert not all(torch.isfinite(parameter).all() for parameter in gan.parameters())


def draw():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), random.gauss(0.0, 1.0)  # noqa: NPY002  # the global state


def test_random_state_round_trip(tmp_path):
    torch.save(random_state(), tmp_path / "state.pt")
    drawn = draw()
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draw() == drawn


VARIANTS = {
    "dropout, ema, batch norm": (VECTOR | {"dropout": 0.3, "ema": 0.9, "d_norm": "batch"}, [10, 13, 14, 15]),
    "gradient penalty": (VECTOR | {"loss": "wgan-gp", "d_steps": 3, "ema": 0.9}, [7, 10]),
    "two updates of G": (VECTOR | {"g_steps": 2, "loss": "relativistic", "dropout": 0.3}, [10, 14]),
    "convolutions, spectral norm, lazy penalty, labels": ({"d_norm": "spectral", "r1_weight": 0.1, "r1_every": 4, "classes": 10}, [12]),
}


@pytest.mark.parametrize(("options", "stops"), VARIANTS.values(), ids=VARIANTS)
def test_resumed_run_equals_the_uninterrupted_one(options, stops, tmp_path):
    def train_to(steps, seed, **how):
        gan = build(seed, **options)
        data = GANData("ring", samples=58, batch_size=8) if "shape" in options else GANData(batch_size=32)
        trainer = fit(gan, data, steps=steps, seed=seed, **how)
        return gan, [optimizer.state_dict() for optimizer in trainer.optimizers], torch.get_rng_state()

    gan, optimizers, state = train_to(24, 5)
    for stop in stops:  # within and at the end of an epoch of 7 batches
        train_to(stop, 5, root=tmp_path / str(stop), checkpoint_every=100)
        resumed, theirs, its_state = train_to(24, 99, root=tmp_path / str(stop), resume=True)
        assert moved(gan.state_dict(), resumed.state_dict()) == []
        for ours, other in zip(optimizers, theirs, strict=True):
            assert all(moved(values, other["state"][index]) == [] for index, values in ours["state"].items())
        assert its_state.equal(state)
        assert (gan.batches, gan.d_updates, gan.g_updates) == (resumed.batches, resumed.d_updates, resumed.g_updates)


def test_killed_process_goes_on_to_the_same_weights(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        import lightning
        from ganwatch.trainer.data import GANData
        from ganwatch.trainer.module import GAN
        from ganwatch.trainer.run import fit

        class Kill(lightning.Callback):
            def on_train_batch_end(self, trainer, module, *_):
                if module.g_updates == 8:
                    os.kill(os.getpid(), signal.SIGKILL)

        lightning.seed_everything(1, verbose=False)
        gan = GAN((2,), width=8, dropout=0.2, ema=0.9)
        fit(gan, GANData("ring"), steps=12, seed=1, root=Path(sys.argv[1]), checkpoint_every=5, callbacks=[Kill()])
        """)
    )

    def train_to_12(seed, **how):
        gan = build(seed, shape=(2,), width=8, latent_dim=32, dropout=0.2, ema=0.9)
        fit(gan, GANData("ring"), steps=12, seed=seed, **how)
        return gan.state_dict()

    killed = subprocess.run([sys.executable, script, tmp_path], check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["updates"]["g"] == 5
    assert moved(train_to_12(1), train_to_12(2, root=tmp_path, resume=True)) == []


def test_failed_write_leaves_the_former_checkpoint(tmp_path):
    target = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, target)
    with pytest.raises((AttributeError, TypeError)):
        AtomicCheckpointIO().save_checkpoint({"step": 2, "unwritable": (x for x in ())}, target)
    assert torch.load(target, weights_only=True) == {"step": 1}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"steps": 0}, "steps must be >= 1"),
        ({"steps": 1, "checkpoint_every": 5}, "checkpoint_every needs root"),
        ({"steps": 1, "resume": True}, "resume=True needs root"),
        ({"steps": 1, "resume": "nowhere.ckpt"}, "nowhere.ckpt, which is not there"),
    ],
)
def test_fit_refuses(how, message):
    with pytest.raises(UserError, match=message):
        fit(build(), GANData(), **how)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ({"shape": (2,)}, {}, r"shape must equal that of the data's samples, \(1, 8, 8\), got \(2,\)"),
        ({}, {"source": "digits", "batch_size": 1798}, "batch_size must be <="),
    ],
)
def test_model_and_data_must_fit(model, data, message):
    with pytest.raises(UserError, match=message):
        fit(build(**model), GANData(**data), steps=1)


def command(*arguments):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser.add_subparsers().add_parser("train"))
    return train.run(parser.parse_args(["train", *arguments]))


def test_command_trains_stores_its_configuration_and_resumes(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    run = tmp_path / "run"
    config.write_text(yaml.safe_dump({"steps": 3, "root": str(run), "model": {"shape": [2], "loss": "hinge"}, "data": {"source": "ring"}}))
    assert command("--config", str(config), "--model.width", "8") == 0
    out = capsys.readouterr().out
    assert re.search(r"^Run [0-9a-f]{12}: 3 steps, no incident was found, but not everything was judged\.$", out, re.MULTILINE)
    assert "dashboard" in out
    effective = yaml.safe_load((run / "config.yaml").read_text())
    assert (effective["model"]["width"], effective["model"]["loss"], effective["seed_everything"]) == (8, "hinge", 0)
    with pytest.raises(UserError, match=r"root must be a folder without last.ckpt, or add --resume"):
        command("--config", str(config))
    assert command("--resume", "--config", str(run / "config.yaml"), "--steps", "5") == 0
    assert torch.load(run / "last.ckpt", weights_only=True)["updates"]["g"] == 5
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "last.ckpt"]
    captured = capsys.readouterr()
    assert "5 steps, no incident was found" in captured.out
    assert captured.err.splitlines()[0] == "resumed at step 3"
    assert captured.err.splitlines()[-1].startswith("step 5/5")
    assert command("--resume", "--config", str(run / "config.yaml"), "--steps", "5") == 0
    assert "5 steps are done" in capsys.readouterr().out


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_command_without_arguments_says_how_to_start(folder, capsys):
    assert main(["train"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ganwatch train: a configuration must be given, got no argument.")
    assert "ganwatch train --config examples/configs/digits.yaml" in said
    assert "ganwatch train --help lists the keys" in said
    assert list(folder.iterdir()) == []
    with pytest.raises(SystemExit) as raised:
        main(["train", "--help"])
    assert raised.value.code == 0
    assert "--model.loss" in capsys.readouterr().out


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "--config must be a YAML file of keys and values, got 'mine.yaml': No such file or directory"),
        ("", "--config must be a YAML file of keys and values, got nothing in mine.yaml"),
        ("[1, 2]", "--config must be a YAML file of keys and values, got a list in mine.yaml"),
        ("1: 2", "--config must be a YAML file of keys and values, got the key 1, which is no text, in mine.yaml"),
        ("steps: [", "--config must be a YAML file of keys and values, got 'mine.yaml': did not find expected node content in line 2"),
        ("a: 2001-99-99", "--config must be a YAML file of keys and values, got 'mine.yaml': month must be in 1..12"),
        (b"\xff", "--config must be a YAML file of keys and values in UTF-8, got 'mine.yaml': invalid start byte"),
        ("#" * (2**20 + 1), "--config must be a file of at most 1,048,576 bytes, got 1,048,577: 'mine.yaml'"),
        ("a: " + "[" * 5000, "values must lie at most 20 deep within each other, got more in mine.yaml"),
        (BOMB, "a configuration must have at most 10,000 names and values, got more in mine.yaml"),
        ("a: &a {b: *a}", "a value must not hold itself, got *a within &a in mine.yaml"),
        ("steps: " + "9" * 5000, "a name or value must have at most 2,000 characters, got 5,000 in mine.yaml"),
        ("steps: " + "9" * 400, f"steps must be in 1…2147483647 (updates of the generator), got {'9' * 60}… in mine.yaml"),
        ("config: mine.yaml", "Config file loop detected: mine.yaml -> mine.yaml"),
        ("stepz: 3", "keys must be those of ganwatch train --help, got stepz in mine.yaml; did you mean steps?"),
        ("model: {bogus: 1}", "keys must be those of ganwatch train --help, got model.bogus in mine.yaml; did you mean model.loss?"),
        ("model: 3", "model must hold keys and values, got 3 in mine.yaml"),
        ("steps: many", "steps must be a whole number, got many in mine.yaml"),
        ("steps: null", "steps must have a value, got null in mine.yaml"),
        ("name: [1]", "name must be a text or null, got [1] in mine.yaml"),
        ("model: {output: l7}", "model.output must be one of 'tanh', 'identity' or null, got l7 in mine.yaml"),
        ("model: {width: -3}", "model.width must be >= 1, got -3 in mine.yaml"),
        ("model: {channels: 65537}", "model.channels must be <= 65,536, got 65537 in mine.yaml"),
        ("model: {g_lr: .inf}", "model.g_lr must be finite, got inf in mine.yaml"),
        ("data: {samples: 0}", "data.samples must be >= 1, got 0 in mine.yaml"),
        ("checkpoint_every: 0", "checkpoint_every must be >= 1 (updates of the generator), got 0 in mine.yaml"),
        ("prometheus_port: 70000", "prometheus_port must be in 0…65535, got 70000 in mine.yaml"),
        ("store: ''", "store must be a folder, an SQLite file or a SQLAlchemy URL, got an empty text in mine.yaml"),
        ("root: mine.yaml/x",
         "root must be a folder that exists or can be made, got 'mine.yaml/x': '{folder}/mine.yaml' is no folder in mine.yaml"),
        ("trainer: {callbacks: [{class_path: nets.None}]}",
         "trainer.callbacks must name classes that can be imported, got nets.None in mine.yaml: No module named 'nets'"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_one_line(folder, capsys, text, said):
    if text is not None:
        (folder / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["train", "--config", "mine.yaml"]) == 2
    assert capsys.readouterr().err == f"ganwatch train: {said.replace('{folder}', str(folder))}\n"
    assert [path.name for path in folder.iterdir()] == ["mine.yaml"] * (text is not None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stepz", "3"], "options must be those of ganwatch train --help, got --stepz; did you mean --steps?"),
        (["--steps", "many"], "steps must be a whole number, got many"),
        (["--steps"], "--steps must have a value, got none"),
        (["--steps", "0"], "steps must be >= 1 (updates of the generator), got 0"),
        (["--model.width", "-3"], "model.width must be >= 1, got -3"),
        (["--model.shape=" + "[" * 999], "values must lie at most 20 deep within each other, got more on the command line"),
        (["--config", "/dev/zero"], "--config must be a regular file, got a device: '/dev/zero'"),
        (["--conf=none.yaml"], "--config must be a YAML file of keys and values, got 'none.yaml': No such file or directory"),
        (["--name", "a\0b"], r"arguments must be UTF-8 text without a NUL character, got 'a\x00b'"),
    ],
)
def test_a_wrong_option_is_one_line(folder, capsys, words, said):
    assert main(["train", *words]) == 2
    assert capsys.readouterr().err == f"ganwatch train: {said}\n"
    assert list(folder.iterdir()) == []


def test_aliases_are_allowed(folder):
    (folder / "mine.yaml").write_text("steps: &n 2\nroot: run\nmodel: {shape: [2], width: *n}\ndata: {source: ring}\n")
    assert main(["train", "--config", "mine.yaml"]) == 0


def test_command_names_a_seed_that_is_none():
    with pytest.raises(UserError, match=r"seed_everything must be in \[0, 2\*\*32\), got -5"):
        command("--seed_everything", "-5")


def test_a_trained_model_is_not_trained_again_from_its_first_step():
    gan = build(**VECTOR)
    fit(gan, GANData("ring", samples=64), steps=1)
    with pytest.raises(UserError, match=r"model must be untrained.*got one with 1 updates"):
        fit(gan, GANData("ring", samples=64), steps=2)


def test_training_is_silent(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(build(), GANData(), steps=1)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
