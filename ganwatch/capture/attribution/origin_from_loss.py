"""Infers the origin of batches that are not recognised, from the outputs that the losses aim at.

In the generator's phase the loss aims at an output on fakes that is D's aim on reals, or close to it. In D's own phase it aims there on
reals and elsewhere on fakes, for every loss and either polarity. The direction of the gradient alone does not suffice: a least squares
loss also raises outputs on fakes that are below their target.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ganwatch.capture.attribution.loss_family import MAX_ROUNDING_ERRORS, fit_gradient
from ganwatch.capture.step import Call, sum_per_sample

MIN_AGREEMENT = 0.75
"""Smallest share of the samples with a gradient that must have the same direction."""
MIN_GRADIENT_SHARE = 0.1
"""Smallest share of samples that must have a gradient."""
MIN_DISTANCE_RATIO = 1.5
"""Smallest ratio of the distances between a batch's goal and those of the two origins."""
MAX_LABEL_DISTANCE = 0.25
"""Largest distance between two labels of one origin, such as 1 and 0.9, on the scale of ``_find_goal``."""
HISTORY_LENGTH = 16
"""Sampled steps that show the usual origin of a call at a position."""
MIN_HISTORY = 5
"""Fewest sampled steps that show it."""
MIN_CONSISTENCY = 0.8
"""Smallest share of them that must agree."""


class OriginFromLoss:
    """Infers origins of batches from output gradients, step by step.

    A single step does not distinguish flipped labels from others, if neither origin is recognised. Then calls at the same position in the
    discriminator's phase must nearly always have had the same origin. If one origin is recognised, no other batch gets it: that batch may
    be a real one with a wrong condition, or one with a flipped label. Where the gradient tells nothing, because a discriminator is so sure
    that it is zero or a value is not finite, a call keeps the origin that calls at its position always had. And batches that the loss
    always pushes the other way than fakes are reals.

    Examples
    --------
    >>> import torch
    >>> scores = torch.tensor([-0.3, -0.1])
    >>> def call(origin, target, in_g_phase=False):
    ...     facts = {"precedes_d_update": not in_g_phase, "output_grad": scores - target}
    ...     return Call("d", (torch.zeros(2, 3),), scores, origin, True, 1, in_g_phase, **facts)
    >>> def step(real, fake):
    ...     calls = [call("unknown", real), call("unknown", fake), call("fake", 1.0, in_g_phase=True)]
    ...     origin_from_loss.assign_origins(calls)
    ...     return [one.origin for one in calls[:2]]
    >>> origin_from_loss = OriginFromLoss()
    >>> [step(1.0, 0.0) for _ in range(MIN_HISTORY)][-2:]
    [['unknown', 'unknown'], ['real', 'fake']]
    >>> step(0.0, 1.0)  # flipped
    ['unknown', 'unknown']
    """

    def __init__(self) -> None:
        self._history: dict[tuple[int, int, frozenset[str]], deque[str]] = {}
        """Origins of calls by their gradients alone, by number of unknown calls, position from their end, and origins that are known."""
        self._opposites: deque[bool] = deque(maxlen=HISTORY_LENGTH)
        """True for each sampled step that pushes all unknown batches the other way than fakes."""
        self.needs_more_steps = False
        """True if further steps can resolve what is unknown in the last one."""

    def assign_origins(self, calls: Sequence[Call]) -> None:
        """Set the origin of unknown batches in the discriminator's own phase, if the gradients give it without a contradiction.

        In a step without an update of the discriminator, calls keep the origin that they had at their position.
        """
        self.needs_more_steps = False
        with_gradient = _select_trained(calls)
        d_phase = [call for call in with_gradient if _is_d_phase(call)]
        is_idle = not d_phase
        d_phase = d_phase or with_gradient
        recognised = {call.origin for call in d_phase} - {"unknown"}
        unknown = [call for call in d_phase if call.origin == "unknown"]
        if not unknown:
            return
        inferred = {id(call): origin for call, origin in _infer_origins(with_gradient, recognised)}
        fakes = [call for call in d_phase if call.origin == "fake"]
        opposite = self._find_opposite(unknown, fakes) if recognised == {"fake"} else "unknown"
        for position, call in enumerate(reversed(unknown)):
            origin = inferred.get(id(call), "unknown")
            history = self._history.setdefault((len(unknown), position, frozenset(recognised)), deque(maxlen=HISTORY_LENGTH))
            if is_idle or not _tells_direction(call):
                usual = _usual_origin(history, least=1 if recognised else MIN_HISTORY)
                call.origin = opposite if usual == "unknown" else usual
            elif recognised:
                origin = opposite if origin == "unknown" else origin
                call.origin = "unknown" if origin in recognised else origin
                if origin != "unknown":
                    history.append(call.origin)
            elif origin != "unknown":
                call.origin = self._confirm(history, origin)
            call.is_inferred = call.origin != "unknown"

    def _find_opposite(self, unknown: Sequence[Call], fakes: Sequence[Call]) -> str:
        """Return ``real`` if the losses on all unknown batches always push scores the other way than those on the fakes beside them do."""
        if all(map(_tells_direction, (*unknown, *fakes))):
            directions, of_fakes = _directions(unknown), _directions(fakes)
            self._opposites.append(directions in ({1.0}, {-1.0}) and of_fakes == {-direction for direction in directions})
        return "real" if len(self._opposites) >= MIN_HISTORY and all(self._opposites) else "unknown"

    def _confirm(self, history: deque[str], origin: str) -> str:
        """Return the origin if calls at that position nearly always had it."""
        history.append(origin)
        if len(history) < MIN_HISTORY:
            self.needs_more_steps = True
            return "unknown"
        return origin if history.count(origin) >= MIN_CONSISTENCY * len(history) else "unknown"


