"""Pull of the losses on D's scores, against gradients by hand."""

import pytest
import torch

from ganwatch.capture.step import Call, Step, StepView, Update
from ganwatch.probes.discriminator import Discriminator
from ganwatch.probes.score_pull import ScorePull, measure_pull

N = 40
SCORES = torch.linspace(-1.0, 1.0, N)[:, None]


def call(origin, output_grad, *, score=SCORES, in_g_phase=False, index=20, inputs=None, **facts):
    output_grad = output_grad.expand_as(score) if output_grad is not None else None
    return Call("d", inputs or (torch.zeros(N, 2),), score, origin, True, index, in_g_phase, output_grad=output_grad, **facts)


def read(*calls, updates=1, probe=None):
    step = Step(20, calls=list(calls))
    step.counts["updates_performed/d"] = updates
    return {series: pytest.approx(float(value)) for series, value in (probe or ScorePull()).read(StepView(step)).items()}


UP, DOWN = -torch.ones(1), torch.ones(1)


def test_pull_by_hand():
    gradient = torch.tensor([-2.0, -1.0, -1.0, 0.5, 0.0])
    assert measure_pull(gradient).item() == pytest.approx(((3 - 1) / 4 + 3.5 / 4.5) / 2)
    assert measure_pull(torch.zeros(4)).item() == 0.0
    assert measure_pull(torch.tensor([1.0] + 19 * [0.0])).item() == 0.0  # too few to say anything
    assert measure_pull(torch.tensor([float("nan"), 1.0])).isnan()


def test_losses_of_a_gan():
    got = read(call("real", UP), call("fake", DOWN, score=SCORES - 5.0), call("fake", UP, in_g_phase=True))
    assert got == {"score_pull/d_real": 1.0, "score_pull/d_fake": -1.0, "score_pull/g_fake": 1.0, "score_order": -1.0}


def test_scale_and_shape_of_a_gradient_do_not_matter():
    maps = SCORES[:, :, None, None].expand(N, 1, 3, 3)
    got = read(call("real", 1e-9 * UP, score=maps), call("fake", 1e6 * DOWN, score=SCORES[:, 0]))
    assert (got["score_pull/d_real"], got["score_pull/d_fake"]) == (1.0, -1.0)


@pytest.mark.parametrize(("n_unknown", "updates", "has_real"), [(1, 1, True), (2, 1, False), (3, 5, True)])
def test_unknown_batches_beside_known_fakes_are_the_reals(n_unknown, updates, has_real):
    got = read(*n_unknown * [call("unknown", UP)], call("fake", DOWN), updates=updates)
    assert ("score_pull/d_real" in got) == has_real
    assert read(*n_unknown * [call("unknown", UP)], updates=updates) == {}


def test_calls_of_an_earlier_step_do_not_mix_with_those_of_this_one():
    assert read(call("real", DOWN, index=1), call("unknown", UP), call("fake", DOWN))["score_pull/d_real"] == 1.0


def test_outputs_without_a_high_side_are_left_out():
    image = torch.zeros(N, 1, 4, 4)
    for odd in (
        call("fake", DOWN, score=SCORES.expand(N, 5)),
        call("fake", DOWN, score=image, inputs=(image,)),
        call("fake", DOWN, has_several_backwards=True),
        call("fake", None),
    ):
        assert read(odd) == {}


def test_reals_of_a_conditional_discriminator_may_have_a_wrong_condition():
    got = read(call("real", DOWN, inputs=(torch.zeros(N, 2), torch.zeros(N))), call("fake", DOWN))
    assert got == {"score_pull/d_fake": -1.0, "score_order": 0.0}


@pytest.mark.parametrize(
    ("targets", "pulls"),
    [
        ((1.0, 0.0, 1.0), (1.0, -1.0, 1.0)),
        ((1.0, -1.0, 0.0), (1.0, -1.0, 1.0)),  # Mao et al., 2017, arXiv:1611.04076, equation 8
        ((0.0, 1.0, 0.0), (-1.0, 1.0, -1.0)),  # reals on the low side
        ((1.0, 0.0, 0.0), (1.0, -1.0, -1.0)),  # G's label is that of fakes
        ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),  # the same label for both
    ],
)
def test_least_squares_pull_towards_their_targets_wherever_the_scores_are(targets, pulls):
    for score in (SCORES - 2.0, SCORES, SCORES + 0.5):
        of_real, of_fake, of_g = (score - target for target in targets)
        got = read(call("real", of_real, score=score), call("fake", of_fake, score=score), call("fake", of_g, score=score, in_g_phase=True))
        assert tuple(got[f"score_pull/{name}"] for name in ("d_real", "d_fake", "g_fake")) == pulls


def test_least_squares_with_the_wrong_sign_push_away_from_their_target():
    got = read(call("real", SCORES - 1.0), call("fake", SCORES), call("fake", 1.0 - SCORES, in_g_phase=True))
    assert got["score_pull/g_fake"] == -1.0


def test_soft_labels_that_raise_all_scores_are_not_sure_yet():
    low = SCORES - 4.0  # below both labels, 0.9 and 0.1
    real, fake = (torch.sigmoid(low) - label for label in (0.9, 0.1))
    got = read(call("real", real, score=low), call("fake", fake, score=low))
    assert got["score_pull/d_real"] == 1.0
    assert read(call("real", fake, score=low), call("fake", fake, score=low))["score_pull/d_fake"] == 1.0
    hard = torch.sigmoid(low)  # the label of fakes for both, with scores at different distances from it
    assert read(call("real", torch.sigmoid(low + 3.0), score=low + 3.0), call("fake", hard, score=low))["score_pull/d_fake"] == -1.0


def test_a_loss_that_is_not_finite_asks_for_nothing():
    calls = [call("real", UP), call("fake", DOWN), call("fake", DOWN, in_g_phase=True)]
    step = Step(20, calls=calls, losses={"g": torch.tensor(torch.nan)})
    got = ScorePull().read(StepView(step))
    assert (float(got["score_pull/g_fake"]), float(got["score_pull/d_fake"])) == (0.0, -1.0)


@pytest.mark.parametrize("maximizes", [False, True])
def test_ranking_is_right_as_the_loss_asks(maximizes):
    probe = Discriminator()
    probe.before_update(Update("d", 20, [], [], maximizes=maximizes))
    side = DOWN if maximizes else UP
    high = SCORES + 10.0
    for asked, right in ((side, 1.0), (-side, 0.0)):
        again = Discriminator()
        again.before_update(Update("d", 20, [], [], maximizes=maximizes))
        got = read(call("real", asked, score=high), call("fake", -asked), probe=again)
        assert got["d_auc"] == right
    for _ in range(3):  # by all steps so far, not by one with flipped labels
        read(call("real", side, score=high), call("fake", -side), probe=probe)
    assert read(call("real", -side, score=high), call("fake", side), probe=probe)["d_auc"] == 1.0


def test_an_optimizer_that_maximises_turns_the_pull_round():
    probe = ScorePull()
    probe.before_update(Update("d", 20, [], [], maximizes=True))
    got = read(call("real", DOWN), call("fake", UP), call("fake", UP, in_g_phase=True), probe=probe)
    assert got == {"score_pull/d_real": 1.0, "score_pull/d_fake": -1.0, "score_pull/g_fake": 1.0, "score_order": 0.0}
