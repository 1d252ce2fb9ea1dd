"""Tells real from fake where the batches themselves do not, by where the losses want the discriminator's outputs.

In the generator's phase the loss wants D's output on fakes where that on reals is wanted, or near there. In D's own phase it wants
the output on reals there and that on fakes elsewhere, whatever the loss and its polarity. The direction alone does not tell: a least
squares loss lifts outputs on fakes that are below their target, too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ganwatch.capture.attribution.loss_family import EXACT, asks
from ganwatch.capture.step import Call, per_sample

AGREED = 0.75
"""Share of samples with a slope that must want the same direction."""
SLOPED = 0.1
"""Share of samples that must have a slope at all."""
CLEAR = 1.5
"""How many times nearer what a loss wants of a batch must be to what it wants of one kind than to that of the other."""
ELSEWHERE = 0.25
"""Distance that is none between two labels of one kind, such as 1 and 0.9, on the scale of ``_wanted``."""
MEMORY = 16
"""Looks by which it is known what a call at a place means."""
ENOUGH = 5
"""Looks that it takes at least."""
NEARLY = 0.8
"""Share of them that must agree."""


class OriginFromLoss:
    """Names batches by what the losses ask, from step to step.

    One step alone does not tell flipped labels from others, where neither kind is known by its values. There the place of a call in
    the discriminator's phase must have meant the same kind nearly always. And where one kind is known, no other batch becomes it: it
    may be a real one with a wrong condition, or one whose label was flipped.

    Examples
    --------
    >>> import torch
    >>> scores = torch.tensor([-0.3, -0.1])
    >>> def call(batch, target, attached=False):
    ...     return Call("d", (torch.zeros(2, 3),), scores, batch, True, 1, attached, trained=not attached, output_grad=scores - target)
    >>> def step(real, fake):
    ...     calls = [call("unknown", real), call("unknown", fake), call("fake", 1.0, attached=True)]
    ...     roles.settle(calls)
    ...     return [one.batch for one in calls[:2]]
    >>> roles = OriginFromLoss()
    >>> [step(1.0, 0.0) for _ in range(ENOUGH)][-2:]
    [['unknown', 'unknown'], ['real', 'fake']]
    >>> step(0.0, 1.0)  # flipped
    ['unknown', 'unknown']
    """

    def __init__(self) -> None:
        self._meant: dict[int, deque[str]] = {}
        """What the calls at a place, counted from the end of the phase, were by their slopes alone."""
        self.undecided = False
        """Whether further looks would tell more about the step that was settled last."""

    def settle(self, calls: Sequence[Call]) -> None:
        """Give every unknown batch of the discriminator's own phase its name, where the steps say so without a contradiction."""
        self.undecided = False
        phases = [call for call in calls if call.network == "d" and call.graded and call.output_grad is not None]
        own = [call for call in phases if _own(call)]
        known = {call.batch for call in own} - {"unknown"}
        unknown = [call for call in own if call.batch == "unknown"]
        if not unknown:
            return
        named = {id(call): kind for call, kind in _named(phases, known) if kind not in known}
        if known:
            for call in unknown:
                call.batch = named.get(id(call), "unknown")
            return
        for place, call in enumerate(reversed(unknown)):
            if (kind := named.get(id(call), "unknown")) != "unknown":
                call.batch = self._usual(place, kind)

    def _usual(self, place: int, kind: str) -> str:
        """The kind, if it is what calls at that place nearly always were."""
        meant = self._meant.setdefault(place, deque(maxlen=MEMORY))
        meant.append(kind)
        if len(meant) < ENOUGH:
            self.undecided = True
            return "unknown"
        return kind if meant.count(kind) >= NEARLY * len(meant) else "unknown"


def _named(phases: Sequence[Call], known: Collection[str]) -> list[tuple[Call, str]]:
    """What the unknown batches of one step are by what is asked of them."""
    wanted = [(call, place) for call in phases if (place := _wanted(call, exact={"real", "fake"} <= set(known))) is not None]
    of_g = [place for call, place in wanted if call.attached]
    unknown = [(call, place) for call, place in wanted if call.batch == "unknown" and _own(call)]
    named: dict[int, str] = {}
    for _ in range(2):  # what is found first helps to find the rest
        kinds = {kind: [at for call, at in wanted if _own(call) and named.get(id(call), call.batch) == kind] for kind in ("real", "fake")}
        real = of_g + kinds["real"]
        if not of_g or min(real) < 0 < max(real):
            return []
        for call, place in unknown:
            if named.get(id(call), "unknown") == "unknown":
                named[id(call)] = _nearer(place, real, kinds["fake"], sure=bool(kinds["real"]))
    return [(call, named[id(call)]) for call, _ in unknown]


def _own(call: Call) -> bool:
    """Whether it belongs to the discriminator's own phase; in the generator's, a relativistic loss asks something of reals too."""
    return call.trained and not call.attached


def _nearer(place: float, real: Sequence[float], fake: Sequence[float], *, sure: bool) -> str:
    """Whose place it is; where that of fakes is not known, it is taken to be opposite, or anywhere else where that of reals is ``sure``."""
    to_real = min(abs(place - other) for other in real)
    to_fake = ELSEWHERE if sure and not fake else min(abs(place - other) for other in fake or [-other for other in real])
    return "real" if CLEAR * to_real < to_fake else "fake" if CLEAR * to_fake < to_real else "unknown"


def _wanted(call: Call, *, exact: bool) -> float | None:
    """Where the loss wants a call's outputs, from -1 for minus infinity to 1; None where that is not sure.

    Where only what is ``exact`` counts, outputs of which a loss asks nothing by themselves do not: they may be there for consistency.
    """
    assert call.output_grad is not None
    if call.output_grad.shape != call.output.shape:
        return None
    ask = asks(call)
    if ask is not None and ask.form == "other" and exact:
        return None
    if ask is None:
        place = _crossing(call.output, call.output_grad)
    elif ask.form in {"constant", "step", "other"} or not ask.rising:
        place = math.inf * _direction(call.output_grad)
    else:
        place = math.nan if ask.form == "flat" else ask.height
    return None if math.isnan(place) else math.copysign(1.0, place) if math.isinf(place) else place / (1.0 + abs(place))


def _crossing(score: Tensor, output_grad: Tensor) -> float:
    """Where the slope would be zero if it changed with the score as it does here; NaN where too few outputs tell."""
    eps = torch.finfo(score.dtype).eps
    sloped = output_grad != 0
    s, w = score[sloped].double(), output_grad[sloped].double()
    least = 2.0 * EXACT * eps  # so far apart, a slope towards a target as near as usual differs by more than rounding
    if len(s) < max(2.0, SLOPED * score.numel()) or not float(s.max() - s.min()) > least * (1.0 + float(s.abs().max())):
        return math.nan
    if float(w.max() - w.min()) <= EXACT * eps * float(w.abs().max()):
        return math.inf * _direction(output_grad)
    b = float(((s - s.mean()) * (w - w.mean())).sum() / (s - s.mean()).square().sum())
    return float(s.mean() - w.mean() / b) if b > 0 else math.inf * _direction(output_grad)


def _direction(output_grad: Tensor) -> float:
    """Sign of the movement that a batch's slopes ask for: 1 up, -1 down, NaN where they do not agree."""
    each = per_sample(output_grad)
    up, down = float((each < 0).float().mean()), float((each > 0).float().mean())
    if up + down < SLOPED or max(up, down) < AGREED * (up + down):
        return math.nan
    return 1.0 if up > down else -1.0
