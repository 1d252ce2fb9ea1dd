"""Calls a generator beside the training, on inputs that the training itself gave it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.step import Arguments, Call, tensors
from ganwatch.evaluation.discriminator_scorer import DiscriminatorScorer
from ganwatch.evaluation.heldout import Heldout
from ganwatch.evaluation.tensor_state import packed, unpacked
from ganwatch.isolation.isolated_call import IsolatedCall


class GeneratorSampler:
    """A generator in evaluation mode on cloned buffers: the training does not notice.

    Parameters
    ----------
    generator : nn.Module
    sample : callable, optional
        Makes a sample of what it returns.

    Attributes
    ----------
    allowed : bool
        Whether it may be called beside the training; a call of a network that waits for other processes may not.

    Examples
    --------
    >>> GeneratorSampler(nn.Linear(2, 3), torch.tanh)(([torch.zeros(4, 2)], {})).shape
    torch.Size([4, 3])
    """

    def __init__(self, generator: nn.Module, sample: Callable[[Any], Any] | None = None) -> None:
        self.generator = generator
        self.allowed = True
        self.parts = [part for part in (generator, sample) if isinstance(part, nn.Module)]
        """The networks that a call runs."""
        self._call = IsolatedCall(generator)
        self._sample = None if sample is None else IsolatedCall(sample)

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return next(self.generator.parameters()).device

    @property
    def dtype(self) -> torch.dtype | None:
        """That of the generator's first floating parameter, which inputs from under autocast need not have; None without one."""
        return next((parameter.dtype for parameter in self.generator.parameters() if parameter.is_floating_point()), None)

    def __call__(self, arguments: Arguments) -> Any:
        """What the generator makes of arguments."""
        args, kwargs = moved(arguments, self.device, self.dtype)
        made = self._call(*args, **kwargs)
        return made if self._sample is None else self._sample(made)


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """What probes may use beside the training: the networks, undisturbed, and reals that it never sees."""

    sampler: GeneratorSampler
    scorer: DiscriminatorScorer
    heldout: Heldout | None = None


class FixedInputs:
    """The first inputs that a generator was given, cloned, until they are enough for so many samples.

    Parameters
    ----------
    count : int, samples
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.batches: list[Arguments] = []
        self._sizes: list[int] = []

    @property
    def full(self) -> bool:
        """Whether there are enough."""
        return sum(self._sizes) >= self.count

    def take(self, call: Call) -> None:
        """Take a call's inputs, if they are still wanted and known as they were given."""
        if not self.full and call.arguments is not None and call.inputs and call.inputs[0].ndim:
            args, kwargs = first(call.arguments, len(call.inputs[0]), len(call.inputs[0]))
            self.batches.append((args, kwargs))
            self._sizes.append(len(call.inputs[0]))

    def labels(self) -> Tensor | None:
        """What was asked for, where the inputs have one integer for each sample: shape (count,), int64."""
        found = [labels_in(tensors(batch), size) for batch, size in zip(self.batches, self._sizes, strict=True)]
        known = [labels for labels in found if labels is not None]
        return torch.cat(known)[: self.count].long() if known and len(known) == len(found) else None

    def state_dict(self) -> dict[str, Any]:
        """Plain types only."""
        return {"batches": packed(self.batches), "sizes": list(self._sizes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the same inputs."""
        self.batches, self._sizes = [(args, kwargs) for args, kwargs in unpacked(state["batches"])], list(state["sizes"])

    def draw(self, sampler: GeneratorSampler) -> Tensor:
        """Samples for all of them: shape (count, …)."""
        made = [next(iter(tensors(sampler(batch)))) for batch in self.batches]
        return torch.cat(made)[: self.count]


def labels_in(given: list[Tensor], count: int) -> Tensor | None:
    """Of a call's tensors, the integers that are one a sample."""
    found = [x for x in given if x.shape in {(count,), (count, 1)} and not x.is_floating_point() and x.dtype != torch.bool]
    return found[0].reshape(-1) if len(found) == 1 else None


def first(nest: Any, count: int, kept: int) -> Any:
    """Copies of the tensors in a nest, those of ``count`` samples cut to the first ``kept``."""
    if isinstance(nest, Tensor):
        return nest[:kept].clone() if nest.ndim and len(nest) == count else nest.clone()
    if isinstance(nest, dict):
        return {key: first(item, count, kept) for key, item in nest.items()}
    return [first(item, count, kept) for item in nest] if isinstance(nest, list | tuple) else nest


def moved(nest: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """The same nest with its tensors on a device, floating ones of a type."""
    if isinstance(nest, Tensor):
        return nest.to(device, dtype if nest.is_floating_point() else None)
    if isinstance(nest, dict):
        return {key: moved(item, device, dtype) for key, item in nest.items()}
    return [moved(item, device, dtype) for item in nest] if isinstance(nest, list | tuple) else nest
