"""Builds ``Call`` records from forward calls of the two networks, and assigns them to D's or G's phase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ganwatch.capture.attribution.batch_origin import ALL_SAMPLES, BatchOrigin, Selection, storage_address
from ganwatch.capture.modes import read_modes
from ganwatch.capture.options import Options
from ganwatch.capture.step import Arguments, Call, detach_nest, find_score, find_tensors, to_plain

MAX_UNKNOWN_CALLS = 3
"""Calls on batches of unknown origin that are kept per phase: one of them may turn out to be real."""


def build_generator_call(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, *, index: int, needs_arguments: bool
) -> Call:
    """Return the record of a generator's call, with its positional and keyword arguments if they are needed."""
    outputs = find_tensors(output)
    has_graph = any(x.requires_grad for x in outputs)
    return Call(
        "g",
        tuple(map(_detach, _find_inputs(args, kwargs))),
        [_detach(x) for x in outputs],
        "latent",
        module.training,
        index,
        has_graph=has_graph,
        modes=read_modes(module) if has_graph else None,
        arguments=_detach_arguments(args, kwargs) if needs_arguments else None,
    )


ScoreCalls = tuple[Tensor, list[tuple[Any, Call]]]
"""A score and, for each origin in its batch, the index of its scores and its record."""


def build_discriminator_calls(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Any,
    *,
    index: int,
    batch_origin: BatchOrigin,
    options: Options,
) -> list[ScoreCalls]:
    """Return the records of a discriminator's call: for one score, or for two if it got a real and a fake batch."""
    inputs = _find_inputs(args, kwargs)
    leaf, channel = options.find_score(output)
    candidates = batch_origin.find_candidates([_detach(x) for x in inputs])
    if leaf is None or not candidates:
        return []
    has_leaf = has_grad_leaf(inputs)
    in_g_phase = not has_leaf and any(x.requires_grad for x in inputs)

    has_graph = any(x.requires_grad for x in [leaf, *find_tensors(output)])
    modes = read_modes(module) if has_graph else None

    def build(score: Tensor, samples: Tensor, parts: Sequence[tuple[str, Selection]]) -> ScoreCalls:
        whole = (batch_origin.strip_condition(samples), *_find_conditions(inputs, samples))
        calls: list[tuple[Any, Call]] = []
        for origin, part in parts:
            if has_leaf and origin == "unknown":  # a point between real and fake, for a gradient penalty
                continue
            seen, scores = whole, _detach(score) if channel is None else _detach(score)[:, channel]
            if part is not ALL_SAMPLES:
                seen = tuple(x[part] if x.ndim else x for x in whole)
                part = _to_score_index(part, len(samples), scores)  # noqa: PLW2901  # an index of the scores from here on
                scores = scores[part] if scores.ndim else scores
            call = Call("d", seen, scores, origin, module.training, index, in_g_phase, has_graph, has_grad_leaf=has_leaf, modes=modes)
            calls.append((part if channel is None else (part, channel), call))
        return score, calls

    return [build(*scored) for scored in _match_scores(leaf, output, candidates, batch_origin)]


def _match_scores(
    leaf: Tensor, output: Any, candidates: Sequence[Tensor], batch_origin: BatchOrigin
) -> list[tuple[Tensor, Tensor, Sequence[tuple[str, Selection]]]]:
    """Return each score with the samples that it belongs to and the origins of these."""
    parts = [batch_origin.identify(x) for x in candidates]
    if len(candidates) == 1:
        return [(leaf, candidates[0], parts[0])]
    origins = [each[0][0] if len(each) == 1 else "unknown" for each in parts]
    scores = _find_pair_of_scores(output) if batch_origin.is_pair(origins) else []
    if scores:
        return list(zip(scores, candidates, parts, strict=True))
    number, origin = batch_origin.choose_candidate(origins)
    return [(leaf, candidates[number], [(origin, ALL_SAMPLES)])]


def _find_conditions(inputs: Sequence[Tensor], samples: Tensor) -> list[Tensor]:
    """Return the inputs other than the samples."""
    return [_detach(x) for x in inputs if x.shape != samples.shape or storage_address(x) != storage_address(samples)]


def _find_pair_of_scores(output: Any) -> list[Tensor]:
    """Return the scores of two batches that were scored in one call: outputs of the second follow those of the first, twice alike.

    >>> import torch
    >>> scores, features = [torch.zeros(2, 1)], [torch.zeros(2, 8), torch.zeros(2, 4)]
    >>> len(_find_pair_of_scores((scores, scores, features, features))), _find_pair_of_scores((scores, features))
    (2, [])
    """
    items = list(output.values()) if isinstance(output, Mapping) else output
    if not isinstance(items, list | tuple) or not items or len(items) % 2:
        return []
    shapes = [[x.shape for x in find_tensors(item)] for item in items]
    scores = [score for item in items[:2] if (score := find_score(item)) is not None]
    return scores if shapes[::2] == shapes[1::2] and len(scores) == 2 else []