def _usual_origin(history: Collection[str], *, least: int) -> str:
    """Return the origin that all calls at a position had, ``unknown`` without one or with fewer calls.

    Beside a batch that is recognised, each origin was certain in its own step.
    """
    return next(iter(history)) if len(history) >= least and len(set(history)) == 1 else "unknown"


def _select_trained(calls: Sequence[Call]) -> list[Call]:
    """Return the calls of the discriminator through which a loss was back-propagated."""
    return [call for call in calls if call.network == "d" and call.has_graph and call.output_grad is not None]


def _infer_origins(calls: Sequence[Call], recognised: Collection[str]) -> list[tuple[Call, str]]:
    """Return the origins of the unknown batches of one step by their gradients."""
    goals = _find_goals(calls, needs_form={"real", "fake"} <= set(recognised))
    of_g, d_phase = [goal for call, goal in goals if call.in_g_phase], [one for one in goals if _is_d_phase(one[0])]
    origins: list[str] | None = [call.origin for call, _ in d_phase]
    for _ in range(2):  # origins of the first round help to infer the others
        origins = origins and _infer_round(of_g, [goal for _, goal in d_phase], origins)
    return [(call, origin) for (call, _), origin in zip(d_phase, origins or (), strict=False) if call.origin == "unknown"]


def _find_goals(calls: Sequence[Call], *, needs_form: bool) -> list[tuple[Call, float]]:
    """Return the calls whose loss aims at a known output, with that goal."""
    return [(call, goal) for call in calls if (goal := _find_goal(call, needs_form=needs_form)) is not None]


def _infer_round(of_g: Sequence[float], goals: Sequence[float], origins: Sequence[str]) -> list[str] | None:
    """Return the origins of D's batches by their goals and those of G's phase; None if these contradict each other."""
    reals, fakes = ([goal for goal, other in zip(goals, origins, strict=True) if other == origin] for origin in ("real", "fake"))
    raised = [*of_g, *reals]
    if not of_g or min(raised) < 0 < max(raised):
        return None
    return [
        _nearest_origin(goal, raised, fakes, has_reals=bool(reals)) if origin == "unknown" else origin
        for goal, origin in zip(goals, origins, strict=True)
    ]


