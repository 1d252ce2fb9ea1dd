"""The trade-off between delay and false alarms: every detector alone, at settings from its most sensitive to its strictest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ganwatch.calibration.judged import Judged, Variant
from ganwatch.calibration.rates import FalseAlarms, Found, failing, false_alarms, found_of
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import arguments_at, create_detectors


@dataclass(frozen=True)
class Setting:
    """A detector at one strictness, from -1 for the most sensitive through 0 as shipped to 1; 0 alone where it has nothing to tune."""

    cls: type[Detector]
    strictness: float
    arguments: dict[str, float]

    @property
    def variant(self) -> Variant:
        """The detector alone, made anew at each call."""
        return partial(create_detectors, [self.cls], {self.cls.code: self.arguments})


@dataclass(frozen=True)
class Row:
    """What a setting came to."""

    setting: Setting
    found: Found
    alarms: FalseAlarms


def settings_of(classes: Sequence[type[Detector]], each_way: int) -> list[Setting]:
    """Every detector as shipped, and with so many settings to each side of that; by code.

    >>> from ganwatch.detectors.bad_batch import BadBatch
    >>> from ganwatch.detectors.non_finite import NonFinite
    >>> [(one.cls.code, one.strictness) for one in settings_of([BadBatch, NonFinite], each_way=1)]
    [('GW303', 0.0), ('GW502', -1.0), ('GW502', 0.0), ('GW502', 1.0)]
    """
    return [
        Setting(cls, strictness, arguments_at(cls, strictness))
        for cls in sorted(classes, key=lambda cls: cls.code)
        for strictness in ([place / each_way for place in range(-each_way, each_way + 1)] if cls.tunable else [0.0])
    ]


def rows(settings: Sequence[Setting], judged: Sequence[tuple[Judged, ...]]) -> list[Row]:
    """One for each setting, over the runs that the detector could judge; each run is judged by the settings in their order."""
    heard = [[run[place] for run in judged if run[place].heard(one.cls)] for place, one in enumerate(settings)]
    return [_row(one, runs) for one, runs in zip(settings, heard, strict=True) if runs]


def _row(setting: Setting, judged: Sequence[Judged]) -> Row:
    code = setting.cls.code
    own = [one for one in judged if failing(one) and (not one.codes or code in one.codes)]
    return Row(setting, found_of(code, own), false_alarms(judged))