def _to_score_index(part: Selection, n_samples: int, score: Tensor) -> Selection:
    """Return the index of the scores of some of the samples; several samples may share one score.

    >>> import torch
    >>> _to_score_index(slice(8, 16), 16, torch.zeros(4, 1))
    slice(2, 4, None)
    """
    per_score = n_samples // len(score) if score.ndim and 0 < len(score) < n_samples and n_samples % len(score) == 0 else 1
    if isinstance(part, Tensor):
        return part[::per_score] // per_score
    return slice(part.start // per_score, part.stop // per_score)


def add_call(calls: list[Call], call: Call) -> None:
    """Add a call; keep the latest one per network, origin and phase (the latest few of unknown origin), so that few batches are held.

    A call that does not train never replaces one that does, such as one on reals for comparison in G's phase. A call for a gradient
    penalty does not replace one that trains in the same step.
    """
    key = (call.network, call.origin, call.in_g_phase)
    same = [place for place, other in enumerate(calls) if (other.network, other.origin, other.in_g_phase) == key]
    if len(same) >= (MAX_UNKNOWN_CALLS if call.origin == "unknown" else 1):
        before = calls[same[0]]
        if before.has_graph and (not call.has_graph or (call.has_grad_leaf and before.index == call.index)):
            return
        del calls[same[0]]
        if before.precedes_d_update and before.index == call.index:
            call.replaced = before
    calls.append(call)


def restore_d_phase(calls: list[Call], index: int) -> None:
    """Return the step's calls that D's optimizer has followed in place of later ones, such as on reals for comparison in G's phase."""
    calls[:] = [call if call.index != index or call.replaced is None else call.replaced for call in calls]


def assign_to_d_phase(calls: list[Call], index: int) -> None:
    """Assign the step's calls so far to D's phase, also those on fakes with their graph, because D alone has stepped.

    Of these the latest one stays, as of all calls.
    """
    for call in _select_d_calls(calls, index):
        call.precedes_d_update, call.replaced = True, None
        if call.in_g_phase and (call.origin != "unknown" or call.output_grad is not None):
            call.in_g_phase, call.is_reassigned = False, True
    outdated = {id(call) for call in _find_outdated(_select_d_calls(calls, index))}
    if outdated:
        calls[:] = [call for call in calls if id(call) not in outdated]


def _find_outdated(d_calls: Sequence[Call]) -> list[Call]:
    """Return the reassigned calls of known origin that a later one of the same origin replaces."""
    reassigned = [call for call in d_calls if call.is_reassigned and call.origin != "unknown"]
    latest = {call.origin: call for call in reassigned}
    return [call for call in reassigned if call is not latest[call.origin]]


def _select_d_calls(calls: Sequence[Call], index: int) -> list[Call]:
    """Return the discriminator's calls of one step."""
    return [call for call in calls if call.network == "d" and call.index == index]


def restore_g_phase(calls: list[Call], index: int) -> None:
    """Return reassigned calls to G's phase if it has no call of its own since then, because G has stepped.

    They count for both phases if both losses went through them and D has no others. Then their gradient is of neither phase alone.
    """
    d_calls = _select_d_calls(calls, index)
    if any(call.in_g_phase and call.has_graph for call in d_calls):
        return
    reassigned = [call for call in d_calls if call.is_reassigned]
    if _serve_both_phases(d_calls, reassigned):
        for call in reassigned:
            call.output_grad = call.family = None
        calls += [replace(call, in_g_phase=True, is_reassigned=False) for call in reassigned]
        return
    for call in reassigned:
        call.in_g_phase, call.is_reassigned = True, False


def _serve_both_phases(d_calls: Sequence[Call], reassigned: Sequence[Call]) -> bool:
    """Return True if D trains on reassigned calls only and several backward passes went through some of them."""
    has_others = any(call.has_graph and not call.is_reassigned for call in d_calls)
    return not has_others and any(call.has_several_backwards for call in reassigned)


def select_d_phase(calls: Sequence[Call]) -> list[Call]:
    """Return the discriminator's calls of its own phase."""
    return [call for call in calls if call.network == "d" and not call.in_g_phase]


def has_grad_leaf(arguments: Iterable[Any]) -> bool:
    """Return True if an argument is a leaf that requires a gradient: the call may serve a gradient penalty."""
    return any(isinstance(x, Tensor) and x.requires_grad and x.is_leaf for x in arguments)


def _detach(tensor: Tensor) -> Tensor:
    return to_plain(tensor.detach() if tensor.requires_grad else tensor)


def _find_inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    return find_tensors(args) + find_tensors(kwargs) if kwargs else find_tensors(args)


def _detach_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments | None:
    try:
        return detach_nest(args), detach_nest(kwargs)
    except TypeError:
        return None