def _is_d_phase(call: Call) -> bool:
    """Return True if a call belongs to D's own phase; in G's, a relativistic loss has gradients on reals too."""
    return call.precedes_d_update and not call.in_g_phase


def _nearest_origin(goal: float, real: Sequence[float], fake: Sequence[float], *, has_reals: bool) -> str:
    """Return the origin with the nearest goal.

    If the goal of fakes is unknown, it is taken to be opposite to that of reals, or anywhere else if reals of D's phase give the latter.
    """
    to_real = min(abs(goal - other) for other in real)
    to_fake = MAX_LABEL_DISTANCE if has_reals and not fake else min(abs(goal - other) for other in fake or [-other for other in real])
    return "real" if MIN_DISTANCE_RATIO * to_real < to_fake else "fake" if MIN_DISTANCE_RATIO * to_fake < to_real else "unknown"


def _find_goal(call: Call, *, needs_form: bool) -> float | None:
    """Return the output that the loss aims at, from -1 for minus infinity to 1; None if it is not certain.

    With ``needs_form`` a gradient without a known form gives None: the outputs may serve a consistency term only.
    """
    assert call.output_grad is not None
    if call.output_grad.shape != call.output.shape:
        return None
    fit = fit_gradient(call)
    if fit is not None and fit.form == "other" and needs_form:
        return None
    if fit is None:
        goal = _find_zero(call.output, call.output_grad)
    elif fit.form in {"constant", "step", "other"} or not fit.is_increasing:
        goal = math.inf * _direction(call.output_grad)
    else:
        goal = math.nan if fit.form == "flat" else fit.goal
    return None if math.isnan(goal) else math.copysign(1.0, goal) if math.isinf(goal) else goal / (1.0 + abs(goal))


def _find_zero(score: Tensor, output_grad: Tensor) -> float:
    """Return the score at which the gradient is zero by linear extrapolation; NaN if too few outputs have a gradient."""
    eps = torch.finfo(score.dtype).eps
    has_gradient = output_grad != 0
    s, w = score[has_gradient].cpu().double(), output_grad[has_gradient].cpu().double()
    min_range = 2.0 * MAX_ROUNDING_ERRORS * eps  # over it, a gradient towards a target at a usual distance changes by more than rounding
    if len(s) < max(2.0, MIN_GRADIENT_SHARE * score.numel()) or not float(s.max() - s.min()) > min_range * (1.0 + float(s.abs().max())):
        return math.nan
    if float(w.max() - w.min()) <= MAX_ROUNDING_ERRORS * eps * float(w.abs().max()):
        return math.inf * _direction(output_grad)
    b = float(((s - s.mean()) * (w - w.mean())).sum() / (s - s.mean()).square().sum())
    return float(s.mean() - w.mean() / b) if b > 0 else math.inf * _direction(output_grad)


def _tells_direction(call: Call) -> bool:
    """Return True if the gradient of a call's outputs is finite and not zero everywhere."""
    return call.output_grad is not None and bool(call.output_grad.any()) and bool(torch.isfinite(call.output_grad).all())


def _directions(calls: Sequence[Call]) -> set[float]:
    """Return all directions of changes that a descent step makes to the outputs of some calls."""
    return {_direction(call.output_grad) for call in calls if call.output_grad is not None}


def _direction(output_grad: Tensor) -> float:
    """Sign of the change that a descent step makes to the outputs: 1 up, -1 down, NaN if the samples disagree."""
    sums = sum_per_sample(output_grad)
    up, down = float((sums < 0).float().mean()), float((sums > 0).float().mean())
    if up + down < MIN_GRADIENT_SHARE or max(up, down) < MIN_AGREEMENT * (up + down):
        return math.nan
    return 1.0 if up > down else -1.0
