"""``ganwatch score``: two sides from any source, one extractor, every measure with its uncertainty."""

import json
import pickle
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from ganwatch.cli import parser
from ganwatch.core.errors import UserError
from ganwatch.evaluation.score import MEASURES
from ganwatch.features.penultimate import Penultimate
from ganwatch.features.random_conv import RandomConv
from ganwatch.trainer.checkpoint import GeneratedBatches
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit

pytestmark = pytest.mark.usefixtures("older_objects_hidden")
DIGITS = (load_digits().images / 8 - 1).astype(np.float32)


@pytest.fixture
def call(tmp_path, capsys):
    """Runs the command on words; with ``--json`` what was printed, as an object, else as text."""

    def run(*words):
        args = parser().parse_args(["score", *map(str, words), "--cache", str(tmp_path / "cache")])
        capsys.readouterr()
        args.parser.check(args)
        assert args.handler(args) == 0
        out = capsys.readouterr().out
        return json.loads(out, parse_constant=pytest.fail) if "--json" in words else out

    return run


@pytest.fixture
def array(tmp_path):
    """Saves an array and gives its path."""

    def save(name, values):
        np.save(tmp_path / f"{name}.npy", values)
        return tmp_path / f"{name}.npy"

    return save


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A conditional generator with averaged weights, after a few steps."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    model = GAN(ema=0.5, channels=4, classes=10)
    fit(model, GANData(scale="unit"), steps=4, seed=0, root=folder, checkpoint_every=4, threads=1)
    return folder / "last.ckpt", model


def test_halves_of_the_same_data_are_as_near_as_two_real_samples(call):
    found = call("digits:1/2", "digits:2/2", "--json", "--samples", 300)
    assert set(found) == {*MEASURES, "provenance"}
    for name in MEASURES:
        one = found[name]
        assert one["low"] <= one["value"] <= one["high"]
        assert one["low"] <= one["null"] <= one["high"], name
        assert (one["n_real"], one["n_fake"]) == (300, 300) or name == "vendi_ratio"
    facts = found["provenance"]
    assert facts["extractor"]["name"] == "random-conv"
    assert facts["extractor"]["weights"] == RandomConv(0).provenance()["weights"]
    assert facts["ranges"] == {"REAL": [-1.0, 1.0], "FAKE": [-1.0, 1.0]}
    assert facts["samples"]["REAL"]["read"] == 300
    assert facts["versions"]["torch"] == torch.__version__


def test_what_is_wrong_with_a_generator_shows_in_its_measures(call, array):
    collapsed = array("collapsed", np.repeat(DIGITS[:8], 60, axis=0))
    found = call("digits", collapsed, "--json", "--samples", 400)
    assert found["frechet"]["low"] > found["frechet"]["null"]
    assert found["kernel"]["low"] > 0
    assert found["precision"]["value"] > 0.8
    for name in ("recall", "coverage", "vendi_ratio"):
        assert found[name]["high"] < 0.7 * found[name]["null"], name
    text = call("digits", collapsed, "--samples", 400)
    assert text.startswith("MEASURE ")
    assert "features: random-conv\nREAL: 400 samples of digits, values from -1 to 1" in text


def test_files_arrays_and_data_sets_meet_in_one_range(call, tmp_path):
    (tmp_path / "images").mkdir()
    for index, image in enumerate(DIGITS[:150]):
        Image.fromarray(np.rint((image + 1) * 127.5).astype(np.uint8)).save(tmp_path / "images" / f"{index:03}.png")
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    np.savez(tmp_path / "unit.npz", images=DIGITS[:150, ..., None] / 2 + 0.5)
    first = call(tmp_path / "images", tmp_path / "unit.npz", "--json")
    assert first["frechet"]["value"] < 1e-3
    assert first["coverage"]["value"] == 1.0
    assert first["provenance"]["ranges"] == {"REAL": [0.0, 255.0], "FAKE": [0.0, 1.0]}
    skipped = first["provenance"]["samples"]["REAL"]
    assert (skipped["read"], skipped["skipped"]) == (150, 1)
    assert skipped["list"][0]["location"].endswith("broken.png")
    text = call(tmp_path / "images", "digits", "--samples", 151)
    assert "REAL: 150 samples of" in text
    assert "1 left out" in text
    assert "broken.png: UnidentifiedImageError" in text


