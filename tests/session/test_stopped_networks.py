"""A network that is no longer trained: the record goes on, absence is a reading, and the last line does not call it health."""

import logging

import pytest
import torch
from plain_loop import Loop, equal, final_state
from stopping_loops import (
    STOPPED_GENERATORS,
    NoDiscriminatorPhaseLoop,
    NoGeneratorPhaseLoop,
    OwnOptimizerLoop,
    SkippedUpdatesLoop,
    SwappedLoop,
)

import ganwatch
from ganwatch.capture.attribution.activity_clock import Activity
from ganwatch.core.outcome import Conclusion
from ganwatch.core.probe import Probe
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink


def train(loop_class):
    """Run a loop alone and under observation; return the watch and its sink."""
    alone = loop_class()
    alone.run()
    loop, sink = loop_class(), MemorySink()
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0) as watching:
        loop.run()
    assert equal(final_state(alone), final_state(loop))
    return watching, sink


@pytest.mark.parametrize("name", STOPPED_GENERATORS)
def test_steps_go_on_without_the_generator(name, caplog):
    loop = STOPPED_GENERATORS[name]
    with caplog.at_level(logging.INFO, "ganwatch"):
        watching, sink = train(loop)
    assert watching.observer.guard.errors == {}
    stopped = [reading for reading in sink.steps if reading.step > loop.stop]
    assert len(stopped) > 100
    assert {reading.values["updates_performed/g"] for reading in stopped} == {0.0}
    assert all(reading.values["calls/g"] >= 1 for reading in stopped)
    d_updates = 0.0 if "skipped" in name else 1.0
    assert {reading.values["updates_performed/d"] for reading in stopped[1:]} == {d_updates}
    outcome = sink.latest_outcome
    assert outcome.conclusion is not Conclusion.CLEAN
    assert outcome.idle["g"] == watching.observer.steps - loop.stop
    [line] = [record.getMessage() for record in caplog.records if "steps follow" in record.getMessage()]
    assert str(watching.observer.clock) in line
    assert ("no update yet" in line) == (loop.stop == 0)
    assert "the generator had no update in the last" in caplog.records[-1].getMessage()


def test_the_generator_takes_the_steps_back(caplog):
    class Loop(NoGeneratorPhaseLoop):
        def run(self, steps=700):
            super().run(300)
            self.is_stopped, self.stop = False, -1
            batches = self.batches()
            for _ in range(20):
                self.d_phase(next(batches))
                self.g_phase(None)

    with caplog.at_level(logging.INFO, "ganwatch"):
        watching, sink = train(Loop)
    changes = [record.getMessage() for record in caplog.records if "steps follow" in record.getMessage()]
    assert len(changes) == 2
    assert changes[1].endswith("steps follow the updates of the generator again")
    assert [reading.values["updates_performed/g"] for reading in sink.steps[-20:]] == [1.0] * 20
    assert watching.observer.clock is Activity.GENERATOR_UPDATES


def test_a_discriminator_that_is_no_longer_trained_reads_zero():
    watching, sink = train(NoDiscriminatorPhaseLoop)
    assert watching.observer.steps == 360
    stopped = [reading.values for reading in sink.steps if reading.step > NoDiscriminatorPhaseLoop.stop]
    assert {values["updates_performed/d"] for values in stopped} == {0.0}
    moved = [values["update_to_weight/d"] for values in stopped if "update_to_weight/d" in values]
    assert len(moved) > 10
    assert set(moved) == {0.0}
    assert sink.latest_outcome.idle == {"d": 260}


def test_skipped_updates_are_counted():
    _, sink = train(SkippedUpdatesLoop)
    before, after = sink.steps[50].values, sink.steps[-1].values
    for role in "gd":
        assert [before[f"updates_{how}/{role}"] for how in ("attempted", "performed", "skipped")] == [1.0, 1.0, 0.0]
        assert [after[f"updates_{how}/{role}"] for how in ("attempted", "performed", "skipped")] == [1.0, 0.0, 1.0]


def test_without_any_optimizer_steps_follow_the_calls():
    watching, sink = train(OwnOptimizerLoop)
    assert watching.observer.clock is Activity.DISCRIMINATOR_CALLS
    assert len(sink.steps) > 100
    assert sink.steps[-1].values["calls/d"] >= 1.0


def test_swapped_networks_do_not_end_clean(caplog):
    with caplog.at_level(logging.INFO, "ganwatch"):
        _, sink = train(SwappedLoop)
    assert sink.latest_outcome.conclusion is not Conclusion.CLEAN
    assert {"GW101", "GW201"} <= {one.code for one in sink.latest_outcome.unjudged}
    assert "but not everything was judged: mode collapse (GW101)" in caplog.records[-1].getMessage()


class DyingProbe(Probe):
    name, signals, every = "dying", (), 20

    def read(self, step):
        if step.index >= 40:
            raise ZeroDivisionError
        return {}


def test_a_part_that_died_is_named_at_the_end(caplog):
    loop = Loop()
    loop.run, run = lambda: run(100), loop.run
    sink = MemorySink()
    with (
        caplog.at_level(logging.INFO, "ganwatch"),
        ganwatch.watch(**loop.networks(), store=None, sinks=[sink], probes=default_probes(DyingProbe()), audit_seconds=0.0),
    ):
        loop.run()
    assert sink.latest_outcome.failures == {"probe dying": 4}
    assert "probe dying failed 4 times" in caplog.records[-1].getMessage()


def test_a_run_that_ends_before_anything_could_be_judged_says_too_early():
    torch.manual_seed(0)
    loop, sink = Loop(), MemorySink()
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0) as watching:
        loop.run()
        assert watching.status().count("too early") == 1
    assert {one.reason for one in sink.latest_outcome.unjudged} == {"too early"}
