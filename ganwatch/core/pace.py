"""Pace of the looks: rarer in quiet times, at once when the sentinel sees something. Detectors see only what was looked at."""

from __future__ import annotations

from collections.abc import Mapping

from ganwatch.core.sentinel import Sentinel
from ganwatch.core.statistics import Stateful

QUIET_FACTOR = 4
"""Cadence of paced probes in quiet times against the usual one."""
QUIET_AFTER = 200
"""Steps without a disturbance after which times are quiet."""
USUAL_UNTIL = 400
"""Step up to which looks keep the usual cadence, because a training that has just begun has no past."""
SPREAD = "fake_spread"
"""Series that the sentinel compares at each of its readings, with the losses since the latest one."""
MAX_GAP = 20
"""Most steps between two readings of it in quiet times."""
EXTRA_LOOKS = (2, 10, 15)
"""Steps from a disturbance to the extra looks. The first is the earliest that can still be planned, the same live and after a resume."""
EXTRA_EVERY = 100
"""Fewest steps from one series of extra looks to the next."""


class Pace(Stateful):
    """Decides from readings of past steps at which further steps probes look.

    Examples
    --------
    >>> pace = Pace()
    >>> for step in range(1, 700):
    ...     calm = {"loss/g": 1.0 + 0.1 * (step % 3)} | ({"fake_spread": 2.0} if step % 5 == 0 else {})
    ...     pace.update(step, calm, is_disturbed=False)
    >>> pace.is_quiet(400), pace.is_quiet(700), pace.is_look(702)
    (False, True, False)
    >>> pace.update(700, {"loss/g": 9.0, "fake_spread": 2.0}, is_disturbed=False)
    >>> pace.is_quiet(702), pace.is_look(702)
    (False, True)
    """

    def __init__(self) -> None:
        self._sentinel = Sentinel(("loss/g", "loss/d", SPREAD, "fake_shift"))
        self._disturbed = self._latest = 0
        """Steps of the latest disturbance and of the latest reading of the spread."""
        self._looks: list[int] = []

    def update(self, step: int, values: Mapping[str, float], *, is_disturbed: bool) -> None:
        """Take the readings of a step; ``is_disturbed`` says that something else than the sentinel asks for the usual cadence."""
        if SPREAD not in values:
            self._sentinel.add(values)
            return
        has_left = self._sentinel.compare(step, values)
        if has_left and (not self._looks or step >= self._looks[0] + EXTRA_EVERY):
            self._looks = [step + ahead for ahead in EXTRA_LOOKS]
        if has_left or is_disturbed or step - self._latest > MAX_GAP:
            self._disturbed = step
        self._latest = step

    def is_quiet(self, step: int) -> bool:
        """Return True if paced probes look rarely at this step, which is still to come."""
        return self._latest > 0 and step > USUAL_UNTIL and step - self._disturbed >= QUIET_AFTER and step - self._latest <= MAX_GAP

    def is_look(self, step: int) -> bool:
        """Return True if paced probes look at this step in addition to their cadence."""
        return step in self._looks
