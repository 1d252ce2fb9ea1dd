"""A contest of the two networks that the generator has lost, by the losses, the scores and the gradient norm alone."""

from __future__ import annotations

from ganwatch.core.detector import DetectorResult, NotApplicable, Verdict
from ganwatch.core.own_past import OwnPast
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Stateful

INPUTS = ("loss/d", "loss/g", "d_output/real", "d_output/fake", "grad_norm/g")
HIGH = 0.9
"""Share of the past losses of G that a loss which has grown lies above."""
NEEDS = "needs distances of fakes to reals, or D's mean outputs and G's gradient norm: D's loss was negative, so its ratios mean nothing"
MAX_GRADIENT_RATIO = 0.5
"""Gradient norm of G against its past below which it has fallen; at least 0.61 in healthy runs of the tuning part of the corpus."""


class LostContest(Stateful):
    """The discriminator's win by what other tools record, against the run's own past.

    Two signs have to hold together over a window. D is far ahead of its past: its loss is a small part of what it was, or its lead, the
    difference of its mean outputs, is a multiple, on the same side. And G pays: three in four of its losses are above nearly all of the
    past, or its gradient norm has fallen. Where D's loss was ever negative, as a Wasserstein critic's is, no loss counts, since its ratios
    mean nothing.

    Parameters
    ----------
    max_loss_ratio : float, ratio
        Loss of D against its past below which D is far ahead.
    min_lead_ratio : float, ratio
        Lead of D against its past above which D is far ahead.
    window : int, steps
        Length of the evidence; the past has to be as long.
    """

    def __init__(self, *, max_loss_ratio: float, min_lead_ratio: float, window: int) -> None:
        self.max_loss_ratio, self.min_lead_ratio, self.window = max_loss_ratio, min_lead_ratio, window
        self._d_loss, self._g_loss, self._lead, self._gradient = (OwnPast(window) for _ in range(4))
        self._is_negative = False
        """True once D's loss was negative."""
        self._since: int | None = None

    def update(self, readings: Readings) -> DetectorResult:
        """Take the readings of a step and judge."""
        d_loss, g_loss, real, fake, gradient = readings.select(INPUTS)
        self._is_negative |= is_finite(d_loss) and d_loss < 0.0
        is_ahead = self._is_ahead
        for past, value in ((self._d_loss, d_loss), (self._g_loss, g_loss), (self._gradient, gradient)):
            past.update(readings.step, value, is_failing=is_ahead)
        if real is not None and fake is not None:
            self._lead.update(readings.step, real - fake, is_failing=is_ahead)
        if self._is_negative and not (len(self._lead.now) and len(self._gradient.now)):
            return NotApplicable(NEEDS)
        if not (self._is_ahead and self._generator_pays):
            self._since = None
            return None
        self._since = self._since or max(1, readings.step - self.window + 1)
        return self._describe(self._since)

    @property
    def is_ready(self) -> bool:
        """True if there is a past to judge by."""
        has_losses = not self._is_negative and self._d_loss.is_ready and self._g_loss.is_ready
        return has_losses or (self._lead.is_ready and self._gradient.is_ready)

    @property
    def _loss_is_low(self) -> bool:
        return not self._is_negative and self._d_loss.has_fallen_below(self.max_loss_ratio)

    @property
    def _is_ahead(self) -> bool:
        return self._loss_is_low or self._lead.has_grown_above(self.min_lead_ratio)

    @property
    def _generator_pays(self) -> bool:
        loss = self._g_loss
        has_grown = not self._is_negative and loss.is_ready and loss.now.quantile(0.25) > loss.quantile(HIGH)
        return has_grown or self._gradient.has_fallen_below(MAX_GRADIENT_RATIO)

    def _describe(self, onset: int) -> Verdict:
        """Return the verdict, with the words on all that was measured."""
        pairs = (("D's loss", self._d_loss), ("G's loss", self._g_loss), ("D's lead", self._lead), ("G's gradient norm", self._gradient))
        went = ", ".join(f"{name} went from {past.median:.2g} to {past.now.median:.2g}" for name, past in pairs if past.is_ready)
        signal, threshold, value = (
            ("loss/d", self.max_loss_ratio * self._d_loss.median, self._d_loss.now.quantile(0.9))
            if self._loss_is_low
            else ("d_output/real", self.min_lead_ratio * self._lead.median, self._lead.least)
        )
        return Verdict(
            value=value,
            threshold=threshold,
            signal=signal,
            window=self.window,
            origin="the run's own past; distances of fakes to reals were not measured",
            explanation=f"{went}, over {self.window} steps. Judged without distances of fakes to reals.",
            onset=onset,
        )
