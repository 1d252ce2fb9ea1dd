"""Features of a discriminator's last hidden layer: they fit the data and cost no extra training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, as_features, module_hash
from ganwatch.features.preprocessing import Preprocessing
from ganwatch.isolation.isolated_call import IsolatedCall

_WRAPPED = (nn.DataParallel, nn.parallel.DistributedDataParallel)
PREPROCESSING = Preprocessing()


class Penultimate:
    """Extractor of the input of the last linear or convolutional layer that a network calls, averaged over positions (and tokens).

    The network is called with its present weights, in evaluation mode on cloned buffers, and every random state is restored, so the call
    leaves no trace. If the network has several heads, the one that is called last counts.

    Parameters
    ----------
    network : nn.Module
        For example the discriminator.
    arguments : callable
        Takes samples and returns the arguments of the network; a conditional one gets its labels here.
    preprocessing : Preprocessing
        Preprocessing of images, to the range in which the network was trained; vectors are not changed.

    Raises
    ------
    UserError
        At the call: the network does not take these arguments, or calls no such layer.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 1))
    >>> tuple(Penultimate(network)(torch.zeros(5, 1, 8, 8)).shape)
    (5, 16)
    """

    name = "discriminator"
    dim: int | None = None

    def __init__(
        self,
        network: nn.Module,
        *,
        arguments: Callable[[Tensor], tuple[Any, ...]] = lambda samples: (samples,),
        preprocessing: Preprocessing = PREPROCESSING,
    ) -> None:
        while isinstance(inner := getattr(network, "module" if isinstance(network, _WRAPPED) else "_orig_mod", None), nn.Module):
            network = inner
        self.network, self.arguments, self.preprocessing = network, arguments, preprocessing
        self._undisturbed = IsolatedCall(network)

    def __call__(self, samples: Batch) -> Tensor:
        """Return features ``(N, D)``."""
        first = samples if isinstance(samples, Tensor) else samples[0][None]
        prepared = self.preprocessing(samples) if first.ndim == 4 else torch.as_tensor(samples).to(torch.float32)  # N, C, H, W
        last: list[tuple[nn.Module, Tensor]] = []

        def remember_input(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            last[:] = [(layer, value) for value in (*args, *kwargs.values()) if isinstance(value, Tensor)][:1]

        layers = [part for part in self.network.modules() if isinstance(part, nn.Linear | _ConvNd)]
        hooks = [layer.register_forward_pre_hook(remember_input, with_kwargs=True) for layer in layers]
        class_name = type(self.network).__name__
        try:
            self._undisturbed(*self.arguments(prepared))
        except Exception as error:
            got = f"{class_name}, which raises: {error}"
            raise UserError(f"network must take samples of shape {tuple(prepared.shape)}, or what arguments= returns, got {got}") from error
        finally:
            for hook in hooks:
                hook.remove()
        if not last:
            raise UserError(f"network must call a linear or convolutional layer, got {class_name} with {len(layers)} of them and no call")
        return as_features(_average_positions(*last[0]), len(prepared), class_name)

    def provenance(self) -> dict[str, Any]:
        """Return the name, class, hash of the present weights and buffers, and preprocessing."""
        return {
            "name": self.name,
            "network": type(self.network).__name__,
            "weights": module_hash(self.network),
            "preprocessing": self.preprocessing.as_dict(),
            "torch": torch.__version__,
        }


def _average_positions(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Average the input of a linear layer, (N, tokens, D), or of a convolution, (N, C, positions), to (N, D)."""
    positions = tuple(range(1, inputs.ndim - 1)) if isinstance(layer, nn.Linear) else tuple(range(2, inputs.ndim))
    return inputs.mean(positions) if positions else inputs
