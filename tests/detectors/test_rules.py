"""Rules of single detectors that a demo does not cover: streams on which one fires, and similar ones on which it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from ganwatch.core.detector import Detector
from ganwatch.core.readings import Readings
from ganwatch.detectors.discriminator_domination import DiscriminatorDomination
from ganwatch.detectors.exploding_gradients import ExplodingGradients
from ganwatch.detectors.flipped_objective import FlippedObjective
from ganwatch.detectors.generator_domination import GeneratorDomination
from ganwatch.detectors.memorisation import CopiedSamples
from ganwatch.detectors.mode_collapse import ModeCollapse
from ganwatch.detectors.oscillation import Oscillation
from ganwatch.detectors.range_mismatch import RangeMismatch
from ganwatch.detectors.vanishing_gradients import VanishingGradients

SAMPLE_EVERY, CAUSE, END = 20, 700, 1400


def between(low: float, high: float, period: int = 120) -> Callable[[int], float]:
    """Return a function of the step that swings between two values."""
    return lambda step: (low + high) / 2.0 + (high - low) / 2.0 * math.sin(2.0 * math.pi * step / period)


def within(steps: int) -> range:
    """Return the steps from the cause on."""
    return range(CAUSE, CAUSE + steps + 1)


Values = Mapping[str, float | Callable[[int], float]]


@dataclass(frozen=True)
class Row:
    """Readings before and after the cause, and the steps of the first alarm, None if there must be none."""

    title: str
    detector: type[Detector]
    before: Values
    after: Values
    due: range | None

    def fired(self) -> int | None:
        detector = self.detector()
        for step in range(SAMPLE_EVERY, END + 1, SAMPLE_EVERY):
            values = {**self.before, **(self.after if step >= CAUSE else {})}
            if detector.update(Readings(step, {name: value(step) if callable(value) else value for name, value in values.items()})):
                return step
        return None


NEAR = {"pairwise_ratio": 1.0, "vendi_ratio": 1.1, "energy_distance": 0.01}
FEW = {"pairwise_ratio": 0.8, "vendi_ratio": 0.5, "energy_distance": 0.2}
LEARNS = {"grad_norm/g": 1.0, "grad_first_to_last/g": 0.3, "update_to_weight/g": 2e-3, "weight_norm/g": 10.0, "weight_norm/d": 20.0}
DEAD = {"grad_norm/g": 1e-4, "grad_first_to_last/g": 1e-7, "update_to_weight/g": 1e-6}
SETTLED = {"fake_shift": 0.15, "energy_distance": 0.005, "d_auc": 0.75, "pairwise_ratio": 1.0}
SWINGS: Values = {"fake_shift": 0.75, "energy_distance": between(0.02, 0.13)}
PACED = {"update_to_weight/g": 2e-3, "update_to_weight/d": 1e-3}
EXPLODES = {"update_to_weight/g": 1.2, "update_to_weight/d": 1e-3, "weight_norm/g": 10.0, "weight_norm/d": 20.0}
PACE = {"d_auc": 0.75, "energy_distance": 0.02, "update_to_weight/g": 2e-3, "update_to_weight/d": 1e-3, "pairwise_ratio": 1.0}
UNTRAINED = {**PACE, "d_auc": 0.5, "energy_distance": 0.5, "update_to_weight/d": 0.0, "zero_gradient/d": 1.0}
THINNER = {"pairwise_ratio": 0.5, "vendi_ratio": 0.9, "energy_distance": 0.2}
WIDE = {"pairwise_ratio": 1.8, "energy_distance": 0.05}
NARROW = {"data_min/real": 0.0, "data_max/real": 0.2, "data_min/fake": -0.1}
BOUNDED = {"data_min/real": -2.0, "data_max/real": 2.4, "data_min/fake": -1.0, "data_max/fake": 1.0}
RANGES = {"data_min/real": -1.0, "data_max/real": 1.0, "data_min/fake": -1.3, "data_max/fake": 1.4}

VARIES: Values = {"fake_shift": 0.4, "energy_distance": 0.06, "vendi_ratio": between(0.5, 2.5)}
GROWS: Values = {"grad_norm/g": lambda step: 1.01**step, "grad_norm/d": 1.0}
CALM = {**EXPLODES, "update_to_weight/g": 1e-3, "grad_norm/g": 1.0, "grad_norm/d": 1.0, "learning_rate/g": 5e-4}
TINY = {"grad_norm/g": 80.0, "grad_to_output/g": 8e-7}
ZERO = {"grad_norm/g": 0.0, "grad_first_to_last/g": 0.0, "update_to_weight/g": 0.0, "d_auc": 0.5}
DISTINCT = {"memorisation": 0.5, "memorisation_error": 0.03, "copy_share": 0.0, "frechet": 1.0, "vendi_ratio": 1.0}
COPIES = {"memorisation": 0.95}

ROWS = [
    Row("a leap away from where the fakes had settled", ModeCollapse, NEAR, FEW, within(0)),
    Row("a leap of fakes that had not settled", ModeCollapse, {**NEAR, "energy_distance": between(0.01, 0.15)}, FEW, None),
    Row("little variety, near by", ModeCollapse, NEAR, {**FEW, "energy_distance": 0.03}, None),
    Row("few of very many kinds", ModeCollapse, NEAR, {**FEW, "pairwise_ratio": 1.0, "energy_distance": 0.09}, within(80)),
    Row("few of very many kinds, not so far", ModeCollapse, NEAR, {**FEW, "pairwise_ratio": 1.0, "energy_distance": 0.07}, None),
    Row("variety beyond that of the reals is no level to fall from", ModeCollapse, {**NEAR, "vendi_ratio": 1.8}, THINNER, None),
    Row("spread beyond that of the reals is none either", ModeCollapse, {**NEAR, **WIDE}, {**FEW, "energy_distance": 0.13}, None),
    Row("no weights are left", VanishingGradients, LEARNS, {"weight_norm/g": 1e-3}, within(80)),
    Row("weights have shrunk by half", VanishingGradients, LEARNS, {"weight_norm/g": 5.0}, None),
    Row("a dead first layer", VanishingGradients, LEARNS, DEAD, within(80)),
    Row("dead after being thrown about", VanishingGradients, {**LEARNS, "update_to_weight/g": 0.03}, DEAD, range(CAUSE + 480, CAUSE + 500)),
    Row("dead long after it was thrown about", VanishingGradients, {**LEARNS, "update_to_weight/g": 0.03, **NEAR}, DEAD, within(80)),
    Row("dead where it leapt to", VanishingGradients, LEARNS, {**DEAD, "weight_norm/g": 60.0}, None),
    Row("swings of networks that had settled", Oscillation, SETTLED, SWINGS, within(240)),
    Row("swings since the start", Oscillation, {**SETTLED, **SWINGS, "energy_distance": between(0.05, 0.4)}, {}, range(800, 860)),
    Row("far, and still", Oscillation, SETTLED, {**SWINGS, "energy_distance": 0.13}, None),
    Row("a collapsed generator that hops", Oscillation, SETTLED, {**SWINGS, "pairwise_ratio": 0.02}, None),
    Row("a generator that has outrun its judge", Oscillation, {**SETTLED, **PACED}, {**SWINGS, "update_to_weight/g": 0.05}, None),
    Row("updates that replace the weights", ExplodingGradients, {**EXPLODES, "update_to_weight/g": 1e-3}, EXPLODES, within(60)),
    Row("the same, of weights that are gone", ExplodingGradients, {**EXPLODES, "weight_norm/g": 0.01}, {}, None),
    Row("variety that swings", Oscillation, {**SETTLED, "vendi_ratio": 1.0}, VARIES, within(300)),
    Row("variety that swings while the fakes stay put", Oscillation, {**SETTLED, "vendi_ratio": 1.0}, {**VARIES, "fake_shift": 0.2}, None),
    Row("a norm that grows slowly", ExplodingGradients, {**EXPLODES, **GROWS, "update_to_weight/g": 1e-3}, {}, None),
    Row("a norm that leaps", ExplodingGradients, CALM, {"grad_norm/g": 80.0}, within(40)),
    Row("a norm that leaps where nothing arrives", ExplodingGradients, {**CALM, "grad_to_output/g": 1e-8}, TINY, None),
    Row("a rate that kills its network", ExplodingGradients, CALM, {"learning_rate/g": 0.05, "update_to_weight/g": 1e-5}, within(40)),
    Row("a rate that is raised and lived with", ExplodingGradients, CALM, {"learning_rate/g": 0.05, "update_to_weight/g": 0.02}, None),
    Row("nothing arrives", VanishingGradients, {**LEARNS, "grad_to_output/g": 10.0}, {"grad_to_output/g": 1e-6}, within(80)),
    Row("an output saturated at one sample", VanishingGradients, LEARNS, {**ZERO, "pairwise_ratio": 0.0, "d_auc": 1.0}, None),
    Row("no gradient, and many samples", VanishingGradients, LEARNS, {**ZERO, "pairwise_ratio": 0.9}, within(80)),
    Row("copies", CopiedSamples, DISTINCT, COPIES, within(60)),
    Row("few samples that look like copies", CopiedSamples, {**DISTINCT, "vendi_ratio": 0.1}, COPIES, None),
    Row("a discriminator that is fooled", GeneratorDomination, {**PACE, "energy_distance": 0.3}, {"d_auc": 0.02}, within(200)),
    Row("one that ranks half of the pairs wrong", GeneratorDomination, {**PACE, "energy_distance": 0.3}, {"d_auc": 0.5},
        range(CAUSE + 300, CAUSE + 420)),
    Row("the same near the reals", GeneratorDomination, {**PACE, "energy_distance": 0.19}, {"d_auc": 0.5}, None),
    Row("the same with fakes that are alike", GeneratorDomination, {**PACE, "energy_distance": 0.3, "pairwise_ratio": 0.4},
        {"d_auc": 0.5}, None),
    Row("the same while neither learns", GeneratorDomination, {**PACE, "energy_distance": 0.3, "update_to_weight/g": 1e-4},
        {"d_auc": 0.5}, None),
    Row("the same while it gets better", GeneratorDomination, {**PACE, "energy_distance": lambda step: 0.9 * 0.9 ** (step / 150)},
        {"d_auc": 0.5}, None),
    Row("gradients that cancel out", GeneratorDomination, UNTRAINED, {"output_gradient/d": 0.5}, within(200)),
    Row("a loss that has not begun", GeneratorDomination, UNTRAINED, {"output_gradient/d": 0.0}, None),
    Row("fakes in place of reals", FlippedObjective, {"reals_given": 1.0}, {"reals_given": 0.0}, within(80)),
    Row("reals now and then", FlippedObjective, {"reals_given": 1.0}, {"reals_given": lambda step: float(step % 60 == 0)}, None),
    Row("a generator held back", DiscriminatorDomination, PACE, {"update_to_weight/g": 1e-5}, within(300)),
    Row("both held back", DiscriminatorDomination, PACE, {"update_to_weight/g": 1e-5, "update_to_weight/d": 5e-6}, None),
    Row("a discriminator at rest", GeneratorDomination, PACE, {"update_to_weight/d": 0.0}, within(200)),
    Row("both at rest", GeneratorDomination, PACE, {"update_to_weight/g": 0.0, "update_to_weight/d": 0.0}, None),
    Row("reals leave their own range", RangeMismatch, RANGES, {"data_min/real": 0.0, "data_max/real": 255.0}, within(160)),
    Row("reals vary within theirs", RangeMismatch, RANGES, {"data_max/real": between(0.9, 3.0)}, None),
    Row("a bounded generator beyond narrow reals", RangeMismatch, {**NARROW, "data_max/fake": 0.95}, {}, range(120, 160)),
    Row("an unbounded generator that stays small", RangeMismatch, {**NARROW, "data_max/fake": 0.6}, {}, None),
    Row("a tanh that standardised reals are beyond", RangeMismatch, {**BOUNDED, "data_reach/real": 2.2}, {}, range(160, 200)),
    Row("a tanh that few reals are beyond", RangeMismatch, {**BOUNDED, "data_reach/real": 1.1}, {}, None),
    Row("an output without negative values", RangeMismatch, {**RANGES, "data_min/fake": 0.0}, {}, range(120, 180)),
    Row("the same for reals without them", RangeMismatch, {**RANGES, "data_min/fake": 0.0, "data_min/real": 0.0}, {}, None),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_a_rule_fires_in_time_and_only_then(row: Row) -> None:
    fired = row.fired()
    assert fired is None if row.due is None else fired in row.due
