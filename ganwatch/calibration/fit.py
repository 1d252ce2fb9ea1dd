"""Thresholds fitted to healthy runs: as sensitive as a rate of false alarms allows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ganwatch.calibration.rates import PER, FalseAlarms, Share

CONFIDENCE = 0.95
"""With which a rate is promised."""


@dataclass(frozen=True)
class Fit:
    """Where each detector came to stand.

    Parameters
    ----------
    places : dict of str to int
        By code, how many settings it was moved from its strictest one.
    alarms, steps : int
        On the runs that it was fitted to.
    promised : bool
        Whether the rate that was asked for holds with 95 % confidence, rather than for these runs alone.
    left_out : FalseAlarms or None
        Alarms on each run by settings that were fitted to the other ones, None of a single run: what further runs are to expect.
    """

    places: dict[str, int]
    alarms: int
    steps: int
    promised: bool
    left_out: FalseAlarms | None

    @property
    def rate(self) -> float:
        """In 10,000 steps of the runs that it was fitted to."""
        return self.alarms / self.steps * PER

    @property
    def bound(self) -> float:
        """Which the rate does not exceed with 95 % confidence."""
        return bound(self.alarms) / self.steps * PER


def bound(count: int) -> float:
    """The largest mean of a Poisson count of which this one is not improbably few (Garwood, 1936; one-sided, 95 %).

    >>> round(bound(0), 3), round(bound(3), 3)
    (2.996, 7.754)
    """
    from scipy.special import gammaincinv

    return float(gammaincinv(count + 1, CONFIDENCE))


def needed(rate: float) -> int:
    """Steps without a false alarm that it takes to promise a rate in 10,000.

    >>> needed(1.0)
    29958
    """
    return math.ceil(bound(0) / rate * PER)


def fit(
    counts: Mapping[str, Sequence[Sequence[int]]], steps: Sequence[int], rate: float, *, shipped: int, held: Collection[str] = ()
) -> Fit:
    """The most sensitive settings whose false alarms, all detectors together, stay within a rate.

    All start at their strictest and become more sensitive in turns, one setting at a time; one whose next setting would break the rate
    stays where it is. What counts is the upper bound of the rate. Where the runs are too short to promise the rate even without any
    alarm, none is allowed, and no detector becomes more sensitive than it is shipped.

    Parameters
    ----------
    counts : mapping of str to sequence of settings of sequence of runs of int
        False alarms by code, from the strictest setting to the most sensitive one.
    steps : sequence of int
        Watched, by run; at least one in all.
    rate : float > 0
        False alarms in 10,000 steps.
    shipped : int
        Place of the setting as shipped among those of a detector that has more than one.
    held : collection of str
        Codes of detectors that must not become more sensitive than they are shipped.

    Examples
    --------
    >>> fitted = fit({"GW101": [[0, 0], [0, 1], [4, 3]]}, [50_000, 50_000], 1.0, shipped=1)
    >>> fitted.places, fitted.alarms, fitted.promised, round(fitted.bound, 2)
    ({'GW101': 1}, 1, True, 0.47)
    """
    totals = {code: list(map(sum, settings)) for code, settings in counts.items()}
    places, promised = _places(totals, rate * sum(steps) / PER, shipped, held)
    left_out = None
    if len(steps) > 1:
        alarms = []
        for run, watched in enumerate(steps):
            others = {
                code: [total - one[run] for total, one in zip(totals[code], settings, strict=True)] for code, settings in counts.items()
            }
            chosen, _ = _places(others, rate * (sum(steps) - watched) / PER, shipped, held)
            alarms.append(sum(counts[code][place][run] for code, place in chosen.items()))
        left_out = FalseAlarms(sum(alarms), Share(sum(map(bool, alarms)), len(alarms)), sum(steps))
    return Fit(places, sum(totals[code][place] for code, place in places.items()), sum(steps), promised, left_out)


def _places(totals: Mapping[str, Sequence[int]], allowed: float, shipped: int, held: Collection[str]) -> tuple[dict[str, int], bool]:
    promising = bound(0) <= allowed
    places = dict.fromkeys(totals, 0)
    alarms = unavoidable = sum(settings[0] for settings in totals.values())
    for place in range(1, max(map(len, totals.values()), default=0)):
        for code, settings in totals.items():
            stopped = places[code] < place - 1 or place >= len(settings)
            if stopped or (place > shipped and (not promising or code in held)):
                continue
            after = alarms - settings[place - 1] + settings[place]
            if after <= unavoidable or (promising and bound(after) <= allowed):
                places[code], alarms = place, after
    return places, bound(alarms) <= allowed
