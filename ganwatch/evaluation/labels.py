"""Labels that belong to batches: given to a network, or delivered by the loader with the samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from ganwatch.capture.step import Call, StepView, find_tensors

UNKNOWN = -1
"""Label of samples whose inputs hold no label after all."""
MAX_KINDS = 1000
"""Most columns of one-hot labels."""


def find_labels(inputs: Sequence[Tensor], count: int) -> Tensor | None:
    """Return the integers, one a sample, among the tensors of a call; None unless exactly one tensor qualifies."""
    found = [x for x in inputs if x.shape in {(count,), (count, 1)} and not x.is_floating_point() and x.dtype != torch.bool]
    return found[0].reshape(-1) if len(found) == 1 else None


def find_call_labels(call: Call) -> Tensor | None:
    """Return a copy of the labels that a discriminator got with a batch, or None without any."""
    labels = find_labels([x for x in call.inputs[1:] if isinstance(x, Tensor)], len(call.inputs[0]))
    return None if labels is None else labels.clone()


def read_labels(inputs: Sequence[Tensor], count: int) -> Tensor | None:
    """Return the labels among the tensors of a call, integers or one-hot: shape (N,), int64. None if no tensor has the shape of some.

    Nothing waits for the device, so tensors that are not one-hot after all give ``UNKNOWN``.

    >>> read_labels([torch.zeros(2, 3), torch.eye(2)], 2), read_labels([torch.tensor([3, 4])], 2), read_labels([torch.zeros(2, 3)], 2)
    (tensor([0, 1]), tensor([3, 4]), tensor([-1, -1]))
    """
    labels = find_labels(inputs, count)
    if labels is not None:
        return labels.long()
    wide = [x.detach() for x in inputs if x.ndim == 2 and len(x) == count and 1 < x.shape[1] <= MAX_KINDS and x.dtype != torch.bool]
    each = [x.argmax(1).where(((x == 1).sum(1) == 1).all() & ((x == 0).sum() == x.numel() - count), UNKNOWN) for x in wide]
    return torch.stack(each).amax(0) if each else None


def read_real_labels(step: StepView, call: Call) -> Tensor | None:
    """Return the labels of reals that the discriminator received: those given to it, or those that the loader delivered with the batch."""
    count = len(call.inputs[0])
    labels = read_labels(call.inputs[1:], count)
    return labels if labels is not None else read_labels(find_tensors(step.loaded), count)


def read_requested_labels(step: StepView, call: Call) -> Tensor | None:
    """Return the labels of which fakes were requested: those that the generator got in the same phase, or those given to D."""
    count = len(call.inputs[0])
    if call.in_g_phase:
        earlier = takewhile(lambda one: one is not call, step.calls)
        of_g = next((one for one in reversed(list(earlier)) if one.network == "g" and one.index == call.index), None)
        if of_g is not None and of_g.inputs and len(of_g.inputs[0]) == count:
            labels = read_labels(of_g.inputs, count)
            if labels is not None:
                return labels
    return read_labels(call.inputs[1:], count)
