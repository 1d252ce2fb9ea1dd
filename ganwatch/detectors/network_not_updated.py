"""A network is not updated, while the other one is or while its own optimizer steps.

How it is detected
    Facts, without a threshold on any measured value. A network's optimizer steps 20 times in a row and updates nothing, because no tensor
    has a gradient or because a scaler skips the updates. Or all gradients are exactly zero from some step on, and the network's loss no
    longer passes through the discriminator's output. Or no optimizer that steps holds any of the network's tensors, though they have
    gradients. Or a network that was updated before is no longer stepped for 100 updates of the other one, five times as long as ever
    before, and falls behind in what the discriminator ranks right.

Why it matters
    One of the players stands still. The other one wins or wanders off, and everything that is measured afterwards is a symptom.

Likely causes
    A network that is frozen and not thawed; fakes that are detached in the generator's phase; an optimizer that holds the other
    network's parameters, or those of a network that was replaced; a scaler whose gradients overflow at every step; a condition that
    leaves out the network's phase.

What to do
    Compare ``sum(p.requires_grad for p in network.parameters())`` and the tensors in the optimizer's ``param_groups`` with those of the
    network. Do not detach fakes in the generator's phase. Where a scaler skips, look for the operation that overflows.

Blind spots
    A network that no optimizer ever steps and that gets no gradient may be meant to start later, and is left alone; so is a
    discriminator whose loss is multiplied by zero from the start. Updates without an optimizer are not counted.

Calibration
    It needs none, as it reports facts. `python tests/wiring/main.py` trains its faults and their look-alikes.

References
    Goodfellow et al., 2014, arXiv:1406.2661 (the two players take turns). Micikevicius et al., 2018, arXiv:1710.03740 (skipped updates).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Stateful, Window

FAMILIES = (
    "updates_attempted", "updates_performed", "updates_skipped", "zero_gradient", "output_gradient",
    "tensors", "tensors_trainable", "tensors_held", "tensors_with_gradient",
)  # fmt: skip

LEAD_INPUTS = "d_auc", "d_output/real", "d_output/fake"

RECENT_STEPS = 100
"""Steps before a network was left out over which D's usual share of pairs ranked right is taken, and its usual scores."""
MAX_AGE = 60
"""Steps for which a share of pairs ranked right is known."""
MIN_LEAD = 0.05
"""Share of pairs ranked right, above the usual one, from which a loop may be waiting for the other network to catch up."""


class _Lead(Stateful):
    """Scores that show if a loop that leaves out one network may be waiting for the other one to catch up."""

    def __init__(self, role: str) -> None:
        self.role = role
        self._usual_auc, self._usual_real, self._usual_fake = Window(RECENT_STEPS), Window(RECENT_STEPS), Window(RECENT_STEPS)
        """Shares of pairs that D ranks right, and its mean scores, while the network is stepped."""
        self._auc, self._auc_step = 0.0, 0
        """Latest share since the network was stepped last, and its step; 0 if there is none."""
        self._fake: float | None = None
        """Latest mean score of fakes since then."""

    def update(self, readings: Readings, *, is_stepped: bool) -> None:
        """Add the readings of one step."""
        auc, real, fake = readings.select(LEAD_INPUTS)
        if is_stepped:
            self._auc_step, self._fake = 0, None
            if auc is None and real is None and fake is None:
                return
            for window, value in ((self._usual_auc, auc), (self._usual_real, real), (self._usual_fake, fake)):
                if is_finite(value):
                    window.add(readings.step, value)
            return
        if is_finite(auc):
            self._auc, self._auc_step = auc, readings.step
        if is_finite(fake):
            self._fake = fake

    def is_clear(self, step: int) -> bool:
        """Return True if D ranks clearly better than usual while it is left out, or clearly worse while G is.

        Where a loop scores no reals any more, D has kept its lead until the score of fakes is half way to that of reals.
        """
        if self._auc_step and step - self._auc_step <= MAX_AGE and len(self._usual_auc):
            better = self._auc - self._usual_auc.median
            return (better if self.role == "d" else -better) >= MIN_LEAD
        if self.role == "g" or self._fake is None or not len(self._usual_real) or not len(self._usual_fake):
            return False
        real, fake = self._usual_real.median, self._usual_fake.median
        return abs(self._fake - fake) < abs(real - fake) / 2.0


