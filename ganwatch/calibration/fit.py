"""Settings fitted to healthy runs: as sensitive as a rate of false alarms allows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ganwatch.calibration.rates import STEPS_PER_RATE, FalseAlarms, Proportion

CONFIDENCE = 0.95
"""Confidence of a guaranteed rate."""


@dataclass(frozen=True)
class Fit:
    """Fitted settings and their rate of false alarms.

    Parameters
    ----------
    positions : dict of str to int
        Position by code of the chosen setting, counted from the strictest one.
    alarms, steps : int
        False alarms of the chosen settings on the runs that they were fitted to, and the length of these runs.
    is_guaranteed : bool
        True if the requested rate holds with 95 % confidence, rather than for these runs alone.
    leave_one_out : FalseAlarms or None
        Alarms on each run by settings that were fitted to the other runs. They estimate the rate on further runs. None of a single run.
    """

    positions: dict[str, int]
    alarms: int
    steps: int
    is_guaranteed: bool
    leave_one_out: FalseAlarms | None

    @property
    def rate(self) -> float:
        """False alarms in 10,000 steps of the runs that it was fitted to."""
        return self.alarms / self.steps * STEPS_PER_RATE

    @property
    def rate_bound(self) -> float:
        """Upper bound of the rate at 95 % confidence."""
        return poisson_upper_bound(self.alarms) / self.steps * STEPS_PER_RATE


def poisson_upper_bound(count: int) -> float:
    """Return the largest mean for which a Poisson count this small is not improbable (Garwood, 1936; one-sided, 95 %).

    >>> round(poisson_upper_bound(0), 3), round(poisson_upper_bound(3), 3)
    (2.996, 7.754)
    """
    from scipy.special import gammaincinv

    return float(gammaincinv(count + 1, CONFIDENCE))


def steps_needed(rate: float) -> int:
    """Return the steps without a false alarm that are needed to guarantee a rate in 10,000 steps.

    >>> steps_needed(1.0)
    29958
    """
    return math.ceil(poisson_upper_bound(0) / rate * STEPS_PER_RATE)


def fit_settings(
    counts: Mapping[str, Sequence[Sequence[int]]], steps: Sequence[int], rate: float, *, default_position: int, capped: Collection[str] = ()
) -> Fit:
    """Choose the most sensitive settings whose false alarms, of all detectors together, stay within a rate.

    All detectors start at their strictest setting and become more sensitive in turns, one setting at a time. A detector stays where it
    is if its next setting would break the rate. The upper bound of the rate counts. If the runs are too short to guarantee the rate even
    without any alarm, no alarm is allowed, and no detector becomes more sensitive than its default.

    Parameters
    ----------
    counts : mapping of str to sequence of settings of sequence of runs of int
        False alarms by code, from the strictest setting to the most sensitive one.
    steps : sequence of int
        Length of each run; at least one step in all.
    rate : float > 0
        False alarms in 10,000 steps.
    default_position : int
        Position of the default among the settings of a detector that has more than one.
    capped : collection of str
        Codes of detectors that must not become more sensitive than their default.

    Examples
    --------
    >>> fit = fit_settings({"GW101": [[0, 0], [0, 1], [4, 3]]}, [50_000, 50_000], 1.0, default_position=1)
    >>> fit.positions, fit.alarms, fit.is_guaranteed, round(fit.rate_bound, 2)
    ({'GW101': 1}, 1, True, 0.47)
    """
    totals = {code: list(map(sum, settings)) for code, settings in counts.items()}
    positions, is_guaranteed = _choose(totals, rate * sum(steps) / STEPS_PER_RATE, default_position, capped)
    leave_one_out = None
    if len(steps) > 1:
        alarms = []
        for run, length in enumerate(steps):
            others = {
                code: [total - one[run] for total, one in zip(totals[code], settings, strict=True)] for code, settings in counts.items()
            }
            chosen, _ = _choose(others, rate * (sum(steps) - length) / STEPS_PER_RATE, default_position, capped)
            alarms.append(sum(counts[code][position][run] for code, position in chosen.items()))
        leave_one_out = FalseAlarms(sum(alarms), Proportion(sum(map(bool, alarms)), len(alarms)), sum(steps))
    total = sum(totals[code][position] for code, position in positions.items())
    return Fit(positions, total, sum(steps), is_guaranteed, leave_one_out)


def _choose(
    totals: Mapping[str, Sequence[int]], allowed: float, default_position: int, capped: Collection[str]
) -> tuple[dict[str, int], bool]:
    """Return the position of each detector, and True if the allowed mean number of alarms is guaranteed."""
    can_guarantee = poisson_upper_bound(0) <= allowed
    positions = dict.fromkeys(totals, 0)
    alarms = unavoidable = sum(settings[0] for settings in totals.values())
    for position in range(1, max(map(len, totals.values()), default=0)):
        for code, settings in totals.items():
            has_stopped = positions[code] < position - 1 or position >= len(settings)
            if has_stopped or (position > default_position and (not can_guarantee or code in capped)):
                continue
            after = alarms - settings[position - 1] + settings[position]
            if after <= unavoidable or (can_guarantee and poisson_upper_bound(after) <= allowed):
                positions[code], alarms = position, after
    return positions, poisson_upper_bound(alarms) <= allowed
