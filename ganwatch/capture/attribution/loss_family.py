"""Infers the loss that a discriminator is trained with, from the gradients of its outputs.

Every usual loss gives each output ``s`` a gradient ``w = a + b φ(s)`` of a form of its own, whatever the loss is weighted with:

====================================  ==============================================================
binary cross-entropy, softplus        φ is the sigmoid, zero at the label; saturating where b < 0
binary cross-entropy on probabilities ``w s (1 - s)`` is linear in ``s``, which lies in (0, 1)
least squares                         φ is ``s`` itself, zero at the target
hinge                                 constant up to a margin, 0 beyond it
Wasserstein                           constant
====================================  ==============================================================

A form is accepted if it fits to rounding errors and the others do not fit. With a relativistic loss the gradient of an output depends on
other outputs too. It fits none of the forms, or one whose target changes, unless the mean output of the other origin is subtracted first.
If labels are random or outputs few, the operations between the score and the loss may give the family (``loss_graph.py``); otherwise it
stays unknown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ganwatch.capture.step import Call, sum_per_sample

MAX_ROUNDING_ERRORS = 6.0
"""Largest deviation from a form that fits, in rounding errors of the output's type."""
MIN_DEVIATION_RATIO = 2.0
"""Smallest deviation of every other form, relative to one that fits."""
MIN_OUTPUTS = 4
"""Fewest different outputs to which a form is fitted."""
MAX_OUTPUTS = 1024
"""Outputs of a call that are kept as evidence."""
MAX_TARGET_RATIO = 20.0
"""Largest target, relative to the outputs; beyond it the loss is Wasserstein with a small penalty on the output."""
MAX_TARGET_CHANGE = 0.005
"""Largest relative difference between the targets of two steps that count as equal."""
USUAL_MARGIN = 1.0
"""The usual margin of a hinge loss."""

Form = Literal["logistic", "reciprocal", "linear", "step", "constant", "flat", "other"]

CROSS_ENTROPIES: dict[Form, str] = {
    "logistic": "binary cross-entropy on logits (softplus)",
    "reciprocal": "binary cross-entropy on probabilities (D ends in a sigmoid)",
}


@dataclass(frozen=True, slots=True)
class GradientFit:
    """Form of a loss's gradient as a function of the outputs of one call."""

    form: Form
    raises_outputs: bool
    """True if a descent step raises the outputs."""
    target: float = math.nan
    """Output at which the gradient is zero: the label, the least-squares target or the margin."""
    is_increasing: bool = True
    """True if the gradient increases with the output, as that of every convex loss does."""
    highest: float = math.nan
    """Highest output, in the direction of descent, that still has a gradient."""
    lowest_without: float = math.inf
    """Lowest output, in that direction, that has none any more: the margin lies between the two."""

    @property
    def goal(self) -> float:
        """Output that the loss aims at: the target, or a side of 0."""
        is_label = self.form in CROSS_ENTROPIES
        return self.target - 0.5 if is_label else self.target if self.form == "linear" else 1.0 if self.raises_outputs else -1.0


@dataclass(frozen=True, slots=True)
class LossFamily:
    """Family and details of a loss.

    Parameters
    ----------
    name : str
        ``unknown`` if nothing fits, or several families do.
    details : tuple of str
        Targets, margin, saturating or not, polarity.
    """

    name: str = "unknown"
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join((self.name, *self.details))


