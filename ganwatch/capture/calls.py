"""Turns forward calls of the two networks into ``Call`` records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ganwatch.capture.options import Options
from ganwatch.capture.recognition import EVERYTHING, Recognition
from ganwatch.capture.step import Arguments, Call, detached, tensors

UNKNOWN = 3
"""Batches of unknown origin that are kept a phase: one of them may turn out to be real."""


def generated(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, *, index: int, whole: bool) -> Call:
    """The record of a generator's call; with its arguments as they were given where the ``whole`` is wanted."""
    made = tensors(output)
    return Call(
        "g",
        tuple(map(_bare, _given(args, kwargs))),
        [_bare(x) for x in made],
        "latent",
        module.training,
        index,
        graded=any(x.requires_grad for x in made),
        arguments=_arguments(args, kwargs) if whole else None,
    )


def judged(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, *, index: int, recognition: Recognition, options: Options
) -> tuple[Tensor | None, list[tuple[Any, Call]]]:
    """The score that a discriminator's call gave, and a record of each kind of batch in it with its place."""
    given = _given(args, kwargs)
    leaf, channel = options.score(output)
    samples = next((x for x in given if x.ndim >= 2 and x.is_floating_point()), None)
    if leaf is None or samples is None:
        return None, []
    attached = any(x.requires_grad for x in given)
    graded, score = any(x.requires_grad for x in [leaf, *tensors(output)]), _bare(leaf)
    if channel is not None:
        score = score[:, channel]
    inputs = tuple(map(_bare, given))
    calls = []
    for batch, part in recognition.parts(_bare(samples)):
        seen, scored = inputs, score
        if part is not EVERYTHING:
            seen = tuple(x[part] if x.ndim else x for x in inputs)
            part = _scores_of(part, len(samples), score)  # noqa: PLW2901  # from here on of the score
            scored = score[part] if score.ndim else score
        place = part if channel is None else (part, channel)
        calls.append((place, Call("d", seen, scored, batch, module.training, index, attached, graded)))
    return leaf, calls


def _scores_of(part: slice, samples: int, score: Tensor) -> slice:
    """Where the scores of some of the samples are; several samples may share one score.

    >>> import torch
    >>> _scores_of(slice(8, 16), 16, torch.zeros(4, 1))
    slice(2, 4, None)
    """
    together = samples // len(score) if score.ndim and 0 < len(score) < samples and samples % len(score) == 0 else 1
    return slice(part.start // together, part.stop // together)


def keep(calls: list[Call], call: Call) -> None:
    """Of calls that differ in nothing but time the last one stays, the last few of unknown ones, so that not many batches are held.

    One that only looks, such as at reals for comparison in G's phase, does not replace one that trains.
    """
    kind = (call.network, call.batch, call.attached)
    alike = [place for place, other in enumerate(calls) if (other.network, other.batch, other.attached) == kind]
    if len(alike) >= (UNKNOWN if call.batch == "unknown" else 1):
        if calls[alike[0]].graded and not call.graded:
            return
        del calls[alike[0]]
    calls.append(call)


def claim(calls: list[Call], index: int) -> None:
    """The discriminator alone has stepped: what it has just been trained on belongs to its own phase, also fakes with their graph."""
    for call in calls:
        if call.network == "d" and call.index == index and call.attached and (call.batch != "unknown" or call.slope is not None):
            call.attached, call.claimed = False, True


def release(calls: list[Call], index: int) -> None:
    """The generator has stepped: where it has no call of its own since then, those that were claimed are its own."""
    of_d = [call for call in calls if call.network == "d" and call.index == index]
    if not any(call.attached and call.graded for call in of_d):
        for call in of_d:
            call.attached, call.claimed = call.attached or call.claimed, False


def _bare(tensor: Tensor) -> Tensor:
    """The tensor without its graph."""
    return tensor.detach() if tensor.requires_grad else tensor


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    return tensors(args) + tensors(kwargs) if kwargs else tensors(args)


def _arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments | None:
    try:
        return detached(args), detached(kwargs)
    except TypeError:
        return None
