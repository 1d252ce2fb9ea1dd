"""Quality is measured on the generator's own inputs, within its budget, and the training does not change."""

import copy
import inspect
import json
import subprocess
import sys
from itertools import count

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ganwatch
from ganwatch.capture.step import Call, Step, StepView
from ganwatch.core.errors import UserError
from ganwatch.evaluation.context import EvaluationContext
from ganwatch.evaluation.discriminator_scorer import DiscriminatorScorer
from ganwatch.evaluation.generator_sampler import GeneratorSampler
from ganwatch.evaluation.labels import find_call_labels
from ganwatch.evaluation.reference import Reference
from ganwatch.evaluation.resolution import SampleResolution
from ganwatch.metrics.custom_metric import CustomMetric
from ganwatch.probes import quality_reals, quality_values
from ganwatch.probes.quality import Quality
from ganwatch.probes.quality_budget import TimeBudget
from ganwatch.probes.quality_reals import MAX_BYTES, MIN_SAMPLES, RealCollector, RealFeatures, infer_range
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink

MODES = torch.eye(10)[:5] * 6.0


def data(labels=False):
    draw = torch.Generator().manual_seed(0)
    kinds = torch.arange(500) % 5
    samples = MODES[kinds] + torch.randn(500, 10, generator=draw)
    return TensorDataset(samples, kinds) if labels else TensorDataset(samples)


class Generator(nn.Module):
    """Draws from the first ``reach`` modes, whatever the training does to its weight."""

    def __init__(self, reach=5):
        super().__init__()
        self.weight, self.reach = nn.Parameter(torch.ones(1)), reach

    def forward(self, latents, labels=None):
        kinds = (latents[:, 0] * 1e4).long() % self.reach if labels is None else labels % self.reach
        return self.weight * (MODES[kinds] + latents)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(10, 1)

    def forward(self, samples, labels=None):
        return self.linear(samples)


def train(quality, *, steps=120, change=None, labels=False, ema=None):
    torch.manual_seed(0)
    g, d = Generator(), Discriminator()
    of_g, of_d = torch.optim.SGD(g.parameters(), 1e-6), torch.optim.SGD(d.parameters(), 1e-6)
    sink, loader = MemorySink(), DataLoader(data(labels), 50, shuffle=True)
    batches = (batch for _ in iter(int, 1) for batch in loader)
    with ganwatch.watch(G=g, D=d, ema=ema, store=None, sinks=[sink], probes=default_probes(quality), audit_seconds=0.0) as watching:
        for step in range(steps):
            if change is not None and step == change[0]:
                change[1](g)
            real, *kinds = next(batches)
            fake = g(torch.randn(50, 10), *(torch.randint(5, (50,)) for _ in kinds))
            of_d.zero_grad()
            (d(fake.detach(), *kinds).mean() - d(real, *kinds).mean()).backward()
            of_d.step()
            of_g.zero_grad()
            (-d(fake, *kinds).mean()).backward()
            of_g.step()
        assert watching.observer.guard.errors == {}
        state = watching.observer.state_dict()
    found = {reading.step: reading.values for reading in sink.steps if "frechet" in reading.values}
    return found, sink, state, (g.state_dict(), d.state_dict(), torch.get_rng_state())


def eager(**options):
    """Measures as often as it can, because its clock stands still."""
    return Quality(samples=100, reals=200, interval=20, share=1.0, clock=lambda: 0.0, **options)


def test_a_good_generator_is_near_and_no_mode_is_missing():
    found, *_ = train(eager())
    assert list(found) == [80, 100, 120]  # two hundred reals have come by then
    last = found[120]
    assert last["modes_missing"] == 0.0
    assert last["modes"] >= 5.0
    assert abs(last["kernel_distance"]) < 4.0 * last["kernel_distance_error"] + 0.5
    assert last["coverage"] > 0.8
    assert found[100]["frechet"] == pytest.approx(found[120]["frechet"], rel=0.05)  # the same inputs and reals each time


