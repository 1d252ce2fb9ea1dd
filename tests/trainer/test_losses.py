"""Losses and penalties against closed forms."""

import math

import pytest
import torch

from ganwatch.core.errors import UserError
from ganwatch.trainer import losses

REAL = torch.tensor([0.3, -1.2, 2.5])
FAKE = torch.tensor([-0.7, 1.4, 0.1])


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def mean(function, outputs):
    return sum(function(float(x)) for x in outputs) / len(outputs)


def relativistic(high, low):
    above = mean(lambda x: -math.log(sigmoid(x - mean(float, low))), high)
    below = mean(lambda x: -math.log(1 - sigmoid(x - mean(float, high))), low)
    return (above + below) / 2


CLOSED = {
    "minimax": (
        mean(lambda x: -math.log(sigmoid(x)), REAL) + mean(lambda x: -math.log(1 - sigmoid(x)), FAKE),
        mean(lambda x: math.log(1 - sigmoid(x)), FAKE),
    ),
    "non-saturating": (
        mean(lambda x: -math.log(sigmoid(x)), REAL) + mean(lambda x: -math.log(1 - sigmoid(x)), FAKE),
        mean(lambda x: -math.log(sigmoid(x)), FAKE),
    ),
    "hinge": (mean(lambda x: max(0.0, 1 - x), REAL) + mean(lambda x: max(0.0, 1 + x), FAKE), -mean(float, FAKE)),
    "least-squares": (mean(lambda x: (x - 1) ** 2 / 2, REAL) + mean(lambda x: x**2 / 2, FAKE), mean(lambda x: (x - 1) ** 2 / 2, FAKE)),
    "wgan-gp": (mean(float, FAKE) - mean(float, REAL), -mean(float, FAKE)),
    "relativistic": (relativistic(REAL, FAKE), relativistic(FAKE, REAL)),
}


@pytest.mark.parametrize("name", losses.LOSSES)
def test_closed_forms(name):
    loss = losses.loss(name)
    found = loss.discriminator(REAL, FAKE).item(), loss.generator(REAL, FAKE).item()
    assert found == pytest.approx(CLOSED[name], rel=1e-5)


@pytest.mark.parametrize("name", losses.UNSTABLE_LOSSES)
def test_textbook_form_is_the_same_function_until_it_overflows(name):
    stable, textbook = losses.loss(name), losses.loss(name, stable=False)
    assert textbook.discriminator(REAL, FAKE).item() == pytest.approx(stable.discriminator(REAL, FAKE).item(), rel=1e-5)
    assert textbook.generator(REAL, FAKE).item() == pytest.approx(stable.generator(REAL, FAKE).item(), rel=1e-5)
    certain = torch.tensor([200.0])
    assert stable.discriminator(certain, certain).item() == 200.0
    assert textbook.discriminator(certain, certain).item() == math.inf


def test_penalties_of_a_linear_discriminator():
    weights = torch.tensor([3.0, 4.0], requires_grad=True)
    real, fake = torch.randn(5, 2), torch.randn(5, 2)
    assert losses.gradient_penalty(lambda batch: batch @ weights, real, fake).item() == pytest.approx((5 - 1) ** 2)
    penalty = losses.r1_penalty(lambda batch: batch @ weights, real)
    assert penalty.item() == pytest.approx(25 / 2)
    penalty.backward()
    assert weights.grad.tolist() == pytest.approx([3.0, 4.0])


@pytest.mark.parametrize(("name", "stable", "rule"), [("vanilla", True, "loss must be one of"), ("hinge", False, "stable=False needs")])
def test_unknown_loss_is_refused(name, stable, rule):
    with pytest.raises(UserError, match=rule):
        losses.loss(name, stable=stable)
