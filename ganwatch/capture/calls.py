"""Turns forward calls of the two networks into ``Call`` records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ganwatch.capture.attribution.batch_origin import EVERYTHING, BatchOrigin, Part, place
from ganwatch.capture.options import Options
from ganwatch.capture.step import Arguments, Call, detached, score_leaf, tensors

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


Judged = tuple[Tensor, list[tuple[Any, Call]]]
"""A score and, for each kind of batch in it, its place and its record."""


def judged(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Any,
    *,
    index: int,
    batch_origin: BatchOrigin,
    options: Options,
) -> list[Judged]:
    """What a discriminator's call says: one score, or two where real and fake were given side by side."""
    given = _given(args, kwargs)
    leaf, channel = options.score(output)
    candidates = batch_origin.candidates([_bare(x) for x in given])
    if leaf is None or not candidates:
        return []
    probing = wants_slope(given)
    attached = not probing and any(x.requires_grad for x in given)

    graded = any(x.requires_grad for x in [leaf, *tensors(output)])

    def record(score: Tensor, samples: Tensor, parts: Sequence[tuple[str, Part]]) -> Judged:
        others = tuple(_bare(x) for x in given if x.shape != samples.shape or place(x) != place(samples))
        inputs = (batch_origin.without_condition(samples), *others)
        calls: list[tuple[Any, Call]] = []
        for batch, part in parts:
            if probing and batch == "unknown":  # a point between real and fake, to penalise the slope there
                continue
            seen, scored = inputs, _bare(score) if channel is None else _bare(score)[:, channel]
            if part is not EVERYTHING:
                seen = tuple(x[part] if x.ndim else x for x in inputs)
                part = _scores_of(part, len(samples), scored)  # noqa: PLW2901  # from here on of the score
                scored = scored[part] if scored.ndim else scored
            call = Call("d", seen, scored, batch, module.training, index, attached, graded, probing=probing)
            calls.append((part if channel is None else (part, channel), call))
        return score, calls

    each = [batch_origin.parts(x) for x in candidates]
    if len(candidates) == 1:
        return [record(leaf, candidates[0], each[0])]
    kinds = [parts[0][0] if len(parts) == 1 else "unknown" for parts in each]
    scores = _side_by_side(output) if batch_origin.judges_pairs(kinds) else []
    if scores:
        return [record(score, samples, parts) for score, samples, parts in zip(scores, candidates, each, strict=True)]
    at, kind = batch_origin.one_of(kinds)
    return [record(leaf, candidates[at], [(kind, EVERYTHING)])]


def _side_by_side(output: Any) -> list[Tensor]:
    """The scores of two batches that were judged together: what is said of the second follows what is said of the first, twice alike.

    >>> import torch
    >>> scores, features = [torch.zeros(2, 1)], [torch.zeros(2, 8), torch.zeros(2, 4)]
    >>> len(_side_by_side((scores, scores, features, features))), _side_by_side((scores, features))
    (2, [])
    """
    said_of = list(output.values()) if isinstance(output, Mapping) else output
    if not isinstance(said_of, list | tuple) or not said_of or len(said_of) % 2:
        return []
    shapes = [[x.shape for x in tensors(said)] for said in said_of]
    scores = [score for said in said_of[:2] if (score := score_leaf(said)) is not None]
    return scores if shapes[::2] == shapes[1::2] and len(scores) == 2 else []


def _scores_of(part: Part, samples: int, score: Tensor) -> Part:
    """Where the scores of some of the samples are; several samples may share one score.

    >>> import torch
    >>> _scores_of(slice(8, 16), 16, torch.zeros(4, 1))
    slice(2, 4, None)
    """
    together = samples // len(score) if score.ndim and 0 < len(score) < samples and samples % len(score) == 0 else 1
    if isinstance(part, Tensor):
        return part[::together] // together
    return slice(part.start // together, part.stop // together)


def keep(calls: list[Call], call: Call) -> None:
    """Of calls that differ in nothing but time the last one stays, the last few of unknown ones, so that not many batches are held.

    One that only looks, such as at reals for comparison in G's phase or for the slope there, does not replace one that trains; the
    latter in the same step.
    """
    kind = (call.network, call.batch, call.attached)
    alike = [place for place, other in enumerate(calls) if (other.network, other.batch, other.attached) == kind]
    if len(alike) >= (UNKNOWN if call.batch == "unknown" else 1):
        before = calls[alike[0]]
        if before.graded and (not call.graded or (call.probing and before.index == call.index)):
            return
        del calls[alike[0]]
    calls.append(call)


def claim(calls: list[Call], index: int) -> None:
    """The discriminator alone has stepped: what it has just been trained on belongs to its own phase, also fakes with their graph."""
    for call in calls:
        if call.network == "d" and call.index == index:
            call.trained = True
            if call.attached and (call.batch != "unknown" or call.output_grad is not None):
                call.attached, call.claimed = False, True


def release(calls: list[Call], index: int) -> None:
    """The generator has stepped: where it has no call of its own since then, those that were claimed are its own.

    They are the discriminator's too where both losses went through them and it has no others; whose slope is there is not known then.
    """
    of_d = [call for call in calls if call.network == "d" and call.index == index]
    if any(call.attached and call.graded for call in of_d):
        return
    claimed = [call for call in of_d if call.claimed]
    if all(call.claimed or not call.graded for call in of_d) and any(call.shared for call in claimed):
        for call in claimed:
            call.output_grad = call.family = None
        calls += [replace(call, attached=True, claimed=False) for call in claimed]
        return
    for call in claimed:
        call.attached, call.claimed = True, False


def wants_slope(given: Iterable[Any]) -> bool:
    """Whether one of a call's arguments is a leaf that wants a gradient: the slope there may be penalised."""
    return any(isinstance(x, Tensor) and x.requires_grad and x.is_leaf for x in given)


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