class _Network(Stateful):
    """Record of one network's updates."""

    def __init__(self, role: str, other: str) -> None:
        self.role, self.other, self.name = role, other, role.upper()
        self.inputs = (*(f"{family}/{role}" for family in FAMILIES), f"updates_performed/{other}", f"output_gradient/{other}")
        self._in_vain = self._skipped = self._zero_looks = 0
        """Attempted updates in a row that did nothing, those that a scaler skipped, and looks at gradients that were all zero."""
        self._since = self._zero_since = 1
        """First step of these attempts, and of these looks."""
        self._first_attempt = self._first_update = 0
        self._gap = self._longest_gap = 0
        """Updates of the other network since this one was stepped, and the most there have been."""
        self._gap_since = 1
        self._had_gradient = False
        self._is_cut = False
        """True if the network's loss had no gradient at D's output at one of these looks, where the other network's had one."""
        self._tensors = [0.0, 0.0, 0.0, 0.0]
        self._idle_looks = 0
        """Looks in a row at which the network had gradients, and no optimizer held it."""
        self._lead = _Lead(role)

    def update(self, readings: Readings) -> None:
        """Add the readings of one step."""
        step = readings.step
        values = [one if is_finite(one) else None for one in readings.select(self.inputs)]
        attempted, performed, skipped, zero, at_output, *tensors, by_other, at_output_of_other = values
        if attempted is not None:
            self._add_attempts(step, attempted, performed or 0.0, skipped or 0.0, by_other or 0.0)
        if zero is not None:
            self._add_look(step, is_zero=zero == 1.0, is_cut=at_output is None and at_output_of_other is not None)
        self._lead.update(readings, is_stepped=not self._gap)
        if None not in tensors:
            self._tensors = [count or 0.0 for count in tensors]
            _, _, held, with_gradient = self._tensors
            self._idle_looks = self._idle_looks + 1 if with_gradient and not held and not self._first_attempt else 0

    def _add_attempts(self, step: int, attempted: float, performed: float, skipped: float, by_other: float) -> None:
        if attempted:
            self._longest_gap = max(self._longest_gap, self._gap)
            self._gap = 0
            self._first_attempt = self._first_attempt or step
        elif self._first_update:
            self._gap_since = self._gap_since if self._gap else step
            self._gap += int(by_other)
        if performed:
            self._in_vain = self._skipped = 0
            self._first_update = self._first_update or step
        elif attempted:
            if not self._in_vain:
                self._since = step
            self._in_vain += int(attempted)
            self._skipped += int(skipped)

    def _add_look(self, step: int, *, is_zero: bool, is_cut: bool) -> None:
        self._had_gradient = self._had_gradient or not is_zero
        self._is_cut = is_zero and (is_cut or self._is_cut)
        if not is_zero:
            self._zero_looks = 0
        elif self._had_gradient:
            self._zero_since = self._zero_since if self._zero_looks else step
            self._zero_looks += 1

    def find_fault(self, step: int, *, attempts: int, gap: int, other_gap: int) -> Verdict | None:
        """Return the first fact that shows that the network is not updated."""
        total, trainable, _, _ = self._tensors
        name = self.name
        if self._in_vain >= attempts:
            why = "none of its tensors had a gradient"
            if 2 * self._skipped >= self._in_vain:
                why = "a scaler skipped them, as gradients were not finite"
            elif total and not trainable:
                why = f"none of its {total:.0f} tensors requires a gradient"
            text = f"{self._in_vain:,} updates of {name} in a row did nothing: {why}."
            return self._verdict(step, ("updates_performed", 0.0, 1.0), self._since, text)
        if self._zero_looks >= 2 and self._is_cut:
            text = f"All gradients of {name} are exactly zero since step {self._zero_since}: its loss does not reach it any more."
            return self._verdict(step, ("zero_gradient", 1.0, 1.0), self._zero_since, text)
        if self._idle_looks >= 2:
            text = f"No optimizer that steps holds any of {name}'s {total:.0f} tensors, though they have gradients."
            return self._verdict(step, ("tensors_held", 0.0, 1.0), 1, text)
        if self._gap >= max(gap, 5 * max(self._longest_gap, other_gap)) and not self._lead.is_clear(step):
            text = f"{name} was not stepped during the last {self._gap:,} updates of {self.other.upper()}, and was before."
            return self._verdict(step, ("updates_attempted", 0.0, 1.0), self._gap_since, text)
        return None

    @property
    def longest_gap(self) -> int:
        """Most updates of the other network between two of this one."""
        return self._longest_gap

    def _verdict(self, step: int, evidence: tuple[str, float, float], since: int, explanation: str) -> Verdict:
        signal, value, threshold = evidence
        window = max(1, step - since + 1)
        return Verdict(value, threshold, f"{signal}/{self.role}", window, "a fact of the loop", explanation, onset=since)


class NetworkNotUpdated(Detector):
    """Fire when a network's updates do nothing, or no longer come.

    Parameters
    ----------
    attempts : int, updates
        Attempted updates in a row that must do nothing.
    gap : int, updates
        Updates of the other network for which one must not be stepped that was before.

    Examples
    --------
    >>> readings, onset = NetworkNotUpdated.demo(seed=0)
    >>> detector = NetworkNotUpdated()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 20
    True
    """

    code = "GW001"
    title = "network not updated"
    severity = Severity.PAGE
    kind = FailureKind.WIRING
    inputs = (*(f"{family}/{role}" for role in ("g", "d") for family in FAMILIES), *LEAD_INPUTS)
    required = (("updates_attempted/g", "updates_performed/g"),)
    is_optional = True
    causal_priority = 1
    resolve_after = 20

    def __init__(self, *, attempts: int = 20, gap: int = 100) -> None:
        self.attempts, self.gap = attempts, gap
        self._networks = {"g": _Network("g", "d"), "d": _Network("d", "g")}

    def update(self, readings: Readings) -> DetectorResult:
        networks = self._networks
        for network in networks.values():
            network.update(readings)
        faults = (
            network.find_fault(readings.step, attempts=self.attempts, gap=self.gap, other_gap=networks[network.other].longest_gap)
            for network in networks.values()
        )
        return next((fault for fault in faults if fault is not None), None)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a discriminator that is no longer updated though its optimizer steps. Return the readings and the onset."""
        before = {f"updates_{how}/{role}": 1.0 for how in ("attempted", "performed") for role in ("g", "d")}
        before |= {"updates_skipped/g": 0.0, "updates_skipped/d": 0.0}
        return cls.simulate(seed, onset=300, before=before, after={"updates_performed/d": 0.0}, noise=0.0), 300
