"""What a discriminator sees before it judges: features that fit the data and cost nothing extra to learn."""

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
    """The input of the last linear or convolutional layer that a network calls, averaged over places (and tokens).

    The network is called as it is now, in evaluation mode on cloned buffers and with every random state put back, and keeps nothing of
    it. Of a network with several heads, the one that is called last counts.

    Parameters
    ----------
    network : nn.Module
        Such as the discriminator.
    arguments : callable
        From samples to what the network is called with; a conditional one is given labels here.
    preprocessing : Preprocessing
        Of images, to the range in which the network was trained; vectors are given as they are.

    Raises
    ------
    UserError
        When it is called: the network cannot be called so, or calls no such layer.

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
        """Features ``(N, D)``."""
        first = samples if isinstance(samples, Tensor) else samples[0][None]
        prepared = self.preprocessing(samples) if first.ndim == 4 else torch.as_tensor(samples).to(torch.float32)  # N, C, H, W
        last: list[tuple[nn.Module, Tensor]] = []

        def note(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            last[:] = [(layer, value) for value in (*args, *kwargs.values()) if isinstance(value, Tensor)][:1]

        layers = [part for part in self.network.modules() if isinstance(part, nn.Linear | _ConvNd)]
        hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
        kind = type(self.network).__name__
        try:
            self._undisturbed(*self.arguments(prepared))
        except Exception as error:
            said = f"{kind}, which says: {error}"
            raise UserError(f"network must take samples of shape {tuple(prepared.shape)}, or arguments= say what, got {said}") from error
        finally:
            for hook in hooks:
                hook.remove()
        if not last:
            raise UserError(f"network must call a linear or convolutional layer, got {kind} with {len(layers)} of them and no call")
        return as_features(_averaged(*last[0]), len(prepared), kind)

    def provenance(self) -> dict[str, Any]:
        """Name, class, hash of weights and buffers as they are now, and preprocessing."""
        return {
            "name": self.name,
            "network": type(self.network).__name__,
            "weights": module_hash(self.network),
            "preprocessing": self.preprocessing.as_dict(),
            "torch": torch.__version__,
        }


def _averaged(layer: nn.Module, inputs: Tensor) -> Tensor:
    """(N, D) of what a linear layer, (N, tokens, D), or a convolution, (N, C, places), is given."""
    places = tuple(range(1, inputs.ndim - 1)) if isinstance(layer, nn.Linear) else tuple(range(2, inputs.ndim))
    return inputs.mean(places) if places else inputs
