"""Updates from events alone, without a training."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

from ganwatch.capture.attribution.activity_clock import Activity
from ganwatch.capture.attribution.owned_parameters import OptimizerFacts, OwnedParameters
from ganwatch.capture.attribution.update_attribution import UpdateAttribution
from ganwatch.capture.events import (
    BackwardDone,
    LossDifferentiated,
    NetworkCalled,
    OptimizerBegan,
    OptimizerEnded,
    PenaltyComputed,
    ScalerStepped,
)

D_CALL = NetworkCalled("d")


class Party:
    """An optimizer and what is known about it."""

    def __init__(self, *roles: str, lr: float = 0.1) -> None:
        parameters = {role: nn.Parameter(torch.zeros(1)) for role in roles}
        self.optimizer = torch.optim.SGD(parameters.values() or [torch.zeros(1)], lr=lr)
        group = self.optimizer.param_groups[0]
        self.owned = [OwnedParameters(role, group, 0, ["weight"], [parameter]) for role, parameter in parameters.items()]
        self.facts = OptimizerFacts(weakref.ref(self.optimizer), [len(roles)], self.owned, [], is_of_other_watch=False)

    def begin(self, **facts) -> OptimizerBegan:
        return OptimizerBegan(self.optimizer, self.facts, **facts)

    def end(self, *, with_gradient: bool = True) -> OptimizerEnded:
        owned = self.owned if with_gradient else []
        return OptimizerEnded(self.optimizer, self.facts, owned, [0.1] * len(owned), 0.0)

    def step(self) -> tuple[OptimizerBegan, OptimizerEnded]:
        return self.begin(), self.end()


def loss(value: float, *roles: str, held: tuple[str, ...] = ()) -> BackwardDone:
    return BackwardDone((torch.tensor(value),), held=held, reached=roles)


def attribute(*events):
    """Handle events in order; return the steps of optimizers that they make."""
    attribution = UpdateAttribution()
    return [done for event in events if (done := attribution.handle(event)) is not None]


def effects(steps):
    """Return network and loss of each update."""
    return [(one.network, None if one.loss is None else round(one.loss.item(), 3)) for done in steps for one in done.applied]


@pytest.fixture
def g():
    return Party("g")


@pytest.fixture
def d():
    return Party("d")


def test_each_update_has_its_own_loss_and_the_generators_ends_the_step(g, d):
    steps = attribute(D_CALL, loss(1.0, "d"), *d.step(), D_CALL, loss(2.0, "g", "d"), *g.step())
    assert effects(steps) == [("d", 1.0), ("g", 2.0)]
    assert [done.activity for done in steps] == [Activity.DISCRIMINATOR_ATTEMPTS, Activity.GENERATOR_UPDATES]
    assert [done.applied[0].learning_rate for done in steps] == [0.1, 0.1]


def test_a_closures_loss_comes_within_the_step(d):
    assert effects(attribute(D_CALL, d.begin(), loss(1.0, "d"), d.end())) == [("d", 1.0)]


def test_losses_of_one_update_add_up_and_one_that_reaches_the_generator_waits_for_it(g, d):
    losses = loss(1.0, "d"), loss(0.5, "d", held=("d",)), loss(4.0, "g", "d", held=("d",))
    assert effects(attribute(D_CALL, *losses, *d.step(), D_CALL, *g.step())) == [("d", 1.5), ("g", 4.0)]


def test_a_loss_whose_gradients_were_set_to_none_belongs_to_no_update(d):
    assert effects(attribute(D_CALL, loss(1.0, "d"), loss(0.5, "d"), *d.step())) == [("d", 0.5)]


def test_a_loss_without_a_backward_pass(g):
    assert effects(attribute(D_CALL, LossDifferentiated(torch.tensor(3.0), {"g"}), *g.step())) == [("g", 3.0)]


def test_a_skipped_step_updates_nothing_and_takes_no_loss_along(d):
    steps = attribute(D_CALL, loss(9.0, "d"), d.begin(is_skipped=True), d.end(), D_CALL, loss(1.0, "d"), *d.step())
    assert [done.is_skipped for done in steps] == [True, False]
    assert effects(steps) == [("d", 1.0)]


def test_a_scaler_that_does_not_step_has_skipped_the_step(d):
    steps = attribute(D_CALL, loss(9.0, "d"), ScalerStepped(d.optimizer, d.facts))
    assert [(done.is_skipped, done.attempted) for done in steps] == [(True, ("d",))]
    stepped = attribute(D_CALL, loss(1.0, "d"), *d.step(), ScalerStepped(d.optimizer, d.facts))
    assert [done.is_skipped for done in stepped] == [False]


def test_a_step_within_another_one_counts_once(g):
    wrapper = Party("g")
    events = D_CALL, loss(1.0, "g"), wrapper.begin(), g.begin(outer=[wrapper.optimizer]), g.end(), wrapper.end()
    assert [len(done.applied) for done in attribute(*events)] == [0, 1]


def test_a_step_that_an_error_has_ended_is_forgotten(g):
    later = Party("g")
    assert [len(done.applied) for done in attribute(D_CALL, g.begin(), D_CALL, loss(1.0, "g"), *later.step())] == [1]


def test_an_end_without_a_beginning_is_nothing(g):
    assert attribute(D_CALL, g.end()) == []


def test_a_network_without_gradients_is_attempted_only(g):
    [done] = attribute(D_CALL, g.begin(), g.end(with_gradient=False))
    assert (done.attempted, list(done.applied), done.activity) == (["g"], [], Activity.GENERATOR_ATTEMPTS)


def test_an_update_for_a_penalty_now_and_then_compares_with_others_of_its_kind(d):
    usual = (D_CALL, loss(1.0, "d"), *d.step())
    lazy = (D_CALL, PenaltyComputed(), loss(7.0, "d"), *d.step())
    assert effects(attribute(*4 * usual, *lazy, *usual))[-2:] == [("d_regularised", 7.0), ("d", 1.0)]
