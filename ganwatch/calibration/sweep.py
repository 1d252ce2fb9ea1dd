"""Sweep of the trade-off between delay and false alarms: every detector alone, from its most sensitive to its strictest setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ganwatch.calibration.rates import DetectionRates, FalseAlarms, count_false_alarms, detection_rates, is_failing
from ganwatch.calibration.replayed_runs import DetectorFactory, ReplayedRun
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import arguments_at, create_detectors
from ganwatch.core.names import name_failure


@dataclass(frozen=True)
class DetectorSetting:
    """A detector at one strictness: -1 is its most sensitive setting, 0 its default, 1 its strictest."""

    cls: type[Detector]
    strictness: float
    arguments: dict[str, float]

    @property
    def name(self) -> str:
        """Name of the failure that the detector finds."""
        return name_failure(self.cls.title, self.cls.code)

    @property
    def factory(self) -> DetectorFactory:
        """Function that creates the detector with this setting."""
        return partial(create_detectors, [self.cls], {self.cls.code: self.arguments})


@dataclass(frozen=True)
class SweepRow:
    """Detections and false alarms of one setting."""

    setting: DetectorSetting
    detections: DetectionRates
    false_alarms: FalseAlarms


def sweep_settings(classes: Sequence[type[Detector]], per_side: int) -> list[DetectorSetting]:
    """Return the settings of every detector by code: its default and ``per_side`` settings on each side, or the default alone.

    >>> from ganwatch.detectors.bad_batch import BadBatch
    >>> from ganwatch.detectors.non_finite import NonFinite
    >>> [(setting.cls.code, setting.strictness) for setting in sweep_settings([BadBatch, NonFinite], per_side=1)]
    [('GW303', 0.0), ('GW502', -1.0), ('GW502', 0.0), ('GW502', 1.0)]
    """
    return [
        DetectorSetting(cls, strictness, arguments_at(cls, strictness))
        for cls in sorted(classes, key=lambda cls: cls.code)
        for strictness in ([position / per_side for position in range(-per_side, per_side + 1)] if cls.tunable else [0.0])
    ]


def sweep_rows(settings: Sequence[DetectorSetting], runs: Sequence[tuple[ReplayedRun, ...]]) -> list[SweepRow]:
    """Return a row for each setting, over the runs that its detector can evaluate.

    Parameters
    ----------
    settings : sequence of DetectorSetting
    runs : sequence of tuple of ReplayedRun
        Each run, replayed with the settings in their order.
    """
    evaluated = [[run[position] for run in runs if run[position].has_inputs_of(one.cls)] for position, one in enumerate(settings)]
    return [_row(setting, own) for setting, own in zip(settings, evaluated, strict=True) if own]


def _row(setting: DetectorSetting, runs: Sequence[ReplayedRun]) -> SweepRow:
    code = setting.cls.code
    failing = [run for run in runs if is_failing(run) and (not run.codes or code in run.codes)]
    return SweepRow(setting, detection_rates(code, failing), count_false_alarms(runs))
