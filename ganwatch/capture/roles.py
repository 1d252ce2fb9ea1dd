"""Tells real from fake where the batches themselves do not, by where the losses want the discriminator's outputs.

In the generator's phase the loss wants D's output on fakes where that on reals is wanted, or near there. In D's own phase it wants
the output on reals there and that on fakes elsewhere, whatever the loss and its polarity. The direction alone does not tell: a least
squares loss lifts outputs on fakes that are below their target, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganwatch.capture.loss_family import EXACT, asks
from ganwatch.capture.step import Call, per_sample

AGREED = 0.75
"""Share of samples with a slope that must want the same direction."""
SLOPED = 0.1
"""Share of samples that must have a slope at all."""
CLEAR = 1.5
"""How many times nearer what a loss wants of a batch must be to what it wants of one kind than to that of the other."""
ELSEWHERE = 0.25
"""Distance that is none between two labels of one kind, such as 1 and 0.9, on the scale of ``_wanted``."""


def settle(calls: Sequence[Call]) -> None:
    """Give every unknown batch of the discriminator's own phase its name, where the step says so without a contradiction.

    Examples
    --------
    >>> import torch
    >>> scores = torch.tensor([-0.3, -0.1])
    >>> def call(batch, target, attached=False):
    ...     return Call("d", (torch.zeros(2, 3),), scores, batch, True, 1, attached, trained=not attached, slope=scores - target)
    >>> calls = [call("unknown", 1.0), call("unknown", 0.0), call("fake", 0.0), call("fake", 1.0, attached=True)]
    >>> settle(calls)
    >>> [one.batch for one in calls]
    ['real', 'fake', 'fake', 'fake']
    """
    phases = [call for call in calls if call.network == "d" and call.graded and call.slope is not None]
    if not any(call.batch == "unknown" and _own(call) for call in phases):
        return
    both = {"real", "fake"} <= {call.batch for call in phases if _own(call)}
    wanted = [(call, place) for call in phases if (place := _wanted(call, exact=both)) is not None]
    of_g = [place for call, place in wanted if call.attached]
    for _ in range(2):  # what is found first helps to find the rest
        own = {kind: [place for call, place in wanted if call.batch == kind and _own(call)] for kind in ("real", "fake")}
        real = of_g + own["real"]
        if not of_g or min(real) < 0 < max(real):
            return
        for call, place in wanted:
            if call.batch == "unknown" and _own(call):
                call.batch = _nearer(place, real, own["fake"], sure=bool(own["real"]))


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
    assert call.slope is not None
    if call.slope.shape != call.output.shape:
        return None
    ask = asks(call)
    if ask is not None and ask.form == "other" and exact:
        return None
    if ask is None:
        place = _crossing(call.output, call.slope)
    elif ask.form in {"constant", "step", "other"} or not ask.rising:
        place = math.inf * _direction(call.slope)
    else:
        place = math.nan if ask.form == "flat" else ask.height
    return None if math.isnan(place) else math.copysign(1.0, place) if math.isinf(place) else place / (1.0 + abs(place))


def _crossing(score: Tensor, slope: Tensor) -> float:
    """Where the slope would be zero if it changed with the score as it does here; NaN where too few outputs tell."""
    eps = torch.finfo(score.dtype).eps
    sloped = slope != 0
    s, w = score[sloped].double(), slope[sloped].double()
    least = 2.0 * EXACT * eps  # so far apart, a slope towards a target as near as usual differs by more than rounding
    if len(s) < max(2.0, SLOPED * score.numel()) or not float(s.max() - s.min()) > least * (1.0 + float(s.abs().max())):
        return math.nan
    if float(w.max() - w.min()) <= EXACT * eps * float(w.abs().max()):
        return math.inf * _direction(slope)
    b = float(((s - s.mean()) * (w - w.mean())).sum() / (s - s.mean()).square().sum())
    return float(s.mean() - w.mean() / b) if b > 0 else math.inf * _direction(slope)


def _direction(slope: Tensor) -> float:
    """Sign of the movement that a batch's slopes ask for: 1 up, -1 down, NaN where they do not agree."""
    each = per_sample(slope)
    up, down = float((each < 0).float().mean()), float((each > 0).float().mean())
    if up + down < SLOPED or max(up, down) < AGREED * (up + down):
        return math.nan
    return 1.0 if up > down else -1.0