def test_vectors_are_their_own_features(call):
    found = call("ring:1/10", "ring:2/10", "--json", "--seed", 3, "--samples", 300)
    assert found["provenance"]["extractor"]["name"] == "identity"
    assert found["frechet"]["value"] < 0.01
    assert call("ring:1/10", "ring:2/10", "--json", "--seed", 3, "--samples", 300) == found


def test_a_checkpoint_is_drawn_from_its_averaged_weights(call, checkpoint):
    path, model = checkpoint
    found = call("digits:1/9", path, "--json")
    drawn = found["provenance"]["samples"]["FAKE"]
    assert (drawn["read"], drawn["averaged_weights"], drawn["updates"]) == (200, True, 4)
    state = torch.get_rng_state()
    [batch] = GeneratedBatches(path, count=50, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(7)
    assert torch.equal(batch, model.sample(50))
    model.average, averaged = None, model.average
    torch.manual_seed(7)
    assert not torch.equal(batch, model.sample(50))
    model.average = averaged
    both = call(path, path, "--json", "--samples", 60)
    assert both["provenance"]["samples"]["REAL"]["seed"] != both["provenance"]["samples"]["FAKE"]["seed"]


def test_features_may_be_those_of_the_checkpoints_discriminator(call, checkpoint):
    path, model = checkpoint
    found = call("digits:1/9", path, "--json", "--features", "discriminator")["provenance"]
    assert found["extractor"]["weights"] == Penultimate(model.discriminator).provenance()["weights"]
    assert found["extractor"]["preprocessing"]["output_range"] == [0.0, 1.0]  # what it was trained on
    seen = model.discriminator.features(torch.from_numpy(DIGITS[:5, None]) / 2 + 0.5)
    made = GeneratedBatches(path, count=1).discriminator_features((-1.0, 1.0))(torch.from_numpy(DIGITS[:5, None]))
    torch.testing.assert_close(made, seen.detach())


def test_ranges_are_known_given_or_shared(call, array):
    unit, wide = array("unit", DIGITS / 2 + 0.5), array("wide", 3 * DIGITS)
    pixels = array("pixels", np.rint((DIGITS + 1) * 127.5).astype(np.uint8))
    score = lambda *words: call(*words, "--json", "--samples", 100)
    shared = score("digits", unit)
    assert shared["provenance"]["ranges"]["FAKE"] == [-1.0, 1.0]
    assert shared["kernel"]["low"] > 0
    assert score(wide, unit)["provenance"]["ranges"]["FAKE"] == score(wide, unit)["provenance"]["ranges"]["REAL"]
    assert score(pixels, unit)["frechet"]["value"] < 1e-3
    assert score(pixels, wide, "--range", -3, 3)["frechet"]["value"] < 1e-3
    with pytest.raises(UserError, match=r"values of FAKE must have a range that is known, got -3 to 3; give it with --range"):
        score(pixels, wide)
    with pytest.raises(UserError, match=r"values of FAKE must lie in 0 to 1, got -3 to .*; give the range with --range"):
        score(pixels, wide, "--range", 0, 1)


def test_a_stopped_extraction_goes_on(call, monkeypatch):
    first = call("digits:1/2", "digits:2/2", "--json", "--samples", 300)
    monkeypatch.setattr(RandomConv, "__call__", lambda *_: pytest.fail("computed again"))
    assert call("digits:1/2", "digits:2/2", "--json", "--samples", 300) == first


def test_one_sample_gives_unknown_values_and_no_crash(call, array):
    found = call(array("one", DIGITS[:1]), "digits", "--json")
    assert all(found[name]["value"] is None for name in MEASURES if name != "vendi_ratio")
    assert "unknown" in call(array("one", DIGITS[:1]), "digits")


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        ("digits", "ring", r"both sides must hold images, or both vectors, got images \(1, 8, 8\) in REAL and vectors \(2,\) in FAKE"),
        ("ring", "three", r"same length on both sides, got vectors \(2,\) in REAL and vectors \(3,\) in FAKE"),
        ("digits", "/nowhere", "FAKE must be an existing path"),
        ("digits", "/nowhere.ckpt", "FAKE must be a checkpoint of ganwatch train, got '/nowhere.ckpt', which is not there"),
    ],
)
def test_sides_that_do_not_fit_are_refused(call, array, real, fake, message):
    fake = array("three", np.zeros((20, 3))) if fake == "three" else fake
    with pytest.raises(UserError, match=message):
        call(real, fake)