def test_quality_is_measured_at_the_end_whatever_the_budget():
    milliseconds = count()
    never = {"samples": 100, "reals": 200, "interval": 20, "share": 1e-9, "clock": lambda: next(milliseconds) / 1000.0}
    found, sink, *_ = train(Quality(**never), steps=119)
    assert list(found) == [80, 119]  # what the first one costs is not known before
    assert found[119]["frechet"] == train(eager(), steps=119)[0][119]["frechet"]
    assert sink.steps[-1].step == 119
    assert list(train(Quality(**never), steps=80)[0]) == [80]
    assert list(train(Quality(**never), steps=60)[0]) == []


def test_lost_modes_are_reported_with_real_samples():
    found, sink, *_ = train(eager(), steps=260, change=(140, lambda g: setattr(g, "reach", 3)))
    assert [values["modes_missing"] for values in found.values()][:2] == [0.0, 0.0]
    assert found[260]["modes_missing"] >= 2.0
    incident = next(one for one in sink.reports if one.code == "GW102" and one.fired)
    assert incident.onset > 140
    evidence = [one for one in sink.images if one.kind == "missing"]
    assert [one.incident for one in evidence] == [incident.id]


def test_a_generator_that_gets_worse_is_a_regression_with_the_step_of_its_best():
    found, sink, *_ = train(eager(), steps=260, change=(140, lambda g: g.weight.data.mul_(1.6)))
    incidents = {one.code: one for one in sink.reports}
    assert found[260]["frechet"] > 2.0 * found[120]["frechet"]
    assert "up to step" in incidents["GW401"].evidence.origin
    assert incidents["GW401"].onset > 140


