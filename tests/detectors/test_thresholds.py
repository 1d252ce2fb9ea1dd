"""Bounds of each detector: a stream just beyond a bound raises an alarm at one step with one evidence, and none just within it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pytest

from ganwatch.core.detector import Detector, NotApplicable, Verdict
from ganwatch.core.discovery import discover
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import Window
from ganwatch.detectors.bad_batch import BadBatch
from ganwatch.detectors.data_drift import DataDrift
from ganwatch.detectors.discriminator_domination import DiscriminatorDomination
from ganwatch.detectors.discriminator_overfitting import DiscriminatorOverfitting
from ganwatch.detectors.exploding_gradients import ExplodingGradients
from ganwatch.detectors.generator_domination import GeneratorDomination
from ganwatch.detectors.latent_fault import LatentFault
from ganwatch.detectors.memorisation import CopiedSamples
from ganwatch.detectors.mismatched_reals import MismatchedReals
from ganwatch.detectors.mode_collapse import ModeCollapse
from ganwatch.detectors.mode_dropping import ModeDropping
from ganwatch.detectors.non_finite import NonFinite
from ganwatch.detectors.oscillation import Oscillation, _measure_swing, count_turns
from ganwatch.detectors.quality_regression import QualityRegression
from ganwatch.detectors.range_mismatch import RangeMismatch
from ganwatch.detectors.repeated_batches import RepeatedBatches
from ganwatch.detectors.stall import Stall
from ganwatch.detectors.vanishing_gradients import VanishingGradients
from ganwatch.detectors.weak_conditioning import WeakConditioning

FACTS = {  # kind, fire_after, resolve_after, causal_priority, is_optional
    "GW001": ("wiring", 0, 20, 1, True),
    "GW002": ("wiring", 0, 100, 2, True),
    "GW003": ("wiring", 40, 200, 0, True),
    "GW004": ("wiring", 0, 100, 0, True),
    "GW005": ("wiring", 0, 100, 0, True),
    "GW006": ("wiring", 0, 100, 0, True),
    "GW007": ("wiring", 0, 100, 0, True),
    "GW008": ("wiring", 0, 100, 8, True),
    "GW101": ("diversity", 0, 100, 0, False),
    "GW102": ("diversity", 0, 100, 1, False),
    "GW103": ("diversity", 0, 100, 2, True),
    "GW104": ("diversity", 0, 100, 0, True),
    "GW201": ("balance", 0, 100, 0, False),
    "GW202": ("balance", 40, 100, 0, False),
    "GW203": ("balance", 0, 100, 1, True),
    "GW301": ("numerics", 0, 100, 1, False),
    "GW302": ("numerics", 0, 100, 0, False),
    "GW303": ("numerics", 0, 100, 2, False),
    "GW304": ("numerics", 40, 200, 3, False),
    "GW401": ("quality", 0, 100, 0, False),
    "GW402": ("quality", 0, 100, 0, True),
    "GW403": ("quality", 0, 100, 1, False),
    "GW501": ("data", 0, 100, 0, False),
    "GW502": ("data", 0, 100, 0, False),
    "GW504": ("data", 0, 100, 1, False),
    "GW511": ("other", 0, 100, 0, True),
}
PAGES = {"GW001", "GW003", "GW005", "GW006", "GW007", "GW101", "GW302", "GW303"}
"""Codes that wake a person."""
DEFAULTS = {
    "GW001": {"attempts": 20, "gap": 100},
    "GW002": {"max_decay": 1e-3, "max_update_ratio": 5e-5, "min_distance": 0.05, "min_improvement": 0.1, "window": 60},
    "GW003": {"min_pull": 0.5, "n_samples": 2},
    "GW004": {"window": 40},
    "GW005": {"min_repeats": 10},
    "GW006": {"window": 30},
    "GW007": {"min_updates": 25, "max_kept": 0.2, "window": 30},
    "GW008": {"min_far_share": 0.15, "min_lacking_share": 0.25, "min_sigmas": 4.0},
    "GW101": {
        "min_vendi_ratio": 0.35, "min_pairwise_ratio": 0.6, "drop_ratio": 0.6, "min_improvement": 0.25, "min_growth": 1.5, "patience": 400,
        "window": 140, "vendi_drop_ratio": 0.8, "vendi_sigmas": 3.0, "distance_ratio": 8.0, "distance_sigmas": 4.0,
        "max_early_vendi_ratio": 0.25, "early_window": 80,
    },
    "GW102": {
        "min_missing_share": 0.12, "min_lost_share": 0.08,
        "min_improvement": 0.1, "patience": 5, "confirmations": 3, "recovery_ratio": 0.35,
        "max_recovery_distance_ratio": 4.0,
    },
    "GW103": {
        "min_share_with_copies": 0.65, "min_share": 0.8, "min_sigmas": 3.0, "min_copy_share": 0.1, "min_vendi_ratio": 0.5,
        "confirmations": 3,
    },
    "GW104": {"agreement_ratio": 0.7, "min_sigmas": 4.0, "min_improvement": 0.1, "patience": 5, "confirmations": 3},
    "GW201": {
        "min_auc": 0.98, "min_auc_slow": 0.6, "slow_ratio": 0.1, "slow_ratio_to_d": 0.02, "min_distance": 0.1, "min_improvement": 0.1,
        "max_loss_ratio": 0.25, "min_lead_ratio": 4.0, "window": 200,
    },
    "GW202": {
        "max_auc": 0.55, "max_auc_stopped": 0.9, "max_auc_fooled": 0.1, "slow_update_ratio": 2e-4, "slow_ratio": 0.15,
        "stopped_ratio": 0.05, "min_diversity": 0.5, "min_distance": 0.1, "min_improvement": 0.1, "window": 100,
    },
    "GW203": {"min_excess": 0.2, "min_sigmas": 4.0, "min_gap": 0.5, "confirmations": 3},
    "GW301": {
        "min_norm_ratio": 0.01, "min_depth_ratio": 1e-3, "min_update_ratio": 1e-5, "max_auc": 0.98, "weight_growth_ratio": 2.5,
        "max_update_ratio": 0.015, "near_distance": 0.1, "min_weight_ratio": 1e-3, "min_arrived": 1e-4, "window": 60,
    },
    "GW302": {
        "norm_ratio": 50.0, "gain_ratio": 10.0, "max_update_ratio": 0.3, "frozen_update_ratio": 1e-7, "window": 20, "warmup": 5,
    },
    "GW303": {"grace_period": 60},
    "GW304": {
        "min_shift": 0.4, "min_swing": 0.075, "min_turns": 2, "min_distance": 0.045, "min_auc": 0.4, "min_diversity": 0.15,
        "min_improvement": 0.25, "max_pace_ratio": 5.0, "settled_distance": 0.03, "shift_ratio": 4.0,
        "min_variety_ratio": 2.5, "window": 400, "min_steps": 800,
    },
    "GW401": {"distance_ratio": 2.0, "min_sigmas": 4.0, "budget": None, "energy_ratio": 10.0, "energy_sigmas": 8.0},
    "GW402": {"min_lost_share": 0.05},
    "GW403": {
        "rest_update_ratio": 1e-6, "rest_ratio": 5e-3, "min_distance_at_rest": 0.05, "min_distance": 0.1, "max_precision": 0.25,
        "max_coverage": 0.1, "max_auc": 0.98, "min_improvement": 0.2, "patience": 400, "window": 200,
    },
    "GW501": {"reach_ratio": 8.0, "excess_ratio": 0.5, "window": 120},
    "GW502": {"max_share": 0.5, "window": 30},
    "GW504": {"min_repeated_share": 0.25, "min_continuity": 0.5, "scale_ratio": 4.0, "window": 40},
    "GW511": {},
}  # fmt: skip
"""Default of every argument; a change of one changes the alarms of every training and is measured on the corpus first."""


@pytest.mark.parametrize("cls", discover("ganwatch.detectors", Detector), ids=lambda cls: cls.code)
def test_facts_and_defaults_are_those_that_were_measured(cls: type[Detector]) -> None:
    assert (str(cls.kind), cls.fire_after, cls.resolve_after, cls.causal_priority, cls.is_optional) == FACTS[cls.code]
    assert (str(cls.severity) == "page") == (cls.code in PAGES)
    assert {name: one.default for name, one in inspect.signature(cls).parameters.items()} == DEFAULTS[cls.code]


Value = float | None | Callable[[int], float]
Values = Mapping[str, Value]
Evidence = tuple[float, float, str, int, int | None]
"""Value, threshold, signal, window and onset of a verdict."""


@dataclass(frozen=True)
class But:
    """Another phase in place of one of a row, and the alarms then."""

    phase: int
    values: Values
    fires: tuple[int, ...] = ()
    until: int = 0
    first: Evidence | None = None


@dataclass(frozen=True)
class Row:
    """Phases, each up to a step with values that add to those before, and the alarms on them.

    ``fires`` has the first and the last step of each alarm; ``(60,)`` is an alarm from step 60 to the end. ``first`` and ``last`` are
    evidence at the first and the last step of all, ``origin`` the source of the first threshold.
    """

    title: str
    detector: Callable[[], Detector]
    phases: tuple[tuple[int, Values], ...]
    fires: tuple[int, ...] = ()
    first: Evidence | None = None
    last: Evidence | None = None
    origin: str = ""
    every: int = 20
    but: tuple[But, ...] = ()

    def variants(self) -> Iterator[Row]:
        """The row, and a row for each of its variants."""
        yield self
        for number, one in enumerate(self.but, 1):
            phases, (until, values) = list(self.phases), self.phases[one.phase]
            phases[one.phase] = one.until or until, {**values, **one.values}
            words = ", ".join(f"{name} {value:g}" for name, value in one.values.items() if isinstance(value, float))
            title = f"{self.title}, but {words or number}"
            yield replace(self, title=title, phases=tuple(phases), fires=one.fires, first=one.first, last=None, origin="", but=())

    def verdicts(self) -> dict[int, Verdict]:
        """Verdicts of a new detector, by step."""
        detector, step, values, found = self.detector(), 0, {}, {}
        for until, changes in self.phases:
            values |= changes
            while step + self.every <= until:
                step += self.every
                now = {name: value(step) if callable(value) else value for name, value in values.items() if value is not None}
                result = detector.update(Readings(step, now))
                if isinstance(result, Verdict):
                    found[step] = result
        return found


def spans(steps: list[int], every: int, end: int) -> tuple[int, ...]:
    """First and last step of each run of steps, without the last one if that is the end."""
    starts = [step for step in steps if step - every not in steps]
    ends = [step for step in steps if step + every not in steps]
    flat = [step for pair in zip(starts, ends, strict=True) for step in pair]
    return tuple(flat[:-1] if flat and flat[-1] + every > end else flat)


def evidence(verdict: Verdict) -> Evidence:
    return verdict.value, verdict.threshold, verdict.signal, verdict.window, verdict.onset


def series(*values: float) -> Callable[[int], float]:
    """Return a function of the step that has one value each hundred steps, and the last one from then on."""
    return lambda step: values[min(step // 100, len(values)) - 1]


def swing(low: float, middle: float, high: float) -> Callable[[int], float]:
    """Return a function of the step that turns every fifty steps, and whose median is the middle over every hundred."""
    return lambda step: (low, low, middle, high, high)[step // 20 % 5]


def swings(low: float, high: float) -> Callable[[int], float]:
    """Return a value that alternates from one sampled step to the next."""
    return lambda step: high if step // 20 % 2 else low


CLEAN = {"data_nonfinite/real": 0.0, "data_constant/real": 0.0, "data_repeated/real": 0.0}
BAD_BATCH = [
    Row("NaN in one step", BadBatch, ((40, CLEAN), (41, {"data_nonfinite/real": 0.02}), (60, CLEAN)), (41, 41),
        (0.02, 0.0, "data_nonfinite/real", 1, None), every=1),
    *(
        Row(f"more than half is {defect}", BadBatch, ((100, CLEAN), (180, {f"data_{defect}/real": 0.51})), (130,),
            (0.51, 0.5, f"data_{defect}/real", 30, None), every=1, but=(But(1, {f"data_{defect}/real": 0.49}),))
        for defect in ("constant", "repeated")
    ),
]  # fmt: skip

SHOWN = {"online_share_missing/real": 0.0, "online_modes_missing/real": 2.0, "online_modes": 25.0}
UNMOVED = {"online_frechet/real": 0.005, "online_frechet_error/real": 0.005}
DATA_DRIFT = [
    Row("a score above one", DataDrift, ((300, {"drift_score": 1.01, "drift_effect": 0.2}),), (100,), (1.01, 1.0, "drift_score", 1, None),
        every=100, but=(But(0, {"drift_score": 0.99}), But(0, {"drift_effect": math.nan}), But(0, {"drift_score": math.inf}))),
    Row("reals that have lost modes", DataDrift, ((500, SHOWN), (900, {"online_share_missing/real": 0.051})), (800,),
        (0.051, 0.05, "online_share_missing/real", 300, 501), every=100, but=(
            But(1, {"online_share_missing/real": 0.101}, (700,)), But(1, {"online_share_missing/real": 0.099}, (800,)),
            But(1, {"online_share_missing/real": 0.049}), But(1, {"online_share_missing/real": 0.051}, until=700),
        )),
    Row("lost modes of reals that had moved", DataDrift,
        ((500, {**SHOWN, "online_frechet/real": 0.029}), (900, {"online_share_missing/real": 0.051})), (800,),
        (0.051, 0.05, "online_share_missing/real", 300, 501), every=100, but=(But(0, {**SHOWN, "online_frechet/real": 0.031}),)),
    Row("reals that have moved at once", DataDrift, ((480, UNMOVED), (1000, {"online_frechet/real": 0.031})), (640,),
        (0.031, 0.03, "online_frechet/real", 160, 481), every=80, but=(
            But(1, {"online_frechet/real": 0.029}), But(1, {"online_frechet_error/real": 0.0054}), But(0, {"online_frechet/real": 0.0094}),
            But(1, {"online_frechet/real": 0.031}, until=560),
            But(1, {"online_frechet/real": lambda step: 0.01 * 1.5 ** ((step - 480) / 80)}, until=1400),
        )),
    Row("reals that have moved a little", DataDrift,
        ((480, {"online_frechet/real": 0.001, "online_frechet_error/real": 0.001}), (1000, {"online_frechet/real": 0.0101})), (640,),
        (0.0101, 0.01, "online_frechet/real", 160, 481), every=80, but=(But(1, {"online_frechet/real": 0.0099}),)),
    Row("reals that had moved before the first evaluation", DataDrift, ((800, {**UNMOVED, "online_frechet/real": 0.031}),), (240,),
        (0.031, 0.03, "online_frechet/real", 240, 1), every=80, but=(
            But(0, {"online_frechet/real": 0.029}), But(0, {"online_frechet/real": lambda step: 0.04 * step / 80}),
        )),
    Row("lost modes after one evaluation of mixed reals", DataDrift,
        ((400, {**SHOWN, "online_frechet/real": 0.0}), (500, {"online_frechet/real": 0.05}), (900, {"online_share_missing/real": 0.051})),
        (800,), every=100, but=(But(0, {**SHOWN, "online_frechet/real": 0.0}, until=300),)),
]  # fmt: skip

LEADS = {"d_auc": 0.8, "energy_distance": 0.11}
AHEAD = {"d_auc": 0.75, "energy_distance": 0.02, "update_to_weight/g": 2e-3, "update_to_weight/d": 1e-3}
D_DOMINATION = [
    Row("nearly every pair ranked right", DiscriminatorDomination, ((500, LEADS), (800, {"d_auc": 0.981})), (660,),
        (0.981, 0.98, "d_auc", 400, 461), but=(But(1, {"d_auc": 0.979}), But(0, {"energy_distance": 0.099}))),
    Row("no progress for as long", DiscriminatorDomination,
        ((500, {**LEADS, "d_auc": 0.99, "energy_distance": 0.2}), (1200, {"energy_distance": 0.179})), (400, 600, 820),
        but=(But(1, {"energy_distance": 0.181}, (400,)), But(0, {**LEADS, "d_auc": 0.99, "energy_distance": swings(0.049, 0.3)}, (740,)),
             But(0, {**LEADS, "d_auc": 0.99, "energy_distance": swings(0.051, 0.3)}, (400, 520, 740)))),
    Row("a generator that hardly moves", DiscriminatorDomination, ((500, AHEAD), (1300, {"update_to_weight/g": 1.9e-4})), (700,),
        (0.75, 0.6, "d_auc", 400, 501), but=(
            But(1, {"update_to_weight/g": 2.1e-4}), But(1, {"d_auc": 0.59}), But(1, {"d_auc": 0.61}, (700,)),
            But(1, {"update_to_weight/d": 4.9e-4}, (1020,)), But(1, {"update_to_weight/d": 5.1e-4}, (700,)),
            But(1, {"update_to_weight/d": 0.1, "update_to_weight/g": 1.9e-3}, (700,)),
            But(1, {"update_to_weight/d": 0.1, "update_to_weight/g": 2.1e-3}),
        )),
    Row("a usual level of all updates", DiscriminatorDomination,
        ((100, {**AHEAD, "update_to_weight/g": 4e-3}), (500, AHEAD), (900, {"update_to_weight/g": 1.9e-4})), (700,),
        but=(But(2, {"update_to_weight/g": 2.1e-4}),)),
    Row("five updates are a usual level", partial(DiscriminatorDomination, window=1),
        ((9, {**AHEAD, "update_to_weight/g": 1e-4, "update_to_weight/d": 1e-2}),), (5,), (0.75, 0.6, "d_auc", 2, 5), every=1),
]  # fmt: skip

CONTEST = {"loss/d": 1.0, "loss/g": 1.0, "d_output/real": 1.0, "d_output/fake": 0.0, "grad_norm/g": 1.0}
BEATEN = {"loss/d": 0.24, "loss/g": 1.1}
CRITIC = {**CONTEST, "loss/d": -1.0}
LOST_CONTEST = [
    Row("a small part of D's loss is left, and G's grows", DiscriminatorDomination, ((800, CONTEST), (1200, BEATEN), (1600, CONTEST)),
        (1000, 1200), (0.24, 0.25, "loss/d", 200, 801), (0.24, 0.25, "loss/d", 200, 801), but=(
            But(1, {"loss/d": 0.26}), But(1, {"loss/g": 1.0}), But(1, {"loss/g": 1.0, "grad_norm/g": 0.51}),
            But(1, {"loss/g": 1.0, "grad_norm/g": 0.49}, (1000, 1200)), But(0, {"loss/d": -1.0}), But(0, LEADS),
            But(0, {"energy_distance": 0.11}, (1000, 1200)), But(1, {"loss/d": swing(0.1, 0.1, 0.3)}),
            But(0, {"loss/g": swing(0.9, 1.0, 1.15)}), But(1, {"loss/g": swing(0.9, 0.9, 1.1)}),
            But(0, dict.fromkeys(("d_output/real", "grad_norm/g")), (1000, 1200)),
        )),
    Row("a contest that is lost twice", DiscriminatorDomination,
        ((800, CONTEST), (1200, BEATEN), (1600, CONTEST), (2000, BEATEN)), (1000, 1200, 1800), last=(0.24, 0.25, "loss/d", 200, 1601)),
    Row("D's lead grows, and G's loss", DiscriminatorDomination, ((800, CONTEST), (1200, {"d_output/real": 4.1, "loss/g": 1.1})), (980,),
        (4.1, 4.0, "d_output/real", 200, 781), but=(
            But(1, {"d_output/real": 3.9}), But(1, {"d_output/real": -4.1}), But(1, {"loss/g": 1.0}),
            But(0, {"d_output/real": -1.0}), But(1, {"d_output/real": 1.0, "d_output/fake": -3.1}, (980,)),
        )),
    Row("a lead where reals are on the low side", DiscriminatorDomination,
        ((800, {**CONTEST, "d_output/real": -1.0}), (1200, {"d_output/real": -4.1, "loss/g": 1.1})), (1000,),
        (-4.1, -4.0, "d_output/real", 200, 801)),
    Row("a critic's lead grows, and G's gradient falls", DiscriminatorDomination,
        ((800, CRITIC), (1200, {"d_output/real": 4.1, "grad_norm/g": 0.49})), (1000,), (4.1, 4.0, "d_output/real", 200, 801), but=(
            But(1, {"grad_norm/g": 0.51}), But(1, {"grad_norm/g": 1.0, "loss/g": 9.0}), But(1, {"d_output/real": 1.0, "loss/d": -0.1}),
        )),
    Row("distances that have ended", DiscriminatorDomination,
        ((400, {**CONTEST, **LEADS}), (1800, dict.fromkeys(LEADS)), (2400, BEATEN)), (2000,), (0.24, 0.25, "loss/d", 200, 1801),
        but=(But(1, LEADS), But(1, {}, until=1000), But(1, {}, (1420,), until=1200))),
]  # fmt: skip

HELD_OUT = {"d_heldout_auc": 0.52, "d_heldout_error": 0.03, "d_heldout_gap": 0.1, "d_auc": 0.8}
OVERFITTING = [
    Row("knows the training data", DiscriminatorOverfitting,
        ((300, HELD_OUT), (700, {"d_heldout_auc": 0.71, "d_heldout_gap": 0.51}), (900, dict.fromkeys(HELD_OUT) | {"d_auc": 0.8})), (600,),
        (0.71, 0.7, "d_heldout_auc", 201, 400), (0.71, 0.7, "d_heldout_auc", 201, 500), every=100, but=(
            But(1, {"d_heldout_auc": 0.69}), But(1, {"d_heldout_gap": 0.49}), But(1, {"d_heldout_error": 0.06}),
            But(1, {"d_heldout_error": 0.06, "d_heldout_auc": 0.75}, (600,), first=(0.75, 0.74, "d_heldout_auc", 201, 400)),
            But(2, {**HELD_OUT, "d_heldout_auc": 0.6}, (600, 700)),
        )),
]  # fmt: skip


def explosions(network: str) -> list[Row]:
    """Rows of exploding gradients of one network."""
    norm, update, gain = f"grad_norm/{network}", f"update_to_weight/{network}", f"grad_to_output/{network}"
    weight, others_weight = f"weight_norm/{network}", f"weight_norm/{'gd'.replace(network, '')}"
    usual = {"grad_norm/g": 2.0, "grad_norm/d": 2.0, "update_to_weight/g": 1e-3, "update_to_weight/d": 1e-3} | {
        gain: 2.0, "weight_norm/g": 10.0, "weight_norm/d": 10.0,
    }  # fmt: skip
    replaces = (0.31, 0.3, update, 20, None)
    found = partial(Row, detector=ExplodingGradients, every=1)
    return [
        found("the norm explodes", phases=((100, {**usual, gain: None}), (300, {norm: 101.0})), fires=(110,),
              first=(101.0, 100.0, norm, 20, None), last=(101.0, 100.0, norm, 20, None), but=(But(1, {norm: 99.0}),)),
        found("and the gain", phases=((100, usual), (200, {norm: 101.0, gain: 20.1})), fires=(115,), first=(101.0, 100.0, norm, 20, None),
              but=(But(1, {gain: 20.0}), *(But(0, {name: 0.9e-7}) for name in ("update_to_weight/g", "update_to_weight/d")),
                   But(0, {"update_to_weight/g": 1.1e-7, "update_to_weight/d": 1.1e-7}, (115,)))),
        found("it has fallen before", phases=((10, {**usual, gain: None, norm: 10.0}), (200, {norm: 2.0}), (600, {norm: 101.0})),
              fires=(210,), but=(But(2, {norm: 99.0}),)),
        found("it has risen before", phases=((5, {**usual, gain: None}), (200, {norm: 10.0}), (300, {norm: 101.0})), fires=(210,)),
        found("it explodes after five steps", phases=((5, {**usual, gain: None}), (60, {norm: 101.0})), fires=(20,)),
        found("no gradient at the start", phases=((50, {**usual, gain: None, norm: 0.0}), (200, {norm: 2.0}), (300, {norm: 101.0})),
              fires=(210,), but=(But(2, {norm: 99.0}),)),
        found("three gains are its level", phases=((2, usual), (200, {gain: 6.0}), (300, {norm: 101.0, gain: 21.0})), fires=(215,)),
        found("the gain has fallen before", phases=((10, {**usual, gain: 9.0}), (200, {gain: 2.0}), (300, {norm: 101.0, gain: 21.0})),
              fires=(215,)),
        found("updates replace the weights", phases=((100, usual), (200, {update: 0.31})), fires=(130,), first=replaces, but=(
            But(1, {update: 0.29}), But(1, {weight: 0.9}), But(1, {weight: 1.1}, (130,)),
            But(1, {others_weight: 1001.0}), But(1, {others_weight: 999.0}, (130,)),
            But(0, {weight: 0.009, others_weight: None}, (130,)), But(0, {weight: None}, (130,)),
        )),
        found("of weights that have shrunk after three",
              phases=((3, usual), (4, {weight: 0.9}), (5, {weight: None}), (90, {update: 0.31}))),
    ]  # fmt: skip


CHANCE = {"d_auc": 0.8, "update_to_weight/d": 1e-3, "update_to_weight/g": 1e-3, "pairwise_ratio": 0.51, "energy_distance": 0.11}
BLIND = {"d_auc": 0.54, "update_to_weight/d": 1.9e-4}
STOPPED = {"d_auc": 0.89, "update_to_weight/d": 0.9e-5}
AT_REST = {"d_auc": 0.89, "update_to_weight/d": 0.9e-7}
G_DOMINATION = [
    Row("blind and slow", GeneratorDomination, ((400, CHANCE), (700, BLIND)), (460,), (0.54, 0.55, "d_auc", 100, 410),
        (0.54, 0.55, "d_auc", 100, 410), every=10, but=(
            But(1, {**BLIND, "d_auc": 0.56}), But(1, {**BLIND, "update_to_weight/d": 2.1e-4}), But(0, {"pairwise_ratio": 0.49}),
            But(0, {"energy_distance": 0.099}), But(1, {**BLIND, "update_to_weight/g": 0.9e-5}),
            But(1, {**BLIND, "update_to_weight/g": 1.1e-5}, (460,)), But(1, {**BLIND, "pairwise_ratio": None}, (460,)),
            But(0, {"update_to_weight/d": 1e-2}, (460,)),
        )),
    Row("slow against what it did", GeneratorDomination, ((400, {**CHANCE, "update_to_weight/d": 1e-2}), (700, BLIND)), (460,), every=10,
        but=(But(1, {"update_to_weight/d": 1.4e-3}, (460,)), But(1, {"update_to_weight/d": 1.6e-3}))),
    Row("slow after five updates of a usual level", partial(GeneratorDomination, window=1),
        ((5, {**CHANCE, "update_to_weight/d": 1e-2}), (9, {**BLIND, "update_to_weight/d": 1.4e-3})), (6,), (0.54, 0.55, "d_auc", 1, 6),
        every=1, but=(But(0, {"d_auc": 0.54}),)),
    Row("no progress", GeneratorDomination, ((400, {**CHANCE, "energy_distance": 0.2}), (800, {**BLIND, "energy_distance": 0.179})), (560,),
        every=10, but=(But(1, {**BLIND, "energy_distance": 0.181}, (460,)),)),
    Row("stopped", GeneratorDomination, ((400, CHANCE), (700, STOPPED)), (460,), (0.89, 0.9, "d_auc", 100, 410), every=10, but=(
        But(1, {**STOPPED, "d_auc": 0.91}), But(1, {**STOPPED, "update_to_weight/d": 1.1e-5}), But(0, {"energy_distance": 0.099}),
        But(1, {**STOPPED, "update_to_weight/g": 0.9e-5}), But(0, {"pairwise_ratio": 0.1}, (460,)),
    )),
    Row("at rest, near", GeneratorDomination, ((400, {**CHANCE, "energy_distance": 0.02}), (700, AT_REST)), (500,),
        (0.89, 0.9, "d_auc", 100, 410), every=10, but=(
            But(1, {**AT_REST, "update_to_weight/d": 1.1e-7}), But(1, {**AT_REST, "d_auc": 0.91}),
        )),
    Row("at rest for as long as it is read", GeneratorDomination,
        ((290, {**CHANCE, "d_auc": 0.89, "update_to_weight/d": None}), (500, AT_REST)), (390,), every=10),
    Row("at rest from the first step", partial(GeneratorDomination, window=1), ((3, {**CHANCE, **AT_REST}),), (1,),
        (0.89, 0.9, "d_auc", 1, 1), every=1),
]  # fmt: skip

DRAWN = {"latent_repeated": 0.0, "latent_scale": 1.0}
LATENTS = [
    Row("latents repeat", LatentFault,
        ((200, DRAWN), (400, {"latent_repeated": 0.26})), (240,), (0.26, 0.25, "latent_repeated", 40, None),
        origin="repeats do not occur by chance", every=10, but=(
            But(1, {"latent_repeated": 0.24}), But(1, {"latent_repeated": 0.26, "latent_continuity": 0.5}),
            But(1, {"latent_repeated": 0.26, "latent_continuity": 0.51}, (240,)),
            But(1, {"latent_repeated": 0.98, "latent_continuity": 0.0, "latent_scale": 0.0}, (240,),
                first=(0.0, 0.0, "latent_scale", 40, None)),
        )),
    Row("latents grow", LatentFault, ((200, DRAWN), (400, {"latent_scale": 4.1})), (240,), (4.1, 4.0, "latent_scale", 40, None), every=10,
        but=(But(1, {"latent_scale": 3.9}), But(0, {"latent_scale": 1.05}),
             But(0, {"latent_scale": 0.0}, (40, 200)))),
    Row("latents shrink", LatentFault, ((200, DRAWN), (400, {"latent_scale": 0.24})), (240,), (0.24, 0.25, "latent_scale", 40, None),
        every=10, but=(But(1, {"latent_scale": 0.26}),)),
    Row("three latents are the usual scale", LatentFault, ((20, DRAWN), (200, {"latent_scale": 4.1})), (60,), every=10,
        but=(But(0, {}, (70,), until=30), But(0, {}, until=10))),
    Row("latents that had shrunk before grow", LatentFault,
        ((30, {**DRAWN, "latent_scale": 2.0}), (200, DRAWN), (400, {"latent_scale": 4.1})), (240,), every=10),
    Row("and three that shrink", LatentFault, ((30, DRAWN), (200, {"latent_scale": 0.24})), (70,), every=10),
]  # fmt: skip

ANEW = {"batches_repeated/real": 0.0, "batches_repeated/latent": 0.0, "batch_size/real": 64.0, "updates_performed/d": 1.0}
REPEATS = [
    Row("a batch comes again", RepeatedBatches, ((200, ANEW), (400, {"batches_repeated/real": 10.0})), (210,),
        (10.0, 10.0, "batches_repeated/real", 11, 200), origin="batches that are drawn anew differ", every=10, but=(
            But(1, {"batches_repeated/real": 9.0}),
            But(1, {"batches_repeated/real": 0.0, "batches_repeated/latent": 10.0}, (210,),
                first=(10.0, 10.0, "batches_repeated/latent", 11, 200)),
            But(1, {"batches_repeated/real": 10.0, "dataset_size": 65.0}, (210,)),
            But(1, {"batches_repeated/real": 10.0, "dataset_size": 64.0}),
            But(1, {"batches_repeated/latent": 10.0, "dataset_size": 64.0}, (210,)),
            But(1, {"batches_repeated/real": 10.0, "batch_size/real": 7.0}),
            But(1, {"batches_repeated/real": 10.0, "updates_performed/d": 2.0}),
            But(1, {"batches_repeated/real": 11.0, "updates_performed/d": 5.0, "batch_size/real": 4.0}, (210,)),
        )),
]  # fmt: skip

UNSEEN = {"memorisation": 0.5, "memorisation_error": 0.03, "copy_share": 0.01}
MEMORISATION = [
    Row("copies", CopiedSamples, ((300, UNSEEN), (900, {"memorisation": 0.66, "copy_share": 0.11})), (600,),
        (0.66, 0.65, "memorisation", 201, 400), (0.66, 0.65, "memorisation", 201, 700), every=100, but=(
            But(1, {"memorisation": 0.64, "copy_share": 0.11}), But(1, {"copy_share": 0.09}), But(1, {"memorisation_error": 0.06}),
            But(1, {"memorisation": 0.81, "copy_share": 0.09}, (600,), first=(0.81, 0.8, "memorisation", 201, 400)),
            But(1, {"memorisation": 0.79, "copy_share": 0.09}), But(1, {"copy_share": math.nan}),
            But(1, {"memorisation": 0.66, "copy_share": 0.11, "memorisation_error": 0.051}, (600,),
                first=(0.66, 0.653, "memorisation", 201, 400)),
        )),
]  # fmt: skip

ONE_SOURCE = {"heldout_far": 0.05, "heldout_far_error": 0.02, "heldout_lacking": 0.0}
MISMATCH = [
    Row("held-out reals of other kinds", MismatchedReals,
        ((300, ONE_SOURCE), (900, {"heldout_far": 0.16, "heldout_lacking": 0.25})), (400,),
        (0.16, 0.15, "heldout_far", 1, None), every=100, but=(
            But(1, {"heldout_far": 0.14, "heldout_lacking": 0.25}), But(1, {"heldout_far": 0.4, "heldout_lacking": 0.24}),
            But(1, {"heldout_far": 0.24, "heldout_lacking": 0.3, "heldout_far_error": 0.05}),
            But(1, {"heldout_far": 0.26, "heldout_lacking": 0.3, "heldout_far_error": 0.05}, (400,),
                first=(0.26, 0.25, "heldout_far", 1, None)),
        )),
]  # fmt: skip

VARIED = {"pairwise_ratio": 0.9, "vendi_ratio": 0.9, "energy_distance": 0.02}
LOW = {"pairwise_ratio": 0.59, "vendi_ratio": 0.34, "energy_distance": 0.2}
DROPPED = {"pairwise_ratio": 0.53, "vendi_ratio": 0.53, "energy_distance": 0.101}
JUMPED = {"pairwise_ratio": 0.8, "vendi_ratio": 0.53, "energy_distance": 0.151}
FEWER = {"pairwise_ratio": 1.0, "vendi_ratio": 0.71, "energy_distance": 0.161}
HAD = {"pairwise_ratio": 0.5, "vendi_ratio": 0.5, "energy_distance": 0.4}
LOST = {"pairwise_ratio": 0.29, "vendi_ratio": 0.24, "energy_distance": 0.4}


def rises(start: float, factor: float) -> Callable[[int], float]:
    """Return a value that is multiplied by a factor at each sampled step."""
    return lambda step: start * factor ** (step / 20)


COLLAPSE = [
    Row("low from the start", ModeCollapse,
        ((1000, LOW),), (420,), (0.34, 0.35, "vendi_ratio", 140, 70), (0.34, 0.35, "vendi_ratio", 140, 70),
        but=(But(0, {"vendi_ratio": 0.36}), But(0, {"pairwise_ratio": 0.61}))),
    Row("low, while it comes nearer", ModeCollapse, ((300, LOW), (1000, {"energy_distance": 0.149})), (660,),
        but=(But(1, {"energy_distance": 0.151}, (540,)), But(1, {"energy_distance": 0.163}, (440,)),
             But(1, {"energy_distance": 0.164}, (420,)))),
    Row("low, while it gets more diverse", ModeCollapse, ((300, {**LOW, "vendi_ratio": 0.2}), (1000, {"vendi_ratio": 0.301})), (660,),
        but=(But(1, {"vendi_ratio": 0.299}, (540,)), But(1, {"vendi_ratio": 0.266}, (440,)), But(1, {"vendi_ratio": 0.265}, (420,)))),
    Row("low, while it gets wider", ModeCollapse, ((300, {**LOW, "pairwise_ratio": 0.2}), (1000, {"pairwise_ratio": 0.301})), (660,),
        but=(But(1, {"pairwise_ratio": 0.299}, (540,)),)),
    Row("low, while one sample gets wider", ModeCollapse, ((300, {**LOW, "pairwise_ratio": 0.01}), (1000, {"pairwise_ratio": 0.0199})),
        (420,), but=(But(1, {"pairwise_ratio": 0.0201}, (660,)),)),
    Row("low, with few updates", ModeCollapse, ((1000, {**LOW, "update_to_weight/g": 5.96e-4}),), (420,),
        but=(But(0, {**LOW, "update_to_weight/g": 5.95e-4}, (440,)),)),
    Row("variety of the first steps is lost", ModeCollapse, ((40, HAD), (1000, LOST)), (140,), (0.24, 0.25, "vendi_ratio", 80, 60),
        (0.24, 0.35, "vendi_ratio", 140, 60), "real data at the same sample size", but=(
            But(1, {**LOST, "vendi_ratio": 0.26}, (420,)), But(0, {**HAD, "vendi_ratio": 0.47}, (420,)),
            But(0, {**HAD, "vendi_ratio": 0.47, "pairwise_ratio": 3.1}, (140,)),
            But(0, {**HAD, "vendi_ratio": 0.47, "pairwise_ratio": 2.9}, (420,)),
            But(1, {**LOST, "energy_distance": 0.099}, (420,)), But(1, LOST, until=120),
        )),
    Row("variety is lost for a while", ModeCollapse, ((40, HAD), (200, LOST), (400, {"vendi_ratio": 0.26})), (140, 220)),
    Row("variety is lost, and comes back", ModeCollapse, ((20, HAD), (300, {**LOST, "vendi_ratio": rises(0.02, 1.12)})),
        but=(But(1, {**LOST, "vendi_ratio": rises(0.02, 1.11)}, (120,)), But(1, {**LOST, "pairwise_ratio": rises(0.02, 1.12)}),
             But(1, {**LOST, "pairwise_ratio": rises(0.02, 1.11)}, (120,)))),
    Row("variety is lost, and they come nearer", ModeCollapse, ((20, HAD), (300, {**LOST, "energy_distance": rises(0.8, 0.948)})),
        but=(But(1, {**LOST, "energy_distance": rises(0.8, 0.95)}, (120,)),)),
    Row("low, and nearer after the alarm", ModeCollapse, ((500, LOW), (1000, {"energy_distance": 0.11})), (420,)),
    Row("low for one step", partial(ModeCollapse, window=1, patience=1), ((5, LOW),), (2,), (0.34, 0.35, "vendi_ratio", 1, 1), every=1),
    Row("a drop at two steps", ModeCollapse, ((700, VARIED), (900, DROPPED)), (740,), (0.53, 0.54, "vendi_ratio", 140, 720),
        (0.53, 0.54, "vendi_ratio", 140, 720), but=(
            But(1, {**DROPPED, "vendi_ratio": 0.55}), But(1, {**DROPPED, "pairwise_ratio": 0.55}),
            But(1, {**DROPPED, "energy_distance": 0.099}),
            But(0, {"vendi_ratio": 0.87}), But(0, {"pairwise_ratio": 0.87}), But(0, {"energy_distance": 0.101}), But(1, DROPPED, until=720),
        )),
    Row("a drop at every second step", ModeCollapse, ((700, VARIED), (880, {
            name: lambda step, name=name: (DROPPED if step // 20 % 2 else VARIED)[name] for name in DROPPED
        })), (860, 860), (0.53, 0.54, "vendi_ratio", 140, 790)),
    Row("a leap away", ModeCollapse, ((700, VARIED), (740, JUMPED), (900, VARIED)), (720, 740), (0.53, 0.54, "vendi_ratio", 140, 720),
        (0.53, 0.54, "vendi_ratio", 140, 720), but=(
            But(1, {**JUMPED, "energy_distance": 0.149}), But(1, {**JUMPED, "vendi_ratio": 0.55}), But(1, {**JUMPED, "vendi_ratio": None}),
            But(0, {"energy_distance": 0.101}),
            But(2, {**JUMPED, "energy_distance": 0.101}, (720,)), But(2, {**JUMPED, "energy_distance": 0.099}, (720, 740)),
            But(2, {**JUMPED, "vendi_ratio": 0.55}, (720, 740)),
        )),
    Row("a leap soon after they had settled", ModeCollapse, ((700, VARIED), (760, {"energy_distance": 0.11}), (800, JUMPED)), (761,),
        every=1, but=(But(1, {"energy_distance": 0.11}, until=761),)),
    Row("few of many kinds", ModeCollapse, ((700, VARIED), (900, FEWER)), (760,), (0.71, 0.72, "vendi_ratio", 80, 720),
        (0.71, 0.72, "vendi_ratio", 80, 720), "the run's own best level", but=(
            But(1, {**FEWER, "vendi_ratio": 0.73}), But(1, {**FEWER, "energy_distance": 0.159}), But(1, FEWER, until=740),
            But(0, {**VARIED, "energy_distance": 0.101}),
        )),
    Row("few of many kinds, very near before", ModeCollapse,
        ((700, {**VARIED, "energy_distance": 0.001}), (900, {**FEWER, "energy_distance": 0.041})), (760,),
        but=(But(1, {**FEWER, "energy_distance": 0.039}),)),
    Row("few of many kinds, of a noisy distance", ModeCollapse,
        ((700, {**VARIED, "energy_distance": swings(0.0, 0.08)}), (900, {**FEWER, "energy_distance": 0.161})), (760,),
        but=(But(1, {**FEWER, "energy_distance": 0.159}),)),
    Row("few of many kinds, of a noisy variety", ModeCollapse,
        ((700, {**VARIED, "vendi_ratio": swings(0.8, 1.0)}), (900, {**FEWER, "vendi_ratio": 0.69})), (760,),
        but=(But(1, {**FEWER, "vendi_ratio": 0.71}),)),
    Row("few of many kinds, of more than the reals", ModeCollapse,
        ((700, {**VARIED, "vendi_ratio": 1.5}), (900, {**FEWER, "vendi_ratio": 0.79})), (760,),
        but=(But(1, {**FEWER, "vendi_ratio": 0.81}),)),
    Row("a drop that goes on", ModeCollapse, ((700, VARIED), (780, DROPPED), (800, {"vendi_ratio": 0.3})), (740,),
        last=(0.53, 0.54, "vendi_ratio", 140, 720)),
    Row("a drop against reals that are others", ModeCollapse,
        ((700, {**VARIED, "real_distance": 4.0}), (900, {**DROPPED, "real_distance": 5.1})), (), but=(
            But(1, {**DROPPED, "real_distance": 4.9}, (740,)), But(1, {**DROPPED, "real_distance": 3.1}),
            But(0, {**VARIED, "real_distance": None}, (740,)),
        )),
    Row("variety beyond that of the reals", ModeCollapse,
        ((700, {**VARIED, "pairwise_ratio": 1.5, "vendi_ratio": 1.5}), (900, {**DROPPED, "pairwise_ratio": 0.61})),
        but=(But(1, {**DROPPED, "vendi_ratio": 0.61}), But(1, DROPPED, (740,)))),
    Row("the best counts", ModeCollapse,
        ((400, VARIED), (700, {"pairwise_ratio": 0.8, "vendi_ratio": 0.8, "energy_distance": 0.09}), (900, DROPPED)),
        (740,), (0.53, 0.54, "vendi_ratio", 140, 720)),
]  # fmt: skip

FALLS = lambda step: 1e9 * 0.8 ** (step / 150)
STAYS = {"modes_missing": 0.0, "modes": 20.0, "frechet": 1.0}
ONLINE = {"online_share_missing/fake": 0.0, "online_modes_missing/fake": 6.0, "online_modes": 25.0, "online_frechet/fake": 1.0}
LOST = {"online_share_missing/fake": 0.161}
FEW_MODES = {"modes": 4.0, "frechet": FALLS}
DROPPING = [
    Row("modes that were there", ModeDropping, ((600, {**STAYS, "frechet": FALLS}), (1200, {"modes_missing": 2.0})), (900,),
        (2.0, 1.0, "modes_missing", 201, None), (2.0, 1.0, "modes_missing", 201, None), every=100, but=(
            But(1, {"modes_missing": 1.0}), But(1, {"modes_missing": 1.0, "modes": 4.0}, (900,)), But(1, {"modes": None}),
            But(1, {"modes_missing": 2.0, "reference": 2.0}), But(1, {"modes_missing": 2.0, "reference": 1.0}, (900,)),
        )),
    Row("modes that never were", ModeDropping, ((1200, {**STAYS, "modes_missing": 2.0}),), (800,), every=100, but=(
        But(0, {"modes_missing": 1.0}), But(0, {"frechet": lambda step: 0.978 ** (step / 100)}),
        But(0, {"frechet": lambda step: 0.98 ** (step / 100)}, (800,)),
    )),
    Row("modes that come back", ModeDropping,
        ((600, {**STAYS, "frechet": 0.5}), (1200, {"modes_missing": 2.0, "frechet": series(*[0.5] * 6, 1.5, 1.45, 0.97)})), (1200,),
        every=100, but=(
            But(1, {"modes_missing": 2.0, "frechet": series(*[0.5] * 6, 1.5, 1.45, 0.98)}, (900,)),
            But(1, {"modes_missing": 2.0, "frechet": series(*[0.5] * 6, 4.0, 3.95, 2.05)}, (900,)),
            But(1, {"modes_missing": 2.0, "frechet": series(*[0.5] * 6, 4.0, 3.95, 1.95)}),
        )),
    Row("more than the fewest of three", ModeDropping,
        ((1200, {**FEW_MODES, "modes_missing": series(*[5.0] * 3, *[1.0] * 3, 2.0)}),), (900,),
        every=100, but=(But(0, {"modes_missing": series(0.0, 1.0, 0.0, 1.0, 1.0)}),)),
    Row("modes that the latest fakes had", ModeDropping,
        ((600, {**ONLINE, "online_frechet/fake": lambda step: 0.95 ** (step / 100)}), (1200, {**LOST, "online_frechet/fake": 1.48})),
        (900,), (0.161, 0.08, "online_share_missing/fake", 201, None), every=100, but=(
            But(1, {"online_share_missing/fake": 0.159}, (1100,)), But(1, {"online_share_missing/fake": 0.081}, (1100,)),
            But(1, {"online_share_missing/fake": 0.079}), But(1, {**LOST, "online_reference": 2.0}), But(1, {**LOST, "online_modes": None}),
            But(1, {**LOST, "modes_missing": 0.0, "modes": 20.0, "frechet": 1.0}, (900,)), But(1, {"online_frechet/fake": 1.46}),
        )),
    Row("modes that the latest fakes never had", ModeDropping, ((1200, {**ONLINE, **LOST}),), (800,), every=100, but=(
        But(0, {**LOST, "online_frechet/fake": lambda step: 0.978 ** (step / 100)}),
        But(0, {**LOST, "online_frechet/fake": lambda step: 0.009 * 0.9 ** (step / 100)}, (800,)),
    )),
    Row("modes that come back to the latest fakes", ModeDropping,
        ((600, {**ONLINE, "online_frechet/fake": 0.3}), (1200, {**LOST, "online_frechet/fake": series(*[0.3] * 6, 0.8, 0.7, 0.63)})),
        (1200,), every=100, but=(But(1, {**LOST, "online_frechet/fake": series(*[0.3] * 6, 0.8, 0.7, 0.65)}, (900,)),)),
    Row("groups off target", ModeDropping,
        ((1000, {**STAYS, "groups_off_target": 1.0}),), (800,), (1.0, 1.0, "groups_off_target", 201, None),
        every=100, but=(But(0, {"groups_off_target": 0.0}), But(0, {"frechet": FALLS}))),
]  # fmt: skip

LABELLED = {"label_agreement/fake": 0.9, "label_agreement_error/fake": 0.01, "label_agreement/real": 0.9, "frechet": 1.0}
IGNORED = {**LABELLED, "label_agreement/fake": 0.1, "frechet": FALLS, "modes": 10.0, "modes_missing": 5.0}
OTHER = {
    "online_label_agreement/fake": 0.03, "online_label_agreement_error/fake": 0.01, "online_label_chance/fake": 0.1,
    "online_label_agreement/real": 0.9, "online_label_agreement_error/real": 0.02, "online_label_chance/real": 0.1,
}  # fmt: skip
CONDITIONING = [
    Row("labels are not those requested", WeakConditioning, ((1000, LABELLED), (1500, {"label_agreement/fake": 0.58})), (1300,),
        (0.58, 0.63, "label_agreement/fake", 201, None), (0.58, 0.63, "label_agreement/fake", 201, None), every=100, but=(
            But(1, {"label_agreement/fake": 0.6}), But(1, {"label_agreement_error/fake": 0.02}), But(1, {"frechet": math.nan}),
            But(0, {"frechet": FALLS}), But(0, {"label_agreement/fake": 0.58}, (800,)),
            But(1, {"label_agreement/fake": 0.62, "label_agreement_error/fake": 0.002}, (1300,)),
        )),
    Row("labels of the latest fakes are not those requested", WeakConditioning,
        ((1000, {f"online_{name}": value for name, value in LABELLED.items() if name != "frechet"} | {"online_frechet/fake": 0.1}),
         (1500, {"online_label_agreement/fake": 0.58})), (1300,),
        (0.58, 0.63, "online_label_agreement/fake", 201, None), every=100, but=(
            But(1, {"online_label_agreement/fake": 0.6}), But(0, {"online_label_agreement/fake": 0.58}, (800,)),
            But(0, {"online_label_agreement/fake": 0.58, "online_frechet/fake": lambda step: 0.009 * 0.9 ** (step / 100)}, (800,)),
        )),
    Row("labels are ignored while the fakes improve", WeakConditioning, ((1500, IGNORED),), (500,),
        (0.1, 0.3, "label_agreement/fake", 401, 1), (0.1, 0.3, "label_agreement/fake", 401, 1), every=100, but=(
            But(0, {"label_agreement/fake": 0.29}), But(0, {"label_agreement/fake": 0.28}, (500,)),
            But(0, {"label_agreement_error/fake": 0.12}), But(0, {"label_agreement/real": 0.12}),
            But(0, {"modes_missing": 6.0}, (1000,)), But(0, {"modes": None}, (1000,)),
            But(0, {"label_agreement/fake": lambda step: min(0.9, step / 3000)}),
        )),
    Row("fakes have other labels than requested", WeakConditioning, ((960, OTHER),), (160,),
        (0.03, 0.075, "online_label_agreement/fake", 160, 1), every=80, but=(
            But(0, {"online_label_agreement/fake": 0.06}), But(0, {"online_label_agreement_error/fake": 0.023}),
            But(0, {"online_label_chance/fake": 0.06}), But(0, {"online_label_agreement/fake": 0.03}, until=80),
        )),
    Row("fakes get other labels from a step on", WeakConditioning,
        ((480, {**OTHER, "online_label_agreement/fake": 0.121}), (960, {"online_label_agreement/fake": 0.03})), (640,),
        (0.03, 0.075, "online_label_agreement/fake", 81, 560), every=80, but=(
            But(0, {"online_label_agreement/fake": 0.119}, (640,), first=(0.03, 0.075, "online_label_agreement/fake", 640, 1)),
        )),
    Row("a generator gives other labels than requested", WeakConditioning,
        ((600, {**LABELLED, "label_agreement/fake": 0.05, "modes": 10.0, "modes_missing": 5.0, "frechet": FALLS}),), (200,),
        (0.05, 0.075, "label_agreement/fake", 200, 1), every=100, but=(
            But(0, {"label_agreement/fake": 0.056}, (500,)), But(0, {"modes_missing": 6.0}),
        )),
    Row("labels tell nothing about the reals", WeakConditioning,
        ((960, {**OTHER, "online_label_agreement/real": 0.13, "online_label_agreement/fake": 0.5}),), (240,),
        (0.13, 0.14, "online_label_agreement/real", 240, 1), every=80, but=(
            But(0, {"online_label_agreement/real": 0.141}), But(0, {"online_label_chance/real": None}),
            But(0, {"online_label_chance/real": 0.36, "online_label_agreement/real": 0.36}),
        )),
    Row("labels are ignored from a step on", WeakConditioning,
        ((600, {**IGNORED, "label_agreement/fake": 0.7}), (1500, {"label_agreement/fake": 0.1})), (900,),
        (0.1, 0.3, "label_agreement/fake", 201, 700), every=100, but=(But(0, {"label_agreement/fake": 0.6}, (1100,)),)),
]  # fmt: skip

FINITE = {"loss/g": 0.7, "loss/d": 1.2, "data_nonfinite/fake": 0.0, "data_nonfinite/real": 0.0}
NON_FINITE = [
    Row("a loss is infinite", NonFinite,
        ((40, FINITE), (50, {"loss/g": math.inf}), (90, FINITE)), (41, 50), (math.inf, 0.0, "loss/g", 1, 41),
        (math.inf, 0.0, "loss/g", 1, 41), every=1, but=(
            But(1, {"loss/g": 0.7, "data_nonfinite/fake": 0.1}, (41, 50), first=(0.1, 0.0, "data_nonfinite/fake", 1, 41)),
            But(1, {"data_nonfinite/real": 0.1}), But(2, {"data_nonfinite/real": 0.1}, (41, 50)),
        )),
    Row("as the data were", NonFinite,
        ((40, FINITE), (41, {"loss/g": math.inf, "data_nonfinite/real": 0.1}), (120, {"data_nonfinite/real": 0.0})),
        (101,), (math.inf, 0.0, "loss/g", 1, 41), every=1),
]  # fmt: skip

GOOD, SCORED = {"frechet": 1.0, "frechet_error": 0.05}, {"score/a": 0.8, "measure_error/a": 0.02}
ERRORS = 0.05 * 2.0**0.5
FAKES = {"online_frechet/fake": 0.1, "online_frechet_error/fake": 0.002}
REGRESSION = [
    Row("twice as far as at best", QualityRegression, ((500, GOOD), (1000, {"frechet": 2.01})), (800,), (2.01, 2.0, "frechet", 201, None),
        (2.01, 2.0, "frechet", 201, None), origin="the run's best value, up to step 300", every=100, but=(
            But(1, {"frechet": 1.99}), But(0, {"frechet": 1.02}), But(1, {"frechet": 2.01, "frechet_error": 0.3}),
            But(1, {"frechet": series(*[0.0] * 5, 3.0, 3.0, 1.9, 3.0)}), But(1, {"frechet_error": math.nan}),
            But(1, {"frechet": 2.01, "reference": 2.0}), But(1, {"frechet": 2.01, "reference": 1.0}, (800,)),
            But(0, {}, (500,), until=200), But(0, {}, until=100),
            But(0, {"frechet": series(0.5, 1.0, 1.0, 1.0, 0.5)}, (800,)), But(0, {}, (600,), until=300),
        )),
    Row("twice as far as at a slightly better best", QualityRegression, ((300, GOOD), (600, {"frechet": 0.9}), (1000, {"frechet": 1.81})),
        (900,), every=100, but=(But(1, {"frechet": 1.1}),)),
    Row("the latest fakes", QualityRegression, ((500, FAKES), (1000, {"online_frechet/fake": 0.21})), (800,),
        (0.21, 0.2, "online_frechet/fake", 201, None), every=100, but=(
            But(1, {"online_frechet/fake": 0.19}), But(1, {"online_frechet/fake": 0.21, "online_reference": 2.0}),
            But(1, {"online_frechet/fake": 0.31, "online_frechet/real": 0.11, "online_frechet_error/real": 0.002}),
            But(1, {"online_frechet/fake": 0.31, "online_frechet/real": 0.09}, (800,)),
            But(1, {"online_frechet/fake": 0.21, "online_frechet_error/fake": 0.03}),
            But(0, {**FAKES, "online_frechet/fake": -0.01}, (800,)),
            But(0, {**FAKES, "energy_distance": 0.02}),
            But(0, {**FAKES, "energy_distance": lambda step: 0.02 if step <= 500 else 0.03}, (800,)),
        )),
    Row("the latest fakes, near the reals", QualityRegression,
        ((500, {**FAKES, "online_frechet/fake": -0.01}), (1000, {"online_frechet/fake": 0.041})), (800,),
        (0.041, 0.04, "online_frechet/fake", 201, None), every=100, but=(But(1, {"online_frechet/fake": 0.039}),)),
    Row("a distance without its error", QualityRegression,
        ((1000, {"frechet": lambda step: 1.0 + 0.1 * (step // 100 % 2)}), (1500, {"frechet": lambda step: 2.3 + 0.1 * (step // 100 % 2)})),
        (1300,), every=100, but=(
            But(0, {}, until=500), But(0, {"frechet": lambda step: 1.0 + 0.3 * (step // 100 % 2)}),
        )),
    Row("by four errors", QualityRegression, ((500, {**GOOD, "frechet_error": 0.2}), (1000, {"frechet": 2.14})), (800,),
        (2.14, 1.0 + 16.0 * ERRORS, "frechet", 201, None), every=100, but=(But(1, {"frechet": 2.12}),)),
    Row("over the budget", partial(QualityRegression, budget=1.5), ((500, GOOD), (1000, {"frechet": 1.79})), (800,),
        (1.79, 1.5 + 4.0 * ERRORS, "frechet", 201, None), origin="the budget", every=100, but=(
            But(1, {"frechet": 1.77}), But(0, {"frechet": 1.51}),
        )),
    Row("over a large budget", partial(QualityRegression, budget=1.9), ((500, GOOD), (1000, {"frechet": 2.01})), (800,),
        (2.01, 2.0, "frechet", 201, None), every=100, but=(But(1, {"frechet": 1.99}),)),
    Row("far from the real data", QualityRegression, ((500, {"energy_distance": 0.01}), (900, {"energy_distance": 0.101})), (640,),
        (0.101, 0.1, "energy_distance", 160, 520), but=(
            But(1, {"energy_distance": 0.099}), But(0, {"energy_distance": 0.101}), But(1, {"energy_distance": 0.101}, until=620),
            But(1, {"energy_distance": 0.101, "fake_shift": 0.41}), But(1, {"energy_distance": 0.101, "fake_shift": 0.39}, (640,)),
            But(1, {"energy_distance": 0.101, "reference": 2.0}), But(1, {"energy_distance": swings(0.2, 0.02)}),
            But(0, {"energy_distance": 0.01, "real_distance": lambda step: 4.0 if step <= 500 else 5.1}),
        )),
    Row("a lower score", QualityRegression, ((500, SCORED), (1000, {"score/a": 0.68})), (800,),
        (0.68, 0.8 - 1.6 * ERRORS, "score/a", 201, None), every=100, but=(
            But(1, {"score/a": 0.69}), But(1, {"score/a": 0.92}), But(1, {"score/a": series(*[0.0] * 5, 0.6, 0.6, 0.7, 0.6)}),
        )),
    Row("a higher cost", QualityRegression, ((500, {"cost/a": 0.8, "measure_error/a": 0.02}), (1000, {"cost/a": 0.92})), (800,),
        (0.92, 0.8 + 1.6 * ERRORS, "cost/a", 201, None), every=100, but=(But(1, {"cost/a": 0.91}),)),
]  # fmt: skip


def ranges(real: tuple[float, float], fake: tuple[float, float]) -> dict[str, float]:
    """Return the readings of two ranges."""
    return {"data_min/real": real[0], "data_max/real": real[1], "data_min/fake": fake[0], "data_max/fake": fake[1]}


UNBOUNDED = ranges((-1.0, 1.0), (-1.3, 1.4))
RANGES = [
    Row("reals out of reach", RangeMismatch, ((200, ranges((-1.0, 7.3), (-0.9, 0.9))),), (120,), (7.3, 7.2, "data_max/real", 120, 20),
        but=(
            But(0, {"data_max/real": 7.1}), But(0, ranges((-1.0, 4.2), (-0.51, 0.51)), (120,)), But(0, ranges((-1.0, 4.2), (-0.49, 0.49))),
            But(0, ranges((-1.0, 8.2), (-0.5, 1.01))), But(0, ranges((-1.0, 8.1), (-0.5, 1.0)), (120,)),
            But(0, ranges((-7.3, 1.0), (-0.9, 0.9)), (120,), first=(-7.3, -7.2, "data_min/real", 120, 20)),
            But(0, ranges((-1.0, 7.3), (0.9, 0.9))), But(0, {"data_min/fake": math.nan}),
            But(0, {**ranges((-1.0, 7.3), (-0.9, 0.91)), "data_reach/real": 7.29}, (20,)),
            But(0, {**ranges((-1.0, 7.3), (-0.9, 0.91)), "data_reach/real": 7.27}, (120,)),
            But(0, {"data_reach/real": 7.3}, (120,)),
        )),
    Row("reals that have grown", RangeMismatch,
        ((300, {**UNBOUNDED, "data_reach/real": 1.0}), (600, {"data_max/real": 8.1})), (340,), (8.1, 8.0, "data_max/real", 120, 320),
        (8.1, 8.0, "data_max/real", 120, 320), but=(
            But(1, {"data_max/real": 7.9}), But(1, {"data_min/real": -8.1, "data_max/real": 1.0}, (340,),
                first=(-8.1, -8.0, "data_min/real", 120, 320)),
            But(0, {"data_min/real": -0.5, "data_max/real": 1.1}), But(0, {}, (80,), until=40), But(0, {}, until=20),
            But(1, {"data_max/real": 8.1}, until=320), But(1, {"data_max/real": 8.1, "data_reach/real": 7.9}, until=320),
            But(1, {"data_max/real": 8.1, "data_reach/real": 8.1}, (320,)),
        )),
    Row("reals that have shrunk", RangeMismatch, ((300, UNBOUNDED), (600, {"data_min/real": -0.12, "data_max/real": 0.12})), (340,),
        (0.12, 0.125, "data_max/real", 120, 320), but=(
            But(1, {"data_min/real": -0.12, "data_max/real": 0.13}), But(1, {"data_min/real": 0.0, "data_max/real": 0.0}),
        )),
    Row("fakes that have left their bounds", RangeMismatch,
        ((60, ranges((-1.0, 1.0), (-0.91, 0.5))), (600, {"data_max/fake": 8.1})), (80,), (8.1, 8.0, "data_max/fake", 120, 80), but=(
            But(1, {"data_max/fake": 7.9}), But(0, ranges((-1.0, 1.0), (-1.1, 0.5))), But(0, ranges((-1.0, 1.0), (-0.89, 0.5))),
            But(0, {}, until=40), But(1, {"data_min/fake": -8.2}, (80,), first=(-8.2, -8.0, "data_min/fake", 120, 80)),
        )),
    Row("a bounded generator below the reals", RangeMismatch, ((200, ranges((0.0, 0.8), (-0.41, 1.0))),), (120,),
        (-0.41, -0.4, "data_min/fake", 120, 20), but=(
            But(0, {"data_min/fake": -0.39}), But(0, {"data_max/fake": 0.91}, (120,)), But(0, {"data_max/fake": 0.89}),
            But(0, {"data_max/fake": 1.01}), But(0, {"data_min/fake": lambda step: -0.41 if step > 40 else 0.0}, (140,)),
        )),
    Row("above narrow reals", RangeMismatch, ((200, ranges((-0.4, 0.4), (-0.45, 0.95))),), (120,), (0.95, 0.8, "data_max/fake", 120, 20)),
    Row("above constant reals", RangeMismatch, ((200, ranges((0.2, 0.2), (0.1, 0.95))),), (120,), (0.95, 0.2, "data_max/fake", 120, 20)),
]  # fmt: skip

MOVES = {"update_to_weight/g": 1e-3, "energy_distance": 0.051, "d_auc": 0.979}
NEARER = {"energy_distance": 0.049, "precision": 0.24, "coverage": 0.09}
STALLS = [
    Row("weights at rest", Stall, ((500, MOVES), (900, {"update_to_weight/g": 4.9e-6}), (1000, MOVES)), (720, 900),
        (0.051, 0.05, "energy_distance", 200, 520), (0.051, 0.05, "energy_distance", 380, 520), but=(
            But(1, {"update_to_weight/g": 5.1e-6}), But(0, {"energy_distance": 0.049}), But(0, {"d_auc": 0.981}),
            But(0, {"energy_distance": None}), But(0, {"d_auc": None}, (720, 900)),
            But(0, {"update_to_weight/g": 1e-5}), But(0, {}, (320, 900), until=100), But(0, {}, (320, 900), until=80),
        )),
    Row("weights at rest in any training", Stall,
        ((500, {**MOVES, "update_to_weight/g": 1e-5}), (900, {"update_to_weight/g": 0.9e-6})), (720,),
        but=(But(1, {"update_to_weight/g": 1.1e-6}),)),
    Row("at rest with bad samples", Stall, ((500, {**MOVES, **NEARER}), (900, {"update_to_weight/g": 1e-9})), (720,),
        (0.24, 0.25, "precision", 200, 520), but=(
            But(0, {"precision": 0.26}), But(0, {"coverage": 0.11}), But(1, {"precision": None, "update_to_weight/g": 1e-9}),
        )),
    Row("at rest since the second step", partial(Stall, window=1), ((1, MOVES), (4, {"update_to_weight/g": 1e-9})), (3,),
        (0.051, 0.05, "energy_distance", 1, 2), every=1),
    Row("no progress", Stall, ((3000, {**MOVES, "energy_distance": 0.101}),), (400,), (0.101, 0.1, "energy_distance", 180, 220),
        (0.101, 0.1, "energy_distance", 740, 2260), but=(
            But(0, {"energy_distance": 0.099}), But(0, {"update_to_weight/g": 6e-4}, (880,)), But(0, {"update_to_weight/g": 1e-5}),
            But(0, {"energy_distance": swings(0.3, 0.099)}),
        )),
    Row("progress that ends", Stall, ((300, {**MOVES, "energy_distance": 0.3}), (2000, {"energy_distance": 0.239})), (600,),
        but=(But(1, {"energy_distance": 0.241}, (460,)), But(1, {"energy_distance": 0.271}, (400,)))),
    Row("no progress for half of the run", partial(Stall, patience=200),
        ((200, {**MOVES, "energy_distance": 0.3}), (400, {"energy_distance": 0.2}), (2500, {"energy_distance": 0.15})), (640,)),
    Row("as far as can be", Stall, ((2500, {**MOVES, "energy_distance": 1.9}),), (400,), (1.9, 0.1, "energy_distance", 180, 220)),
]  # fmt: skip

LEARNS = {
    "grad_norm/g": 2.0, "grad_first_to_last/g": 0.3, "update_to_weight/g": 2e-3, "d_auc": 0.979, "weight_norm/g": 10.0,
    "weight_norm/d": 20.0,
}  # fmt: skip
FAINT = {"grad_norm/g": 0.0199, "update_to_weight/g": 0.9e-5}
SWALLOWED = {"grad_first_to_last/g": 0.9e-3, "update_to_weight/g": 0.9e-5}
LOW_NORM = (0.0199, 0.02, "grad_norm/g", 60, 720)
VANISHING = [
    Row("faint and still", VanishingGradients, ((700, LEARNS), (900, FAINT)), (740,), LOW_NORM,
        (0.0199, 0.02, "grad_norm/g", 60, 860), but=(
        But(1, {**FAINT, "grad_norm/g": 0.0201}), But(1, {**FAINT, "update_to_weight/g": 1.1e-5}), But(0, {"d_auc": 0.981}),
        But(0, {"d_auc": None}, (740,)), But(0, {"grad_norm/g": 1.9}), But(0, {"update_to_weight/g": 0.9e-5}),
        But(0, {}, (460,), until=420),
        But(1, {**FAINT, "update_to_weight/g": 2e-3, "grad_first_to_last/g": 0.9e-3}, (740,)),
        But(1, {**FAINT, "weight_norm/g": 24.9}, (740,)), But(1, {**FAINT, "weight_norm/g": 25.1}),
    )),
    Row("swallowed and still", VanishingGradients,
        ((700, LEARNS), (900, SWALLOWED)), (740,), (0.9e-3, 1e-3, "grad_first_to_last/g", 60, 720),
        but=(But(1, {**SWALLOWED, "grad_first_to_last/g": 1.1e-3}), But(0, {"d_auc": 0.981}, (740,)),
             But(0, {"grad_first_to_last/g": 0.9e-3}, (740,)), But(1, {"grad_norm/g": 0.0199, "update_to_weight/g": 2e-3}, (740,)))),
    Row("swallowed since the start", VanishingGradients,
        ((700, {**LEARNS, "grad_first_to_last/g": 0.9e-3}), (900, {"grad_norm/g": 0.0199}))),
    Row("a dead first layer", VanishingGradients, ((700, LEARNS), (900, {"grad_first_to_last/g": 0.99e-5})), (740,),
        (0.99e-5, 1e-3, "grad_first_to_last/g", 60, 720), but=(But(1, {"grad_first_to_last/g": 1.01e-5}),)),
    Row("no weights are left", VanishingGradients, ((700, LEARNS), (900, {"weight_norm/g": 0.0199})), (740,),
        (0.000995, 1e-3, "weight_norm/g", 60, 720), but=(But(1, {"weight_norm/g": 0.0201}), But(0, {"d_auc": 0.981}, (740,)))),
    Row("leapt after two readings", VanishingGradients, ((40, LEARNS), (900, {"weight_norm/g": 25.1}), (1200, FAINT))),
    Row("thrown about by one step", VanishingGradients, ((700, LEARNS), (720, {"update_to_weight/g": 0.0151}), (900, FAINT)), but=(
        But(1, {"update_to_weight/g": 0.0149}, (760,)), But(1, {"update_to_weight/g": 0.0151, "weight_norm/g": 8.9}, (760,)),
        But(1, {"update_to_weight/g": 0.0151, "weight_norm/g": 9.1}), But(0, {"weight_norm/g": 0.19}, (760,)),
        But(0, {"weight_norm/g": 0.21}),
        But(2, {**FAINT, "energy_distance": 0.099}, (760,)), But(2, {**FAINT, "energy_distance": 0.101}),
    )),
    Row("thrown about by the first step", VanishingGradients,
        ((20, {**LEARNS, "weight_norm/g": 0.5, "weight_norm/d": 1.0, "update_to_weight/g": 0.0151}), (100, {"update_to_weight/g": 2e-3}),
         (900, SWALLOWED)), (520,), (0.9e-3, 1e-3, "grad_first_to_last/g", 60, 480),
        but=(
            But(0, {"weight_norm/g": 0.005, "weight_norm/d": None}, (520,)), But(0, {"weight_norm/g": None}, (140,)),
            But(0, {"grad_first_to_last/g": 0.9e-3}, (140,)), But(1, {"update_to_weight/g": 2e-3}, (300,), until=260),
        )),
]  # fmt: skip

ALONE = {"grad_norm/g": 1.0, "loss/g": swing(0.9, 1.0, 1.1)}
RESTS = {"grad_norm/g": 0.09, "loss/g": swing(0.991, 1.0, 1.009)}
FAINT_ALONE = [
    Row("faint, and the loss rests", VanishingGradients, ((1000, ALONE), (1400, RESTS), (1800, ALONE)), (1200, 1400),
        (0.09, 0.1, "grad_norm/g", 200, 1020), (0.09, 0.1, "grad_norm/g", 200, 1220), but=(
            But(1, {"grad_norm/g": 0.11}), But(1, {"loss/g": swing(0.989, 1.0, 1.011)}), But(1, {"loss/g": None}),
            But(1, {"update_to_weight/g": 2e-3}), But(1, {"grad_first_to_last/g": 0.3}), But(0, {}, until=80),
            But(0, {}, (600, 1400), until=300),
        )),
    Row("faint, and the scores of fakes rest", VanishingGradients,
        ((1000, {"grad_norm/g": 1.0, "d_output/fake": swing(-0.1, 0.0, 0.1)}),
         (1400, {"grad_norm/g": 0.09, "d_output/fake": swing(-0.009, 0.0, 0.009)})), (1200,), (0.09, 0.1, "grad_norm/g", 200, 1020)),
]  # fmt: skip

SETTLED = {"fake_shift": 0.15, "energy_distance": 0.005, "d_auc": 0.41, "pairwise_ratio": 0.16}
SWINGS = {"fake_shift": 0.41, "energy_distance": swing(0.031, 0.07, 0.131)}
PACED = {"update_to_weight/g": 2e-3, "update_to_weight/d": 1e-3}
SINCE_START, LEFT = (0.41, 0.4, "fake_shift", 400, 1), (0.61, 0.6, "fake_shift", 200, 710)
OSCILLATION = [
    Row("swings since the start", Oscillation, ((1000, {**SETTLED, **SWINGS}),), (800,), SINCE_START, SINCE_START, but=(
        But(0, {"fake_shift": 0.39}), But(0, {"energy_distance": swing(0.031, 0.07, 0.107)}, (800,)),
        But(0, {"energy_distance": swing(0.031, 0.07, 0.105)}), But(0, {"energy_distance": swing(0.0, 0.046, 0.1)}, (800,)),
        But(0, {"energy_distance": swing(0.0, 0.044, 0.1)}), But(0, {"d_auc": 0.39}), But(0, {"pairwise_ratio": 0.14}),
        But(0, {"update_to_weight/g": 4.9e-3, "update_to_weight/d": 1e-3}, (800,)),
        But(0, {"update_to_weight/g": 5.1e-3, "update_to_weight/d": 1e-3}),
    )),
    Row("eight turns", partial(Oscillation, min_turns=8), ((1000, {**SETTLED, **SWINGS}),), (800, 800, 860, 860, 900, 900, 960, 960, 1000)),
    Row("swings at last", Oscillation, ((700, {**SETTLED, **SWINGS}), (1000, {"fake_shift": 0.5})), (800,), SINCE_START),
    Row("swings, and comes nearer", Oscillation,
        ((600, {**SETTLED, **SWINGS, "energy_distance": swing(0.1, 0.2, 0.3)}), (1400, {"energy_distance": swing(0.1, 0.149, 0.3)})),
        (940,), but=(But(1, {"energy_distance": swing(0.1, 0.151, 0.3)}, (800,)),)),
    Row("swings after they had settled", Oscillation,
        ((700, {**SETTLED, **PACED}), (880, {**SWINGS, "fake_shift": 0.61})), (800,), LEFT, LEFT, but=(
            But(1, {**SWINGS, "fake_shift": 0.59}), But(1, {"fake_shift": 0.61, "energy_distance": swing(0.0, 0.031, 0.051)}, (860,)),
            But(1, {"fake_shift": 0.61, "energy_distance": swing(0.0, 0.031, 0.049)}),
            But(1, {"fake_shift": 0.61, "energy_distance": swing(0.0, 0.029, 0.1)}),
            But(1, {"fake_shift": 0.61, "update_to_weight/g": 9.9e-3}, (800,)), But(1, {"fake_shift": 0.61, "update_to_weight/g": 10.1e-3}),
            But(0, {"energy_distance": 0.031}),
        )),
    Row("four turns after they had settled", partial(Oscillation, min_turns=4),
        ((700, SETTLED), (960, {**SWINGS, "fake_shift": 0.61})), (900, 900, 960)),
    Row("swings that are small, and large for them", Oscillation,
        ((700, {**SETTLED, "fake_shift": 0.05}), (880, {**SWINGS, "fake_shift": 0.21})),
        (800,), (0.21, 0.2, "fake_shift", 200, 601)),
    Row("settled at one step", Oscillation,
        ((120, {**SETTLED, **PACED}), (1000, {**SWINGS, "fake_shift": 0.61, "update_to_weight/g": 7e-3})), (220,),
        (0.61, 0.6, "fake_shift", 200, 130), (0.61, 0.4, "fake_shift", 400, 130)),
    Row("settled too shortly", Oscillation,
        ((100, {**SETTLED, "energy_distance": None}), (180, {"energy_distance": 0.005}), (500, {**SWINGS, "fake_shift": 0.61}))),
    Row("swings for a window", partial(Oscillation, min_steps=200),
        ((200, {**SETTLED, **SWINGS, "energy_distance": None}), (800, SWINGS)), (600,), (0.41, 0.4, "fake_shift", 400, 1)),
]  # fmt: skip

ROWS = [
    *BAD_BATCH, *DATA_DRIFT, *D_DOMINATION, *OVERFITTING, *explosions("g"), *explosions("d"), *G_DOMINATION, *LATENTS, *MEMORISATION,
    *COLLAPSE, *DROPPING, *CONDITIONING, *NON_FINITE, *REGRESSION, *RANGES, *REPEATS, *STALLS, *VANISHING, *OSCILLATION,
    *LOST_CONTEST, *FAINT_ALONE,
    *COLLAPSE, *DROPPING, *CONDITIONING, *MISMATCH, *NON_FINITE, *REGRESSION, *RANGES, *STALLS, *VANISHING, *OSCILLATION,
]  # fmt: skip


@pytest.mark.parametrize("row", [one for row in ROWS for one in row.variants()], ids=lambda row: row.title)
def test_an_alarm_begins_and_ends_where_it_should(row: Row) -> None:
    found = row.verdicts()
    assert spans(list(found), row.every, row.phases[-1][0]) == row.fires
    for wanted, verdict in ((row.first, found and found[min(found)]), (row.last, found and found[max(found)])):
        if wanted is not None:
            assert evidence(verdict) == tuple(pytest.approx(one, nan_ok=True) if isinstance(one, float) else one for one in wanted)
    assert not row.origin or found[min(found)].origin == row.origin


READY = [  # readings, steps between them, first step at which it can judge, an input without which it cannot
    (DiscriminatorDomination, LEADS, 20, 400, "energy_distance"),
    (DiscriminatorDomination, {"loss/d": 1.0, "loss/g": 1.0}, 20, 420, "loss/g"),
    (DiscriminatorDomination, {name: value for name, value in CRITIC.items() if name != "loss/g"}, 20, 420, "grad_norm/g"),
    (DiscriminatorOverfitting, HELD_OUT, 100, 300, "d_heldout_error"),
    (ExplodingGradients, {"grad_norm/g": 1.0, "grad_norm/d": 1.0}, 1, 6, "grad_norm/d"),
    (GeneratorDomination, CHANCE, 10, 100, "update_to_weight/d"),
    (LatentFault, DRAWN, 10, 40, "latent_repeated"),
    (CopiedSamples, UNSEEN, 100, 300, "copy_share"),
    (MismatchedReals, ONE_SOURCE, 100, 100, "heldout_lacking"),
    (ModeCollapse, VARIED, 20, 420, "energy_distance"),
    (ModeDropping, STAYS, 100, 300, "modes"),
    (WeakConditioning, LABELLED, 100, 300, "label_agreement/real"),
    (QualityRegression, GOOD, 100, 300, "frechet_error"),
    (RangeMismatch, UNBOUNDED, 20, 120, "data_max/fake"),
    (RepeatedBatches, ANEW, 10, 110, "batches_repeated/real"),
    (Stall, MOVES, 20, 200, "energy_distance"),
    (VanishingGradients, LEARNS, 20, 60, "grad_norm/g"),
    (VanishingGradients, {"grad_norm/g": 1.0, "loss/g": 1.0}, 20, 600, "loss/g"),
    (Oscillation, SETTLED, 20, 200, "fake_shift"),
]


@pytest.mark.parametrize(("cls", "values", "every", "due", "needed"), READY, ids=lambda one: one.__name__ if isinstance(one, type) else "")
def test_it_can_judge_from_a_step_on_and_only_with_what_it_needs(
    cls: type[Detector], values: Mapping[str, float], every: int, due: int, needed: str
) -> None:
    detector, without = cls(), cls()
    ready = []
    for step in range(every, 2 * due, every):
        detector.update(Readings(step, values))
        without.update(Readings(step, {name: value for name, value in values.items() if name != needed}))
        ready += [step] if detector.is_ready else []
    assert ready[0] == due
    assert not without.is_ready


@pytest.mark.parametrize(("cls", "values"), [(DiscriminatorOverfitting, HELD_OUT), (CopiedSamples, UNSEEN)])
def test_without_held_out_samples_it_does_not_apply(cls: type[Detector], values: Mapping[str, float]) -> None:
    detector = cls()
    assert isinstance(detector.update(Readings(1, {"d_auc": 0.8, "frechet": 1.0})), NotApplicable)
    assert detector.update(Readings(2, values)) is None
    assert detector.update(Readings(3, {"d_auc": 0.8, "frechet": 1.0})) is None


def test_a_negative_loss_of_d_alone_says_nothing() -> None:
    detector, losses = DiscriminatorDomination(), {"loss/d": -1.0, "loss/g": 1.0}
    assert isinstance(detector.update(Readings(1, losses)), NotApplicable)
    assert isinstance(detector.update(Readings(2, {**losses, "loss/d": 1.0})), NotApplicable)
    assert detector.update(Readings(3, {**losses, **CONTEST})) is None


@pytest.mark.parametrize(
    ("real", "words"),
    [
        ({41: 0.1}, "loss/g is nan and stays so after real data of step 41 that was not finite."),
        ({30: 0.1}, "loss/g is nan although the real batch was finite."),
        ({41: None}, "loss/g is nan; it is unknown whether the data caused it."),
    ],
)
def test_a_loss_that_is_not_finite_names_the_part_of_the_data(real: dict[int, float | None], words: str) -> None:
    row = Row("", NonFinite, ((40, FINITE), (110, {"loss/g": math.nan, "data_nonfinite/real": lambda step: real.get(step, 0.0)})), every=1)
    assert row.verdicts()[110].explanation == words


def test_a_swing_lies_between_the_outer_twentieths_and_turns_between_its_outer_thirds() -> None:
    window = Window(100)
    for step in range(1, 101):
        window.add(step, float(step))
    assert _measure_swing(window) == (90.0, 1)
    assert [count_turns([low, high], 0.0, 0.9) for low, high in ((0.29, 0.61), (0.31, 0.61), (0.29, 0.59))] == [1, 0, 0]


def test_the_demo_of_oscillation_swings_once_in_120_steps() -> None:
    readings, onset = Oscillation.demo(0)
    distances = {one.step: one.values["energy_distance"] for one in readings if one.step >= onset}
    wanted = {510: 0.6, 520: 0.35 + 0.25 * math.sin(2.0 * math.pi / 3.0), 540: 0.35, 570: 0.1, 630: 0.6}
    assert {step: distances[step] for step in wanted} == pytest.approx(wanted)


@pytest.mark.parametrize("factor", [2.0, 100.0])
def test_the_explanation_names_a_learning_rate_that_jumped(factor: float) -> None:
    detector, verdict = ExplodingGradients(), None
    for step in range(1, 200):
        has_jumped = step > 100
        values = {"grad_norm/g": 2.0, "grad_norm/d": 200.0 if has_jumped else 2.0, "learning_rate/d": factor if has_jumped else 1.0}
        verdict = detector.update(Readings(step, values)) or verdict
    assert isinstance(verdict, Verdict)
    assert ("its learning rate is 1e+02, 100 times the usual one" in verdict.explanation) == (factor > 3.0)
