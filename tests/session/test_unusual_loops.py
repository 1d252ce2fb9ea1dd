"""Shapes, types and losses of others: recognised, or said to be beyond what can be measured; the training is the same either way."""

import itertools

import pytest
import torch
from plain_loop import equal, final_state
from unusual_loops import (
    AttachedCriticLoop,
    AverageHingeLoop,
    AverageLoop,
    AverageSquaresLoop,
    ChannelsLastLoop,
    ConditionedRowLoop,
    LabelledLoop,
    NonFiniteLoop,
    PenaltiesLoop,
    SingleSampleLoop,
    SubclassLoop,
)

import ganwatch
from ganwatch.core.outcome import Conclusion
from ganwatch.probes.quality import Quality
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink


def train(loop_class, steps=26, **options):
    """Run a loop alone and under observation at every step; return status, readings by series, sink and watch."""
    alone = loop_class()
    alone.run(steps)
    loop, sink, ticks = loop_class(), MemorySink(), itertools.count()
    probes = default_probes(Quality(samples=64, reals=64, share=1.0, interval=20, clock=lambda: float(next(ticks))))
    for probe in probes:
        probe.every = 1
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], probes=probes, audit_seconds=0.0, **options) as watching:
        loop.run(steps)
        text = watching.status()
    assert equal(final_state(alone), final_state(loop))
    assert watching.observer.guard.errors == {}
    measured = {name for reading in sink.steps for name in reading.values}
    return text, measured, sink, watching


def test_samples_that_the_generator_returns_in_another_shape_than_d_gets_them_are_said_to_be_incomparable(caplog):
    text, measured, sink, _ = train(ConditionedRowLoop, 60)
    assert {"d_auc", "pairwise_ratio"} <= measured
    assert "frechet" not in measured
    said = "G returns samples of shape (5,) and D receives real ones of shape (8,); give sample=…"
    assert said in text
    assert sum(said in record.getMessage() for record in caplog.records if record.levelname == "WARNING") == 1
    assert said in sink.latest_outcome.describe()


def test_a_subclass_of_tensors_with_a_method_of_its_own_is_drawn_and_measured():
    _, measured, sink, _ = train(SubclassLoop)
    assert {"d_auc", "pairwise_ratio", "frechet", "data_mean/fake"} <= measured
    assert {image.kind for image in sink.images} >= {"fixed", "real"}


def test_reals_with_channels_last_are_recognised_by_value_from_the_first_step():
    _, _, sink, watching = train(ChannelsLastLoop)
    assert "d_auc" in sink.steps[0].values
    assert watching.observer.loop_facts.d_phase_origins == {"real": 1, "fake": 1}


def test_a_rank_of_one_pair_is_not_measured_and_the_outcome_says_what_is_missing():
    text, measured, sink, _ = train(SingleSampleLoop, 230)
    assert not {"d_auc", "pairwise_ratio", "vendi_ratio"} & measured
    assert "comes by" not in text
    assert "two samples or more" in text
    assert sink.latest_outcome.conclusion is Conclusion.NOT_JUDGED
    assert {"GW101", "GW201"} <= {one.code for one in sink.latest_outcome.unjudged}


@pytest.mark.parametrize(
    ("loop_class", "steps", "family"),
    [
        (AverageLoop, 60, "relativistic average, binary cross-entropy on logits (softplus)"),
        (AverageSquaresLoop, 60, "relativistic average, least squares, targets: real 1, fake -1"),
        (AverageHingeLoop, 200, "relativistic average, hinge, margin 1"),
    ],
)
def test_relativistic_averages_with_separate_backward_passes(loop_class, steps, family):
    text, *_ = train(loop_class, steps)
    assert f"loss family: {family}\n" in text


def test_fakes_with_their_graph_in_several_updates_of_d_count_once():
    text, *_ = train(AttachedCriticLoop)
    assert "D's batches at the last sampled step: 1 fake, 1 real in its own phase; 1 fake in G's phase" in text


def test_updates_for_penalties_alone_are_not_updates_of_d():
    text, measured, sink, _ = train(PenaltiesLoop)
    assert "D updates per G update: 1\n" in text
    assert {"loss/d_regularised", "grad_norm/d"} <= measured
    assert sink.steps[-1].values["updates_performed/d"] == 3.0


def test_a_loss_that_is_not_finite_is_named_where_it_arises():
    _, _, sink, _ = train(NonFiniteLoop)
    [incident] = [one for one in sink.incidents.values() if one.code == "GW303"]
    first = next(report for report in sink.reports if report.id == incident.id)
    assert (first.onset, first.evidence.signal) == (20, "loss/d")


def test_held_out_reals_without_labels_under_a_conditional_d_are_said_to_be_unused(caplog):
    heldout = torch.rand(64, 1, 8, 8) * 2 - 1
    text, measured, sink, _ = train(LabelledLoop, 120, heldout=heldout)
    assert "d_heldout_auc" not in measured
    said = "D receives a label with each sample and heldout has none"
    assert said in text
    assert said in sink.latest_outcome.describe()
    assert sum(said in record.getMessage() for record in caplog.records) == 1
    pairs = torch.utils.data.TensorDataset(heldout, torch.randint(0, 3, (64,)))
    _, measured, _, _ = train(LabelledLoop, 120, heldout=pairs)
    assert "d_heldout_auc" in measured


class SinglePrecisionTensor(torch.Tensor):
    """Refuses float64, as tensors on Apple's devices do."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        if function is torch.Tensor.double or any(x is torch.float64 for x in (*args, *kwargs.values())):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
        return super().__torch_function__(function, types, args, kwargs)


def test_a_device_without_double_precision_is_measured_on_the_host():
    from ganwatch.probes.data import describe_batches
    from ganwatch.probes.diversity import pairwise_distances, vendi_ratio

    torch.manual_seed(0)
    real, fake = torch.randn(16, 3), torch.randn(16, 3)
    distances = pairwise_distances(real, fake)
    refusing = distances.as_subclass(SinglePrecisionTensor)
    with pytest.raises(TypeError):
        refusing.double()
    width = distances.mean() / 2
    same = vendi_ratio(refusing[:16, :16], refusing[16:, 16:], width.as_subclass(SinglePrecisionTensor))
    assert float(same) == float(vendi_ratio(distances[:16, :16], distances[16:, 16:], width))
    batch = torch.randn(1, 8, 3)
    expected = describe_batches(batch)
    for name, fact in describe_batches(batch.as_subclass(SinglePrecisionTensor)).items():
        assert torch.equal(fact.as_subclass(torch.Tensor), expected[name]), name