def test_pixels_of_different_sizes_need_a_size(call, array):
    small, large = array("small", np.zeros((20, 8, 8), np.uint8)), array("large", np.zeros((20, 9, 9), np.uint8))
    with pytest.raises(UserError, match="same number of values on both sides for features 'identity', got 64 in REAL and 81 in FAKE"):
        call(small, large, "--features", "identity")
    assert call(small, large, "--features", "identity", "--size", 8, "--json")["frechet"]["value"] < 1e-9


def test_a_checkpoint_is_never_unpickled(call, tmp_path):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("run",))

    with (tmp_path / "evil.ckpt").open("wb") as file:
        pickle.dump({"hyper_parameters": Evil()}, file)
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    for name in ("evil.ckpt", "other.pt"):
        with pytest.raises(UserError, match=r"FAKE must be a checkpoint of ganwatch train, got .*; of another generator, give samples"):
            call("digits", tmp_path / name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", 0], "--samples must be >= 1, got 0"),
        (["--seed", -1], "--seed must be >= 0, got -1"),
        (["--range", 1, 0], "--range must be LOW HIGH with LOW < HIGH, got 1 0"),
        (["--features", "nosuch"], "features must be identity, pretrained, random-conv"),
        (["--size", 0], "size must be >= 1"),
        (["--features", "discriminator"], "--features discriminator needs a checkpoint of ganwatch train as REAL or FAKE"),
    ],
)
def test_arguments_out_of_range_are_refused(call, words, message):
    with pytest.raises(UserError, match=message):
        call("digits", "digits", *words)


FAR = 1e8 + np.random.default_rng(0).normal(size=(200, 3))


@pytest.mark.parametrize(
    ("real", "message"),
    [
        (FAR, r"REAL must stay distinct in float32, got column 0 about 1e\+08 with a standard deviation of"),
        (FAR + 0j, "REAL must hold real numbers, got dtype complex128"),
        (FAR.astype(str), "REAL must hold real numbers, got dtype <U"),
    ],
)
def test_data_that_would_be_measured_wrongly_are_refused(call, array, real, message):
    with pytest.raises(UserError, match=f"^{message}"):
        call(array("real", real), array("fake", FAR - 1e8))


@pytest.mark.parametrize(
    ("real", "fake", "note"),
    [
        (DIGITS[:1], DIGITS, "The value of frechet, .*, vendi_ratio is unknown: REAL has too few samples, 1."),
        (DIGITS[:4], DIGITS, "Real against real is unknown for frechet: it takes 128 samples"),
        (DIGITS[:90], DIGITS[10:90], "REAL and FAKE share 80 of 80 samples; intervals and real against real hold for independent samples"),
        (np.full((90, 3), 0.1), np.full((60, 3), 0.1), "All samples of FAKE have the same features."),
    ],
)
def test_a_note_explains_a_missing_value(call, array, real, fake, note):
    words = array("real", real), array("fake", fake), "--features", "identity"
    notes = call(*words, "--json")["provenance"]["notes"]
    assert any(re.match(note, one) for one in notes), notes
    assert call(*words).endswith("\n".join(["", *notes, ""]))


def test_copies_are_no_reason_for_odd_numbers(call, array):
    constant, kinds = np.full((90, 3), 0.1), np.random.default_rng(0).integers(2, size=(2, 400, 3))
    for real, fake in ((constant, constant[:60]), kinds):
        found = call(array("real", real), array("fake", fake), "--json")
        for name in MEASURES[2:6]:
            assert found[name]["value"] == pytest.approx(found[name]["null"], abs=0.05), name
        assert found["kernel"]["low"] <= 0 <= found["kernel"]["high"]


def test_a_program_without_a_hash_needs_trust(call, array, tmp_path):
    draw = np.random.default_rng(0).integers
    images = [array(name, draw(0, 256, (12, 3, 8, 8), dtype=np.uint8)) for name in "ab"]
    network, shapes = nn.Sequential(nn.AvgPool2d(4), nn.Flatten()), ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=shapes), str(tmp_path / "network.pt2"))
    with pytest.raises(UserError, match="--trust"):
        call(*images, "--features", tmp_path / "network.pt2")
    assert "network.pt2" in call(*images, "--features", tmp_path / "network.pt2", "--trust")
    with pytest.raises(UserError, match=r"--trust must go with --features FILE\.pt2"):
        call(*images, "--features", "random-conv", "--trust")