def select_evidence(calls: Iterable[Call]) -> list[Call]:
    """Return copies of the discriminator's calls with an output gradient, reduced to what inference needs, without waiting for a device."""
    evidence = []
    for call in calls:
        if call.output_grad is not None and isinstance(call.output, Tensor) and call.output_grad.shape == call.output.shape:
            n = max(1, len(call.output_grad) * MAX_OUTPUTS // max(MAX_OUTPUTS, call.output_grad.numel()))
            evidence.append(replace(call, inputs=(), output=call.output[:n].clone(), output_grad=call.output_grad[:n].clone()))
    return evidence


def infer_loss_family(steps: Sequence[Sequence[Call]]) -> LossFamily:
    """Return the family of the loss by the discriminator's calls at one or several sampled steps.

    Examples
    --------
    >>> score = torch.linspace(-2.0, 2.0, 8)
    >>> def call(origin, output_grad):
    ...     return Call("d", (), score, origin, True, 1, output_grad=output_grad)
    >>> print(infer_loss_family(2 * [[call("real", score - 1.0), call("fake", score)]]))
    least squares, targets: real 1, fake 0
    """
    for infer in (_infer_from_gradients, _infer_relativistic_average, _infer_from_operations):
        family = infer(steps)
        if family.name != "unknown":
            return family
    return LossFamily()


def _infer_relativistic_average(steps: Sequence[Sequence[Call]]) -> LossFamily:
    """Return the family of a loss of scores less the mean score of the other origin (Jolicoeur-Martineau, 2018, arXiv:1807.00734)."""
    shifted = [_subtract_other_mean([call for call in calls if not call.in_g_phase]) for calls in steps]
    if not all(shifted):
        return LossFamily()
    family = _infer_from_gradients(shifted)
    return family if family.name == "unknown" else LossFamily(f"relativistic average, {family.name}", family.details)


def _subtract_other_mean(calls: Sequence[Call]) -> list[Call]:
    """Return the calls with outputs less the mean output of the other origin; empty unless there is one call of each."""
    by_origin = {call.origin: call for call in calls}
    if set(by_origin) != {"real", "fake"} or len(calls) != len(by_origin):
        return []
    real, fake = by_origin["real"], by_origin["fake"]
    pairs = ((real, fake), (fake, real))
    return [replace(one, output=one.output - other.output.mean(), is_reassigned=False) for one, other in pairs]


def _infer_from_operations(steps: Sequence[Sequence[Call]]) -> LossFamily:
    """Return the family by the operations between scores and loss, if it is the same for all calls of D's phase."""
    families = {call.family for calls in steps for call in calls if not call.in_g_phase or call.is_reassigned}
    [family] = families if len(families) == 1 else [None]
    return LossFamily() if family is None else LossFamily(family)


def _infer_from_gradients(steps: Sequence[Sequence[Call]]) -> LossFamily:
    fits = [(call, fit) for calls in steps for call in calls if (fit := fit_gradient(call)) is not None]
    d = _select_d_phase(fits)
    g = [fit for call, fit in fits if call.in_g_phase and call.origin != "real"]
    forms = {fit.form for _, fit in d}
    if _is_inconsistent(d):
        return LossFamily()
    if forms == {"linear"} and len(steps) == 1:  # a relativistic loss has targets like any other in a single step
        return LossFamily()
    return _name_family(forms, d, g)


def _is_inconsistent(d: Sequence[tuple[str, GradientFit]]) -> bool:
    return any(fit.form == "other" for _, fit in d) or _has_changing_target(d) or _has_changing_margin(d)


def _name_family(forms: set[Form], d: Sequence[tuple[str, GradientFit]], g: Sequence[GradientFit]) -> LossFamily:
    [form] = forms if len(forms) == 1 else ["other"]
    if form in CROSS_ENTROPIES:
        return LossFamily(CROSS_ENTROPIES[form], (*_describe_g_phase(g), *_describe_polarity(d)))
    return _least_squares(d, g) if form == "linear" else _hinge_or_wasserstein(forms, d)


def _select_d_phase(fits: Sequence[tuple[Call, GradientFit]]) -> list[tuple[str, GradientFit]]:
    """Return origin and fit of the calls of D's phase, without reassigned ones if there are others: they may have G's gradient in them."""
    d_phase = [(call, fit) for call, fit in fits if not call.in_g_phase]
    certain = [(call, fit) for call, fit in d_phase if not call.is_reassigned]
    return [(call.origin, fit) for call, fit in certain or d_phase]


def _least_squares(d: Sequence[tuple[str, GradientFit]], g: Sequence[GradientFit]) -> LossFamily:
    fits = [*d, *(("G", fit) for fit in g if fit.form == "linear")]
    targets = {name: f"{name} {round(fit.target, 3) + 0.0:.3g}" for name, fit in fits if name != "unknown"}
    return LossFamily("least squares", (*(["targets: " + ", ".join(targets.values())] if targets else []), *_describe_polarity(d)))


def _hinge_or_wasserstein(forms: set[Form], d: Sequence[tuple[str, GradientFit]]) -> LossFamily:
    exceeds_margin = any(fit.highest > USUAL_MARGIN for _, fit in d if fit.form == "constant")
    if forms == {"constant"}:
        name = "Wasserstein" if exceeds_margin else "hinge or Wasserstein (no output beyond a margin yet)"
        return LossFamily(name, _describe_polarity(d))
    if "step" in forms and forms <= {"step", "flat", "constant"} and not exceeds_margin:
        margin = next(fit.target for _, fit in d if fit.form == "step")
        return LossFamily("hinge", (f"margin {margin:.3g}", *_describe_polarity(d)))
    return LossFamily()


def _describe_polarity(fits: Sequence[tuple[str, GradientFit]]) -> tuple[str, ...]:
    """Return a detail if reals are to be low and fakes high."""
    real, fake = ([fit.goal for origin, fit in fits if origin == wanted and fit.form != "flat"] for wanted in ("real", "fake"))
    if real and fake:
        is_inverted = max(real) < min(fake)
    else:
        is_inverted = bool(real or fake) and fits[0][1].form != "linear" and (max(real) < 0 if real else min(fake) > 0)
    return ("inverted: real is the low side",) if is_inverted else ()


def _describe_g_phase(fits: Sequence[GradientFit]) -> tuple[str, ...]:
    is_increasing = {fit.is_increasing for fit in fits if fit.form in CROSS_ENTROPIES}
    if len(is_increasing) != 1:
        return ()
    return ("G's non-saturating",) if is_increasing == {True} else ("G's saturating (minimax)",)


def _has_changing_target(fits: Sequence[tuple[str, GradientFit]]) -> bool:
    """Return True if least-squares targets of one origin differ between steps, as those of a relativistic loss do."""
    linear = [(origin, fit) for origin, fit in fits if origin != "unknown" and fit.form == "linear"]
    for wanted in {origin for origin, _ in linear}:
        targets = [fit.target for origin, fit in linear if origin == wanted]
        if max(targets) - min(targets) > MAX_TARGET_CHANGE * max(1.0, *map(abs, targets)):
            return True
    return False


def _has_changing_margin(fits: Sequence[tuple[str, GradientFit]]) -> bool:
    """Return True if no margin suits all steps, as with scores that are compared with the mean of others."""
    highest, lowest = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for origin, fit in fits:
        if fit.form in {"step", "constant"}:
            highest[origin].append(fit.highest)
            lowest[origin].append(fit.lowest_without)
    return any(max(highest[origin]) > min(lowest[origin]) for origin in highest)


def fit_gradient(call: Call) -> GradientFit | None:
    """Return the form of the gradient of a call's outputs, or of each sample's mean for a patch map; None without enough evidence."""
    assert call.output_grad is not None
    eps = torch.finfo(call.output.dtype).eps
    score, output_grad = call.output.cpu().double(), call.output_grad.cpu().double()
    fit = _fit(score.flatten(), output_grad.flatten(), eps)
    if fit is not None and fit.form == "other" and score[0].numel() > 1:
        return _fit(score.flatten(1).mean(1), sum_per_sample(output_grad).double(), eps)
    return fit


def _fit(score: Tensor, output_grad: Tensor, eps: float) -> GradientFit | None:
    """Return the form of the gradient of scores, shape (N,), float64."""
    if not (torch.isfinite(score).all() and torch.isfinite(output_grad).all()) or len(set(score.tolist())) < MIN_OUTPUTS:
        return None
    output_grad = output_grad / output_grad.abs().max().clamp_min(1e-300)
    nonzero = output_grad[output_grad != 0]
    if not len(nonzero):
        return GradientFit("flat", raises_outputs=True)
    is_constant = float((nonzero - nonzero.mean()).abs().max()) <= MAX_ROUNDING_ERRORS * eps
    return _fit_constant(score, output_grad, eps) if is_constant else _fit_curve(score, output_grad, eps)


def _fit_constant(score: Tensor, output_grad: Tensor, eps: float) -> GradientFit | None:
    """Return the form of a gradient that is the same wherever it is not 0."""
    raises, is_nonzero = bool(output_grad.sum() < 0), output_grad != 0
    along_descent = score if raises else -score
    highest = float(along_descent[is_nonzero].max())
    if not is_nonzero.all():
        lowest = float(along_descent[~is_nonzero].min())
        if highest > lowest:
            return GradientFit("other", raises)
        return GradientFit("step", raises, _margin(highest, lowest), highest=highest, lowest_without=lowest)
    # scores must differ enough to show a gradient that changes with them
    has_range = float(score.max() - score.min()) > MAX_TARGET_RATIO * MIN_DEVIATION_RATIO * MAX_ROUNDING_ERRORS * eps
    return GradientFit("constant", raises, highest=highest) if has_range else None


def _fit_curve(score: Tensor, output_grad: Tensor, eps: float) -> GradientFit | None:
    """Return the form of a gradient that changes with the score."""
    raises = bool(output_grad.sum() < 0)
    fits: dict[Form, tuple[float, float, float]] = {
        "linear": _fit_line(score, output_grad, eps),
        "logistic": _fit_line(torch.sigmoid(score), output_grad, eps),
    }
    if bool(((score > 0) & (score < 1)).all()):
        factor = score * (1 - score)
        fits["reciprocal"] = _fit_line(score, output_grad * factor / (output_grad * factor).abs().max(), eps)
    best, *others = sorted(fits, key=lambda form: fits[form][0])
    deviation, a, b = fits[best]
    if deviation > 1.0:
        return GradientFit("other", raises)
    if any(fits[form][0] < MIN_DEVIATION_RATIO for form in others):
        return None
    target, is_increasing = -a / b, b > 0
    if best == "linear" and abs(target) > MAX_TARGET_RATIO * max(1.0, float(score.abs().max())):
        return GradientFit("constant", raises, highest=float((score if raises else -score).max()))
    is_label = best == "linear" or -0.01 <= target <= 1.01
    is_saturating = best != "linear" and min(abs(target), abs(target - 1)) < 0.01
    is_plausible = is_label if is_increasing else is_saturating
    return GradientFit(best, raises, target, is_increasing) if is_plausible else GradientFit("other", raises)


def _margin(highest: float, lowest: float) -> float:
    """Margin between the highest output with a gradient and the lowest one without."""
    return USUAL_MARGIN if highest <= USUAL_MARGIN <= lowest else (highest + lowest) / 2


def _fit_line(feature: Tensor, output_grad: Tensor, eps: float) -> tuple[float, float, float]:
    """Fit ``output_grad = a + b * feature``; return the largest deviation, in multiples of what rounding explains, and a and b."""
    x, y = feature.mean(), output_grad.mean()
    spread = (feature - x).square().sum()
    b = ((feature - x) * (output_grad - y)).sum() / spread.clamp_min(1e-300)
    a = y - b * x
    size = max(1.0, abs(float(a)), abs(float(b)) * float(feature.abs().max()))
    return float((output_grad - a - b * feature).abs().max()) / (MAX_ROUNDING_ERRORS * eps * size), float(a), float(b) or 1e-300
