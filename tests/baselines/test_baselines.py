"""The rules of others that the benchmark compares with: each does what its tool documents, and saves and restores itself."""

from statistics import NormalDist

import pytest
from baselines.ada import SignOfReals
from baselines.autotrainer import OscillatingLoss
from baselines.deepdiagnosis import OutOfRange
from baselines.loss_spike import LossSpike
from baselines.sagemaker import ExplodingTensor, LossNotDecreasing
from baselines_table import discover_baselines, table_rows

from ganwatch.calibration.replayed_runs import replay_run
from ganwatch.core.detector import Verdict
from ganwatch.core.detector_settings import discover_detectors
from ganwatch.core.readings import Readings
from ganwatch.recordings import Recording
from ganwatch.testing.detectors import check_copies, check_restore

RULES = discover_baselines()


def fired(detector, readings):
    return [one.step for one in readings if isinstance(detector.update(one), Verdict)]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_silent_up_to_its_failure_and_finds_it(rule):
    readings, onset = rule.demo(seed=0)
    steps = fired(rule(), readings)
    assert steps
    assert min(steps) >= onset


@pytest.mark.parametrize("rule", RULES)
def test_a_restored_rule_goes_on_as_if_never_interrupted(rule):
    check_restore(rule, 0)
    check_copies(rule, 0)


def test_codes_are_no_one_elses():
    codes = [cls.code for cls in [*RULES, *discover_detectors()]]
    assert len(codes) == len(set(codes))


def test_a_loss_is_compared_every_ten_steps():
    losses = [1.0] * 10 + [0.9] * 10 + [0.9] + [0.1] * 9 + [0.8]
    assert fired(LossNotDecreasing(), [Readings(step, {"loss/d": loss}) for step, loss in enumerate(losses, 1)]) == list(range(21, 31))


def test_a_spike_stays_out_of_the_mean():
    losses = [1.0, 1.1, 2.9, 9.0, 9.0, 1.2]
    assert fired(LossSpike(), [Readings(step, {"loss/g": loss}) for step, loss in enumerate(losses, 1)]) == [4, 5]


@pytest.mark.parametrize(("fakes", "reals", "out"), [((-1, 1), (-1, 1), False), ((-1, 1), (0, 255), True), ((-9, 9), (-1, 1), False),
                                                     ((-11, 11), (-1, 1), True), ((0, 1), (-1, 1), True)])
def test_targets_must_be_within_what_the_last_activation_can_give(fakes, reals, out):
    names = ("data_min/fake", "data_max/fake", "data_min/real", "data_max/real")
    assert bool(fired(OutOfRange(), [Readings(1, dict(zip(names, map(float, (*fakes, *reals)), strict=True)))])) is out


@pytest.mark.parametrize(("mean", "above"), [(0.83, False), (0.86, True)])  # a normal's mean sign is 0.6 at 0.8416 standard deviations
def test_the_mean_sign_is_that_of_normal_outputs(mean, above):
    auc = NormalDist().cdf(mean / 2**0.5)
    looks = [Readings(step, {"d_output/real": 3.0, "d_output/fake": 0.0, "d_auc": auc}) for step in range(1, 5)]
    assert bool(fired(SignOfReals(), looks)) is above


def test_an_oscillation_swings_at_a_fifth_of_the_looks():
    calm = [0.8, 0.81] * 20
    assert fired(OscillatingLoss(), [Readings(step, {"d_auc": level}) for step, level in enumerate(calm, 1)]) == []
    wild = calm + [0.8, 0.9] * 20
    assert 56 <= fired(OscillatingLoss(), [Readings(step, {"d_auc": level}) for step, level in enumerate(wild, 1)])[0] <= 70


def test_the_table_counts_what_a_rule_claims():
    stream = list(ExplodingTensor.demo(seed=0)[0])
    runs = [
        Recording("fails", stream, {"label": "non-finite", "codes": ["GW303"], "onset": 100}),
        Recording("other", stream[:99], {"label": "stall", "codes": ["GW403"]}),
        Recording("healthy", stream[:99], {"label": "healthy"}),
        Recording("flagged", stream[50:], {"label": "healthy"}),
    ]
    first, second = table_rows("rule", [replay_run(run, [ExplodingTensor()]) for run in runs], ExplodingTensor.claims)
    assert (first[:3], first[6]) == (["rule", "any alarm", "1 of 2"], "1 of 2")
    assert float(first[4]) == pytest.approx(1e5 / (99 + len(stream) - 50), rel=0.01)
    assert second[1:3] == ["non-finite", "1 of 1"]
