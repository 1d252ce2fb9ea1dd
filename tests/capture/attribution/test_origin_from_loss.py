"""Origins that are inferred from what the losses ask, and kept where these tell nothing."""

import pytest
import torch

from ganwatch.capture.attribution.origin_from_loss import MIN_HISTORY, OriginFromLoss
from ganwatch.capture.step import Call

SCORES = torch.linspace(-1.0, 1.0, 8)[:, None]


def call(origin, gradient, *, updates=True, in_g_phase=False):
    gradient = torch.as_tensor(gradient, dtype=torch.float32).expand_as(SCORES)
    facts = {"precedes_d_update": updates and not in_g_phase, "output_grad": gradient}
    return Call("d", (torch.zeros(8, 2),), SCORES, origin, True, 1, in_g_phase, **facts)


def assign(origins, *calls):
    origins.assign_origins(calls)
    return [one.origin for one in calls]


def is_known_after(n_steps, *gradients):
    origins = OriginFromLoss()
    for _ in range(n_steps):
        got = assign(origins, call("fake", 1.0), *(call("unknown", gradient) for gradient in gradients))
    return got[1:] == len(gradients) * ["real"]


@pytest.mark.parametrize(("n_steps", "gradients", "known"), [(4, (-1.0,), False), (5, (-1.0,), True), (5, (-1.0, -2.0), True)])
def test_batches_that_are_pushed_the_other_way_than_fakes_are_reals(n_steps, gradients, known):
    assert MIN_HISTORY == 5
    assert is_known_after(n_steps, *gradients) is known


def test_a_batch_that_was_ever_pushed_like_fakes_may_be_a_real_one_with_a_wrong_condition():
    assert not is_known_after(9, -1.0, 1.0)
    origins = OriginFromLoss()
    for step in range(9):
        got = assign(origins, call("fake", 1.0), call("unknown", 1.0 if step == 2 else -1.0))
    assert got == ["fake", "unknown"]


@pytest.mark.parametrize("gradient", [0.0, float("nan"), -1e-9])
def test_an_origin_is_kept_where_the_gradient_tells_nothing(gradient):
    origins = OriginFromLoss()
    for _ in range(MIN_HISTORY):
        assign(origins, call("fake", 1.0), call("unknown", -1.0))
    assert assign(origins, call("fake", 0.0), call("unknown", gradient)) == ["fake", "real"]


def test_one_certain_step_is_enough_where_a_discriminator_wins_at_once():
    for certain in (True, False):
        origins = OriginFromLoss()
        of_g = [call("fake", -1.0, in_g_phase=True)] if certain else []  # what G asks for says which side is that of reals
        assign(origins, call("fake", 1.0), call("unknown", -1.0), *of_g)
        assert assign(origins, call("fake", 0.0), call("unknown", 0.0)) == ["fake", "real" if certain else "unknown"]


def test_a_contradiction_is_no_certain_step():
    origins = OriginFromLoss()
    like_a_fake = call("unknown", 1.0)  # a real one with a flipped label, or with a wrong condition
    assert assign(origins, call("fake", 1.0), like_a_fake, call("fake", -1.0, in_g_phase=True)) == ["fake", "unknown", "fake"]
    assert assign(origins, call("fake", 0.0), call("unknown", 0.0)) == ["fake", "unknown"]


def test_an_origin_is_kept_where_the_discriminator_is_no_longer_updated():
    origins = OriginFromLoss()
    for _ in range(2 * MIN_HISTORY):
        assign(origins, call("fake", 1.0), call("unknown", -1.0))
    assert assign(origins, call("fake", 1.0, updates=False), call("unknown", -1.0, updates=False)) == ["fake", "real"]
    assert assign(origins, call("unknown", -1.0, updates=False)) == ["unknown"]  # another set of calls
