"""Labels that belong to batches: given to a network, or delivered by the loader with the samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from ganwatch.capture.attribution.batch_origin import storage_address
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
    """Return the labels of which fakes were requested: those that the generator got for them, if these are known, or those given to D."""
    count = len(call.inputs[0])
    of_d, source = read_labels(call.inputs[1:], count), find_generator_call(step, call)
    of_g = None if source is None else read_labels(source.inputs, count)
    if of_g is None or of_d is None:
        return of_d if of_g is None else of_g
    return torch.where(of_g == UNKNOWN, of_d.to(of_g), of_g)


def find_generator_call(step: StepView, call: Call) -> Call | None:
    """Return the generator's call that made the fakes of a call in G's phase; None if that is not clear."""
    if not call.in_g_phase:
        return None  # they may come from a pool
    earlier = list(takewhile(lambda one: one is not call, step.calls))
    since = takewhile(lambda one: one.network == "g" or one.in_g_phase, reversed(earlier))
    of_g = (one for one in since if one.network == "g" and one.index == call.index and one.inputs)
    calls = [one for one in of_g if len(one.inputs[0]) == len(call.inputs[0])]
    address = storage_address(call.inputs[0])
    made = [one for one in calls if address in map(storage_address, find_tensors(one.output))]
    return made[0] if made else calls[0] if len(calls) == 1 else None