def test_the_training_does_not_change():
    with_it, without = train(eager())[3], train(Quality())[3]
    assert torch.equal(with_it[2], without[2])
    for one, other in zip(with_it[:2], without[:2], strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_labels_give_agreement_and_shares_are_compared_with_targets():
    found, *_ = train(eager(targets={0: 0.2, 1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2}), labels=True)
    values = found[120]
    assert values["label_agreement/fake"] > 0.95
    assert values["label_agreement/real"] > 0.95
    assert values["modes"] == 5.0
    assert values["groups_off_target"] == 0.0
    assert sum(values[f"group_share/{kind}"] for kind in range(5)) == pytest.approx(1.0)
    assert abs(values["label_distance/3"]) < 1.0
    skewed, *_ = train(eager(targets={0: 0.6}), labels=True)
    assert skewed[120]["groups_off_target"] == 1.0


def test_measures_of_the_users_own_have_names_and_errors():
    size = CustomMetric(lambda samples: samples.norm(dim=1), name="size", higher_is_better=True)
    found, *_ = train(eager(measures=[size]))
    assert found[120]["score/size"] == pytest.approx(7.0, abs=1.0)
    assert 0.0 < found[120]["measure_error/size"] < 1.0


def test_averaged_weights_are_measured():
    average = Generator(reach=1)
    found, *_ = train(eager(), ema=average)
    assert found[120]["modes_missing"] >= 3.0


def test_evaluations_stay_within_the_budget():
    now = count()
    quality = Quality(samples=100, reals=200, interval=20, share=0.6, clock=lambda: float(next(now)))
    found, *_ = train(quality, steps=800)
    elapsed = next(now)
    assert len(found) >= 2
    assert quality.budget.spent - quality.budget.state_dict()["last_cost"] <= 0.6 * elapsed


def test_an_evaluation_goes_on_between_steps_and_has_the_values_of_the_step_at_which_it_began():
    seconds = count()
    slow = Quality(samples=100, reals=200, interval=80, share=1.0, clock=lambda: float(next(seconds)))  # each part takes a slice
    worse = 81, lambda g: g.weight.data.mul_(1.6)
    found, *_ = train(slow, steps=159, change=worse)
    at_once, *_ = train(Quality(samples=100, reals=200, interval=80, share=1.0, clock=lambda: 0.0), steps=159, change=worse)
    first, at_end = found
    assert (80 < first < at_end == 159, list(at_once)) == (True, [80, 159])
    assert found[first]["frechet"] == at_once[80]["frechet"] < found[at_end]["frechet"]


def test_a_resumed_run_measures_the_same():
    found, _, state, _ = train(eager())
    again = eager()
    again.attach(EvaluationContext(GeneratorSampler(Generator()), DiscriminatorScorer(Discriminator())))
    assert again.read(StepView(Step(120))) == {}  # no inputs, no reals
    again.load_state_dict(json.loads(json.dumps(state["probes"]["quality"])))
    for resumed in (again, copy.deepcopy(again)):
        values = resumed.read(StepView(Step(120)))
        assert values["frechet"] == pytest.approx(found[120]["frechet"], rel=1e-3)
        assert values["reference"] == found[120]["reference"]


def broken(samples):
    raise ZeroDivisionError


def test_code_of_the_users_own_may_draw_and_fail(caplog):
    quality = eager(
        extractor=lambda samples: samples + 1e-6 * torch.randn_like(samples),
        measures=[
            CustomMetric(lambda samples: samples.mean(1) + torch.randn(len(samples)), name="noisy"),
            CustomMetric(broken, name="broken"),
            CustomMetric(lambda samples: samples.mean(1) * torch.nan, name="nan"),
        ],
        classify=broken,
    )
    found, _, _, end = train(quality)
    assert list(found) == [80, 100, 120]
    assert "measure/noisy" in found[120]
    assert not any(name.endswith(("/broken", "/nan")) for name in found[120])
    assert [record.message for record in caplog.records if "without it" in record.message] == [
        "classify failed; quality is measured without it",
        "measure broken failed; quality is measured without it",
        "measure nan failed; quality is measured without it",
    ]
    without = train(Quality())[3]
    assert torch.equal(end[2], without[2])
    assert all(torch.equal(value, without[0][name]) for name, value in end[0].items())


def test_an_extractor_by_name_changes_no_random_state():
    before = torch.get_rng_state()
    Quality(extractor="pretrained").provenance()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 3}, "samples must be >= 40, got 3"),
        ({"reals": 0}, "reals must be >= 40, got 0"),
        ({"share": 0.0}, r"share must be in \(0, 1\]"),
        ({"interval": 5}, r"interval must be >= 20 \(steps\), got 5"),
        ({"extractor": "no such"}, "features must be identity, pretrained, random-conv"),
        ({"targets": {0: 0.7, 1: 0.6}}, "targets must"),
        ({"targets": {"a": 0.5}}, "targets must have labels"),
        ({"measures": [len]}, r"measures must be OwnMeasure\(function, name=…\), got builtin_function_or_method"),
        ({"measures": [CustomMetric(len, name="a"), CustomMetric(len, name="a")]}, "measures must have different names, got a, a"),
        ({"extractor": 3}, "extractor must be a callable"),
    ],
)
def test_bad_options_are_refused_at_once(options, message):
    with pytest.raises(UserError, match=message):
        Quality(**options)


def test_ema_must_be_a_network():
    with pytest.raises(UserError, match=r"ema must be a torch\.nn\.Module with parameters or None, got str"):
        ganwatch.watch(G=Generator(), D=Discriminator(), ema="ema", store=None)


def test_targets_without_labels_are_warned_of_once(caplog):
    found, *_ = train(eager(targets={0: 0.5}))
    assert len(found) == 3
    assert [record.message for record in caplog.records if "targets" in record.message] == [
        "targets are not compared: D gets no labels (int) with real samples; give classify="
    ]


