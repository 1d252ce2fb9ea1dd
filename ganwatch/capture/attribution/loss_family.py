"""Tells which loss a discriminator is trained with, from what the loss asks of its outputs.

Every usual loss gives each output ``s`` a slope ``w = a + b φ(s)`` of a form of its own, whatever it is weighted with:

====================================  ==============================================================
binary cross-entropy, softplus        φ is the sigmoid, zero at the label; saturating where b < 0
binary cross-entropy on probabilities ``w s (1 - s)`` is linear in ``s``, which lies in (0, 1)
least squares                         φ is ``s`` itself, zero at the target
hinge                                 constant up to a margin, 0 beyond it
Wasserstein                           constant
====================================  ==============================================================

The form that fits to rounding errors is believed where the others do not fit. A relativistic loss asks of an output what depends on
other outputs too; it fits none of them, or one whose target moves. There, as where labels are random or outputs few, the operations
that led from the score to the loss may tell (``loss_graph.py``), or it stays unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ganwatch.capture.step import Call, per_sample

EXACT = 6.0
"""Rounding errors (of the output's type) up to which a form fits."""
APART = 2.0
"""How many times that the next best form must be off."""
FEW = 4
"""Different outputs that a form is judged by at least."""
KEPT = 1024
"""Outputs of a call that are kept as evidence."""
FAR = 20.0
"""A target so far from the outputs is none: Wasserstein with a small penalty on the output."""
MOVED = 0.005
"""Difference of two looks' targets from which on they count as moving."""
MARGIN = 1.0
"""The usual margin of a hinge loss."""

Form = Literal["logistic", "reciprocal", "linear", "step", "constant", "flat", "other"]

CROSS_ENTROPIES: dict[Form, str] = {
    "logistic": "binary cross-entropy on logits (softplus)",
    "reciprocal": "binary cross-entropy on probabilities (D ends in a sigmoid)",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a loss asks of the outputs of one call."""

    form: Form
    up: bool
    """Whether it asks the outputs to rise."""
    target: float = math.nan
    """Where the slope is zero: the label, the least-squares target or the margin."""
    rising: bool = True
    """Whether the slope rises with the output, as that of every convex loss does."""
    highest: float = math.nan
    """Highest output in the direction asked for that still has a slope."""

    @property
    def height(self) -> float:
        """Where the outputs are to be: the target, or which side of 0."""
        label = self.form in CROSS_ENTROPIES
        return self.target - 0.5 if label else self.target if self.form == "linear" else 1.0 if self.up else -1.0


@dataclass(frozen=True, slots=True)
class LossFamily:
    """What is known of the loss.

    Parameters
    ----------
    name : str
        ``unknown`` where nothing fits, or not only one.
    details : tuple of str
        Targets, margin, saturating or not, polarity.
    """

    name: str = "unknown"
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join((self.name, *self.details))


def evidence(calls: Iterable[Call]) -> list[Call]:
    """Those of the discriminator's calls that a loss asked something of, cut to what tells; copies, without waiting for a device."""
    kept = []
    for call in calls:
        if call.output_grad is not None and isinstance(call.output, Tensor) and call.output_grad.shape == call.output.shape:
            n = max(1, len(call.output_grad) * KEPT // max(KEPT, call.output_grad.numel()))
            kept.append(replace(call, inputs=(), output=call.output[:n].clone(), output_grad=call.output_grad[:n].clone()))
    return kept


def loss_family(looks: Sequence[Sequence[Call]]) -> LossFamily:
    """The family of the loss by the calls of the discriminator at one or several looks.

    Examples
    --------
    >>> score = torch.linspace(-2.0, 2.0, 8)
    >>> def call(batch, output_grad):
    ...     return Call("d", (), score, batch, True, 1, output_grad=output_grad)
    >>> print(loss_family(2 * [[call("real", score - 1.0), call("fake", score)]]))
    least squares, targets: real 1, fake 0
    """
    found = _by_slopes(looks)
    return _by_operations(looks) if found.name == "unknown" else found


def _by_operations(looks: Sequence[Sequence[Call]]) -> LossFamily:
    """By what leads from the scores to the loss, where that is the same each time."""
    own = {call.family for look in looks for call in look if not call.attached or call.claimed}
    [family] = own if len(own) == 1 else [None]
    return LossFamily() if family is None else LossFamily(family)


def _by_slopes(looks: Sequence[Sequence[Call]]) -> LossFamily:
    asked = [(call, asks(call)) for look in looks for call in look]
    of_d = [(call, ask) for call, ask in asked if not call.attached and ask is not None]
    surely = [(call, ask) for call, ask in of_d if not call.claimed]  # accumulating, the generator's phase has the discriminator's in it
    d = [(call.batch, ask) for call, ask in surely or of_d]
    g = [ask for call, ask in asked if call.attached and call.batch != "real" and ask is not None]
    forms = {ask.form for _, ask in d}
    [form] = forms if len(forms) == 1 else ["other"]
    if "other" in forms or _moves(d):
        return LossFamily()
    if form in CROSS_ENTROPIES:
        return LossFamily(CROSS_ENTROPIES[form], (*_phase_of_g(g), *_polarity(d)))
    if form == "linear":
        return _least_squares(d, g) if len(looks) > 1 else LossFamily()  # at a single look a relativistic one has targets like any other
    return _of_constants(forms, d)


def _least_squares(d: Sequence[tuple[str, Ask]], g: Sequence[Ask]) -> LossFamily:
    asked = [*d, *(("G", ask) for ask in g if ask.form == "linear")]
    targets = {of: f"{of} {round(ask.target, 3) + 0.0:.3g}" for of, ask in asked if of != "unknown"}
    return LossFamily("least squares", (*(["targets: " + ", ".join(targets.values())] if targets else []), *_polarity(d)))


def _of_constants(forms: set[Form], d: Sequence[tuple[str, Ask]]) -> LossFamily:
    beyond = any(ask.highest > MARGIN for _, ask in d if ask.form == "constant")
    if forms == {"constant"}:
        return LossFamily("Wasserstein" if beyond else "hinge or Wasserstein (no output beyond a margin yet)", _polarity(d))
    if "step" in forms and forms <= {"step", "flat", "constant"} and not beyond:
        margin = next(ask.target for _, ask in d if ask.form == "step")
        return LossFamily("hinge", (f"margin {margin:.3g}", *_polarity(d)))
    return LossFamily()


def _polarity(asked: Sequence[tuple[str, Ask]]) -> tuple[str, ...]:
    """Whether reals are asked to be low and fakes to be high."""
    real, fake = ([ask.height for batch, ask in asked if batch == kind and ask.form != "flat"] for kind in ("real", "fake"))
    if real and fake:
        inverted = max(real) < min(fake)
    else:
        inverted = bool(real or fake) and asked[0][1].form != "linear" and (max(real) < 0 if real else min(fake) > 0)
    return ("inverted: real is the low side",) if inverted else ()


def _phase_of_g(asked: Sequence[Ask]) -> tuple[str, ...]:
    rising = {ask.rising for ask in asked if ask.form in CROSS_ENTROPIES}
    if len(rising) != 1:
        return ()
    return ("G's non-saturating",) if rising == {True} else ("G's saturating (minimax)",)


def _moves(asked: Sequence[tuple[str, Ask]]) -> bool:
    """Whether least-squares targets of one kind of batch differ between looks, as those of a relativistic loss do."""
    known = [(batch, ask) for batch, ask in asked if batch != "unknown" and ask.form == "linear"]
    for kind in {batch for batch, _ in known}:
        targets = [ask.target for batch, ask in known if batch == kind]
        if max(targets) - min(targets) > MOVED * max(1.0, *map(abs, targets)):
            return True
    return False


def asks(call: Call) -> Ask | None:
    """What a loss asks of a call's outputs, each by itself or, for a patch map, each sample's mean; None without evidence enough."""
    assert call.output_grad is not None
    eps = torch.finfo(call.output.dtype).eps
    score, output_grad = call.output.double().cpu(), call.output_grad.double().cpu()
    found = _ask(score.flatten(), output_grad.flatten(), eps)
    if found is not None and found.form == "other" and score[0].numel() > 1:
        return _ask(score.flatten(1).mean(1), per_sample(output_grad).double(), eps)
    return found


def _ask(score: Tensor, output_grad: Tensor, eps: float) -> Ask | None:
    """What is asked of scores, shape (N,), float64."""
    if not (torch.isfinite(score).all() and torch.isfinite(output_grad).all()) or len(set(score.tolist())) < FEW:
        return None
    output_grad = output_grad / output_grad.abs().max().clamp_min(1e-300)
    sloped = output_grad[output_grad != 0]
    if not len(sloped):
        return Ask("flat", up=True)
    constant = float((sloped - sloped.mean()).abs().max()) <= EXACT * eps
    return _constant(score, output_grad, eps) if constant else _curve(score, output_grad, eps)


def _constant(score: Tensor, output_grad: Tensor, eps: float) -> Ask | None:
    """Of a slope that is the same wherever it is not 0."""
    up, sloped = bool(output_grad.sum() < 0), output_grad != 0
    towards = score if up else -score
    highest = float(towards[sloped].max())
    if not sloped.all():
        lowest = float(towards[~sloped].min())
        return Ask("step", up, _margin(highest, lowest), highest=highest) if highest <= lowest else Ask("other", up)
    enough = float(score.max() - score.min()) > FAR * APART * EXACT * eps  # for a slope that changes to show
    return Ask("constant", up, highest=highest) if enough else None


def _curve(score: Tensor, output_grad: Tensor, eps: float) -> Ask | None:
    """Of a slope that changes with the score."""
    up = bool(output_grad.sum() < 0)
    fits: dict[Form, tuple[float, float, float]] = {
        "linear": _fit(score, output_grad, eps),
        "logistic": _fit(torch.sigmoid(score), output_grad, eps),
    }
    if bool(((score > 0) & (score < 1)).all()):
        factor = score * (1 - score)
        fits["reciprocal"] = _fit(score, output_grad * factor / (output_grad * factor).abs().max(), eps)
    best, *others = sorted(fits, key=lambda form: fits[form][0])
    off, a, b = fits[best]
    if off > 1.0:
        return Ask("other", up)
    if any(fits[form][0] < APART for form in others):
        return None
    target, rising = -a / b, b > 0
    if best == "linear" and abs(target) > FAR * max(1.0, float(score.abs().max())):
        return Ask("constant", up, highest=float((score if up else -score).max()))
    label = best == "linear" or -0.01 <= target <= 1.01
    saturating = best != "linear" and min(abs(target), abs(target - 1)) < 0.01
    return Ask(best, up, target, rising) if (label if rising else saturating) else Ask("other", up)


def _margin(highest: float, lowest: float) -> float:
    return MARGIN if highest <= MARGIN <= lowest else (highest + lowest) / 2


def _fit(feature: Tensor, output_grad: Tensor, eps: float) -> tuple[float, float, float]:
    """Of ``output_grad = a + b * feature``: how far the worst sample is off, in multiples of what rounding explains, and a and b."""
    x, y = feature.mean(), output_grad.mean()
    spread = (feature - x).square().sum()
    b = ((feature - x) * (output_grad - y)).sum() / spread.clamp_min(1e-300)
    a = y - b * x
    size = max(1.0, abs(float(a)), abs(float(b)) * float(feature.abs().max()))
    return float((output_grad - a - b * feature).abs().max()) / (EXACT * eps * size), float(a), float(b) or 1e-300
