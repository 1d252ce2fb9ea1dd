"""The loss is inferred from the gradients of D's outputs, for every scale, reduction and shape, and never guessed."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

from ganwatch.capture.attribution.loss_family import infer_loss_family, select_evidence
from ganwatch.capture.step import Call

LOGITS, PROBABILITIES = "binary cross-entropy on logits (softplus)", "binary cross-entropy on probabilities (D ends in a sigmoid)"
UP, DOWN, INVERTED = "G's non-saturating", "G's saturating (minimax)", "inverted: real is the low side"


def bce(score, label):
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, label))


def prob(logit, label):
    return F.binary_cross_entropy(torch.sigmoid(logit), torch.full_like(logit, label))


# the loss of D on reals and fakes, that of G on fakes and reals, and the expected family
LOSSES = {
    "bce": (lambda r, f: bce(r, 1.0) + bce(f, 0.0), lambda f, r: bce(f, 1.0), f"{LOGITS}, {UP}"),
    "smoothed": (lambda r, f: bce(r, 0.9) + bce(f, 0.1), lambda f, r: bce(f, 1.0), f"{LOGITS}, {UP}"),
    "softplus": (lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(), lambda f, r: F.softplus(-f).mean(), f"{LOGITS}, {UP}"),
    "minimax": (lambda r, f: bce(r, 1.0) + bce(f, 0.0), lambda f, r: -bce(f, 0.0), f"{LOGITS}, {DOWN}"),
    "inverted": (lambda r, f: bce(r, 0.0) + bce(f, 1.0), lambda f, r: bce(f, 0.0), f"{LOGITS}, {UP}, {INVERTED}"),
    "least squares": (
        lambda r, f: (r - 1).pow(2).mean() + f.pow(2).mean(),
        lambda f, r: (f - 1).pow(2).mean(),
        "least squares, targets: real 1, fake 0, G 1",
    ),
    "least squares, inverted": (
        lambda r, f: r.pow(2).mean() + (f - 1).pow(2).mean(),
        lambda f, r: f.pow(2).mean(),
        f"least squares, targets: real 0, fake 1, G 0, {INVERTED}",
    ),
    "hinge": (lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(), lambda f, r: -f.mean(), "hinge, margin 1"),
    "Wasserstein": (lambda r, f: f.mean() - r.mean(), lambda f, r: -f.mean(), "Wasserstein"),
    "Wasserstein with a drift penalty": (lambda r, f: f.mean() - r.mean() + 1e-3 * r.pow(2).mean(), lambda f, r: -f.mean(), "Wasserstein"),
    "relativistic": (lambda r, f: F.softplus(f - r).mean(), lambda f, r: F.softplus(r.detach() - f).mean(), "unknown"),
    "relativistic average": (lambda r, f: bce(r - f.mean(), 1.0) + bce(f - r.mean(), 0.0), lambda f, r: bce(f - r.mean(), 1.0), "unknown"),
    "relativistic average hinge": (
        lambda r, f: F.relu(1 - r + f.mean().detach()).mean() + F.relu(1 + f - r.mean().detach()).mean(),
        lambda f, r: -f.mean(),
        "relativistic average, hinge, margin 1",
    ),
    "relativistic least squares": (
        lambda r, f: (r - f.mean() - 1).pow(2).mean() + (f - r.mean() + 1).pow(2).mean(),
        lambda f, r: (f - r.mean() - 1).pow(2).mean(),
        "unknown",
    ),
    "exponential": (lambda r, f: torch.exp(-r).mean() + torch.exp(f).mean(), lambda f, r: torch.exp(-f).mean(), "unknown"),
}
SIGMOID = {
    "bce": (
        lambda r, f: F.binary_cross_entropy(r, torch.ones_like(r)) + F.binary_cross_entropy(f, torch.zeros_like(f)),
        lambda f, r: F.binary_cross_entropy(f, torch.ones_like(f)),
        f"{PROBABILITIES}, {UP}",
    ),
    "minimax": (lambda r, f: -r.log().mean() - (1 - f).log().mean(), lambda f, r: (1 - f).log().mean(), f"{PROBABILITIES}, {DOWN}"),
    "least squares": LOSSES["least squares"],
}


def sampled_step(d_loss, g_loss, seed, *, shape=(16, 1), weight=1.0, dtype=torch.float32, last=lambda x: x, reduced=lambda x: x):
    torch.manual_seed(seed)
    real, fake, again = (last(torch.randn(shape) * 1.5 + mean).to(dtype).requires_grad_() for mean in (0.5, -0.5, -0.3))
    (weight * d_loss(reduced(real), reduced(fake))).backward()
    output_grad = real.grad
    (weight * g_loss(reduced(again), reduced(real.detach()))).backward()
    calls = ((real, output_grad, "real", False), (fake, fake.grad, "fake", False), (again, again.grad, "fake", True))
    return select_evidence(Call("d", (), x.detach(), batch, True, 1, attached, output_grad=grad) for x, grad, batch, attached in calls)


REDUCTIONS = {
    "a column": {},
    "a row": {"shape": (16,)},
    "patches": {"shape": (4, 1, 3, 3)},
    "means of patches": {"shape": (16, 1, 3, 3), "reduced": lambda x: x.mean((1, 2, 3))},
    "summed": {"weight": 16.0},
    "scaled down": {"weight": 1e-6},
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("loss", "last"),
    [*((name, "logits") for name in LOSSES), *((name, "sigmoid") for name in SIGMOID)],
)
def test_every_loss_with_every_reduction(loss, last, reduction):
    if last == "sigmoid" and reduction == "means of patches":
        reduction = "patches"
    *phases, expected = (SIGMOID if last == "sigmoid" else LOSSES)[loss]
    options = REDUCTIONS[reduction] | ({"last": torch.sigmoid} if last == "sigmoid" else {})
    assert str(infer_loss_family([sampled_step(*phases, seed, **options) for seed in range(3)])) == expected


@pytest.mark.parametrize("loss", ["bce", "least squares", "hinge", "Wasserstein", "relativistic"])
def test_half_precision_is_enough(loss):
    *phases, expected = LOSSES[loss]
    found = str(infer_loss_family([sampled_step(*phases, seed, shape=(64, 1), dtype=torch.bfloat16) for seed in range(2)]))
    assert found == expected


def test_ambiguous_gradients_give_no_family():
    near = {"last": lambda x: 0.1 * x}
    assert infer_loss_family([sampled_step(*LOSSES["hinge"][:2], 0, **near)]).name.startswith("hinge or Wasserstein")
    assert infer_loss_family([sampled_step(*LOSSES["relativistic least squares"][:2], 0)]).name == "unknown"
    assert infer_loss_family([sampled_step(*LOSSES["least squares"][:2], 0)]).name == "unknown"  # as of a relativistic one
    assert infer_loss_family([sampled_step(*LOSSES["bce"][:2], 0), sampled_step(*LOSSES["hinge"][:2], 1)]).name == "unknown"
    assert infer_loss_family([]).name == infer_loss_family([sampled_step(*LOSSES["bce"][:2], 0, shape=(2, 1))]).name == "unknown"
    broken = sampled_step(*LOSSES["bce"][:2], 0)
    for call in broken:
        call.output_grad[0] = float("nan")
    assert infer_loss_family([broken]).name == "unknown"


def test_a_hinge_with_all_reals_beyond_the_margin():
    apart = sampled_step(LOSSES["hinge"][0], LOSSES["hinge"][1], 0, last=lambda x: 0.05 * x + 3.0)
    assert infer_loss_family([apart]).name == "unknown"  # fakes have a slope out there, as Wasserstein's would
    assert infer_loss_family([[call for call in apart if call.origin == "real"]]).name == "unknown"