def test_a_users_extractor_changes_no_random_state(tmp_path, monkeypatch):
    (tmp_path / "drawing_features.py").write_text("import torch\nwanted = torch.rand(1)\ndef features(x): return x.flatten(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Quality(extractor="drawing_features:features")
    assert torch.equal(torch.get_rng_state(), before)
    network = nn.Sequential(nn.Linear(10, 4), nn.Dropout(0.5))
    quality = eager(extractor=network)
    one, other = (quality.extractor(torch.ones(3, 10)) for _ in range(2))
    assert torch.equal(one, other)  # evaluated
    assert network.training
    assert network[1].training


def test_an_evaluation_imports_nothing():
    script = """
import sys
import torch
from torch import nn
from ganwatch.capture.step import Call, Step, StepView
from ganwatch.evaluation.context import EvaluationContext
from ganwatch.evaluation.discriminator_scorer import DiscriminatorScorer
from ganwatch.evaluation.generator_sampler import GeneratorSampler
from ganwatch.evaluation.heldout import HeldoutSamples
from ganwatch.probes.quality import Quality

class Maker(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images, labels):
        return self.weight * images

Quality()
assert "torchmetrics" not in sys.modules
quality = Quality(samples=40, reals=60, interval=20, targets={0: 0.5}, clock=lambda: 0.0)
heldout = HeldoutSamples(torch.rand(60, 1, 8, 8))
quality.attach(EvaluationContext(GeneratorSampler(Maker()), DiscriminatorScorer(nn.Linear(1, 1)), heldout))
known = set(sys.modules)
real, fake, labels = torch.rand(60, 1, 8, 8), torch.rand(60, 1, 8, 8), torch.arange(60) % 3
latent = Call("g", (fake, labels), fake, "latent", True, 20, arguments=([fake, labels], {}))
values = quality.read(StepView(Step(20, calls=[latent, Call("d", (real, labels), torch.zeros(60), "real", True, 20)])))
assert {"frechet", "modes", "label_agreement/fake", "group_share/0", "memorisation"} <= set(values), values
late = {name for name in set(sys.modules) - known if name.startswith(("ganwatch", "scipy", "torchmetrics"))}
assert not late, late
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_defaults_are_those_of_the_documents():
    parameters = inspect.signature(Quality).parameters
    assert {name: parameters[name].default for name in ("samples", "reals", "share", "interval")} == {
        "samples": 256, "reals": 512, "share": 0.01, "interval": 100,
    }  # fmt: skip
    assert (Quality.every, Quality.needs_arguments) == (20, True)
    assert (MAX_BYTES, MIN_SAMPLES) == (64 * 2**20, 40)


def seen(real, fake, index=20, labels=()):
    """A step in which the generator makes samples, and the discriminator scores real ones."""
    latents = torch.arange(len(fake))[:, None] / 1e4
    made = Call("g", (latents,), fake, "latent", training=True, index=index, arguments=([latents], {}))
    return StepView(Step(index, calls=[made, Call("d", (real, *labels), torch.zeros(len(real)), "real", training=True, index=index)]))


class Known(nn.Module):
    """Returns the same samples for any latents."""

    def __init__(self, samples):
        super().__init__()
        self.weight, self.samples = nn.Parameter(torch.ones(1)), samples

    def forward(self, latents):
        return self.weight * self.samples[: len(latents)]


def attached(fake, *, is_allowed=True, **options):
    quality = Quality(**{"samples": 40, "reals": 40, "interval": 20, "share": 1.0, "clock": lambda: 0.0} | options)
    sampler = GeneratorSampler(Known(fake))
    sampler.is_allowed = is_allowed
    quality.attach(EvaluationContext(sampler, DiscriminatorScorer(Discriminator())))
    return quality


def test_nothing_is_measured_before_it_is_attached_or_where_the_generator_must_not_be_called():
    real, fake = data().tensors[0][:40], data().tensors[0][40:80]
    assert Quality(samples=40, reals=40, interval=20, clock=lambda: 0.0).read(seen(real, fake)) == {}
    assert attached(fake, is_allowed=False).read(seen(real, fake)) == {}
    assert attached(fake).read(seen(real, fake))["reference"] == 1.0


def test_only_batches_of_the_step_itself_count():
    real, fake = data().tensors[0][:40], data().tensors[0][40:80]
    quality = attached(fake)
    earlier = seen(real, fake, index=19).calls
    assert quality.read(StepView(Step(20, calls=earlier))) == {}
    again = seen(real, fake)
    again.calls[1].in_g_phase = True
    assert quality.read(again) == {}  # a real batch of the generator's phase is no new one
    assert "frechet" in quality.read(seen(real, fake, index=40))


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 6, 6), (2, 6, 6), (4, 6, 6), (3, 6), (2, 3, 3, 3)], ids=str)
def test_images_of_one_or_three_channels_have_features_of_images_and_other_samples_their_values(shape):
    samples = torch.rand(80, *shape, generator=torch.Generator().manual_seed(0))
    quality = attached(samples[40:])
    assert "frechet" in quality.read(seen(samples[:40], samples[40:]))
    is_image = shape[0] in {1, 3} and len(shape) == 3
    assert quality._extractor.provenance()["name"] == ("random-conv" if is_image else "identity")


def collected(*batches, count=100):
    """A collector after some real batches, each with the other inputs of the discriminator's call."""
    collector = RealCollector(count)
    for inputs in batches:
        call = Call("d", inputs, torch.zeros(len(inputs[0])), "real", training=True, index=1)
        collector.add(inputs[0], find_call_labels(call))
    return collector


def test_reals_are_collected_up_to_their_number():
    kinds = torch.arange(50) % 3
    samples = torch.randn(2, 50, 4)
    samples[1, 7, 2] = torch.nan
    assert not RealCollector(100).is_full
    assert not collected((samples[0], kinds), (samples[1][:49], kinds[:49])).is_full
    full = collected((samples[0], kinds), (samples[1], kinds), (samples[0], kinds))
    assert full.is_full
    reals, labels = full.take()
    assert reals.shape == (99, 4)  # the third batch is too much, and one sample is not finite
    assert labels.tolist() == torch.cat([kinds, kinds[:7], kinds[8:]]).tolist()
    assert not full.is_full
    assert collected((samples[0], kinds), (samples[0],)).take()[1] is None


def test_reals_of_another_shape_replace_those_so_far():
    wide = torch.randn(60, 2, 5)
    reals, _ = collected((torch.randn(60, 2, 3),), (wide[:40],), (wide[40:],)).take()
    assert torch.equal(reals, wide)


@pytest.mark.parametrize(
    ("sample", "affordable"),
    [(torch.zeros(100), 64), (torch.zeros(100, dtype=torch.float64), 40), (torch.zeros(1, dtype=torch.uint8), 25600)],
    ids=["float", "double", "byte"],
)
def test_reals_take_no_more_than_their_memory_but_are_enough_to_compare(sample, affordable, monkeypatch):
    monkeypatch.setattr(quality_reals, "MAX_BYTES", 64 * 400)
    batch = sample.expand(affordable, *sample.shape)
    assert not collected((batch[1:],), count=10**6).is_full
    assert collected((batch,), count=10**6).is_full


def test_the_range_of_reals_is_a_common_one_or_their_own():
    assert infer_range(torch.tensor([0.0, 0.9])) == (0.0, 1.0)
    assert infer_range(torch.tensor([-3.0, 2.0])) == (-3.0, 2.0)
    assert infer_range(torch.tensor([-3.0, -3.0])) == (-3.0, -2.0)


def test_time_is_charged_against_the_share():
    now = [100.0]
    budget = TimeBudget(0.5, lambda: now[0])
    assert budget.state_dict() == {"spent": 0.0, "last_cost": 0.0, "elapsed": 0.0}
    budget.start_step()
    assert not budget.is_exhausted
    with budget.charge():
        now[0] = 103.0
    assert (budget.spent, budget._last_cost) == (3.0, 3.0)
    for second, exhausted in ((111.9, True), (112.1, False)):  # half of twelve seconds pay for two evaluations
        now[0] = second
        budget.start_step()
        assert budget.is_exhausted is exhausted
    now[0] = 104.0
    budget.start_step()
    again = TimeBudget(0.5, lambda: now[0])
    again.load_state_dict(budget.state_dict())
    assert again.state_dict() == {"spent": 3.0, "last_cost": 3.0, "elapsed": 4.0}
    now[0] = 200.0
    again.start_step()
    now[0] = 202.5
    assert again.state_dict()["elapsed"] == 6.5
    for second, exhausted in ((207.9, True), (208.1, False)):  # four seconds of the first attempt count
        now[0] = second
        again.start_step()
        assert again.is_exhausted is exhausted


@pytest.mark.parametrize("distinct", [7, 8])
def test_copies_are_no_finding_among_fewer_than_eight_distinct_reals(distinct):
    features = torch.randn(distinct, 4, generator=torch.Generator().manual_seed(0)).repeat(6, 1)
    unseen = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    reals = RealFeatures(features, None, unseen, (-1.0, 1.0), SampleResolution((4,), 0.0))
    assert set(quality_values.read_memorisation(reals, unseen + 0.1)) == (
        {"memorisation", "memorisation_error", "copy_share"} if distinct == 8 else set()
    )


def test_conditioning_needs_labels_of_both_sides():
    samples, kinds = data(labels=True).tensors
    values = quality_values.read_conditioning(Reference(samples[:200], kinds[:200]), samples[200:300], kinds[200:300])
    assert values["label_agreement/fake"] > 0.9
    assert quality_values.read_conditioning(Reference(samples[:200], kinds[:200]), samples[200:300], None) == {}
    assert quality_values.read_conditioning(Reference(samples[:200]), samples[200:300], kinds[200:300]) == {}


@pytest.mark.parametrize(("better", "family"), [(True, "score"), (False, "cost"), (None, "measure")])
def test_a_measures_error_is_a_quarter_of_its_interval(better, family):
    size = CustomMetric(lambda samples: samples[:, 0], name="size", higher_is_better=better)
    samples = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    values = quality_values.read_measure(size, samples)
    assert values[f"{family}/size"] == pytest.approx(float(samples[:, 0].mean()), abs=1e-6)
    assert values["measure_error/size"] == pytest.approx(0.05, rel=0.15)  # one over the root of the number of samples


@pytest.mark.parametrize("labels", [torch.zeros(5), torch.zeros(4, dtype=torch.int64), torch.zeros(5, 1, dtype=torch.int64)], ids=str)
def test_a_classifier_returns_one_integer_a_sample(labels):
    assert quality_values.classify_samples(lambda samples: torch.arange(5, dtype=torch.int32), torch.zeros(5, 2)).dtype == torch.int64
    with pytest.raises(UserError, match=r"classify must return one integer a sample, \(5,\), got torch"):
        quality_values.classify_samples(lambda samples: labels, torch.zeros(5, 2))


def test_only_missing_modes_of_images_are_evidence():
    images = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    quality = attached(images)
    assert quality.incident_samples("GW102", 20, "GW102-1") is None
    quality.read(seen(images, images))
    quality._missing = [3, 5]
    found = quality.incident_samples("GW102", 20, "GW102-1")
    assert (found.kind, found.shape, found.incident) == ("missing", (2, 4, 4, 1), "GW102-1")
    assert quality.incident_samples("GW101", 20, "GW101-1") is None
    quality._missing = []
    assert quality.incident_samples("GW102", 20, "GW102-1") is None


def test_without_a_classifier_targets_alone_are_warned_of(caplog):
    real, fake = data().tensors[0][:40], data().tensors[0][40:80]
    attached(fake).read(seen(real, fake))
    attached(fake, targets={0: 0.5}, classify=broken).read(seen(real, fake))
    assert not [record for record in caplog.records if "targets" in record.message]
