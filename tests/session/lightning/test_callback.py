"""The callback refuses wrong set-ups before the first step, and afterwards never stops the training."""

import copy
import logging
import os
import pickle
import signal
import socket

import lightning
import pytest
import torch
from torch import nn

from ganwatch.core import monitor
from ganwatch.core.detector import Detector
from ganwatch.core.errors import UserError
from ganwatch.core.probe import Probe
from ganwatch.core.sink import Sink
from ganwatch.detectors.mode_collapse import ModeCollapse
from ganwatch.session.defaults import default_detectors, default_probes
from ganwatch.session.lightning import GanWatch
from ganwatch.sinks.memory import MemorySink
from ganwatch.store import queries
from ganwatch.store.database import open_store
from ganwatch.trainer.run import QUIET_TRAINER, silence_lightning


@pytest.fixture
def port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def a_file(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    return file


REFUSED = {
    "no such network": ({"generator": "painter"}, "generator must name a network of Documented, got 'painter'; it has: generator, discrim"),
    "not a name": ({"discriminator": 3}, "discriminator must be the name of an attribute .str. or None, got int"),
    "no parameters": ({"discriminator": "discriminator.0"}, "discriminator must have parameters, got 'discriminator.0' .Flatten"),
    "the same": ({"discriminator": "generator"}, "generator and discriminator must not share parameters, got"),
    "one within the other": ({"discriminator": "generator.0"}, "generator and discriminator must not share parameters, got"),
    "store in a file's place": ({"store": "FILE/runs"}, "FILE"),
    "store of an unknown kind": ({"store": "nothing://here"}, "nothing"),
    "port in use": ({"store": None, "prometheus_port": "PORT"}, "port must be free on 127.0.0.1, got PORT, which is in use"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_before_the_first_step(options, message, documented, train, a_file, port_in_use):  # noqa: PLR0917  # fixtures
    given = {name: value.replace("FILE", str(a_file)) if isinstance(value, str) else value for name, value in options.items()}
    if "prometheus_port" in given:
        given["prometheus_port"] = port_in_use
    with pytest.raises(UserError, match=message.replace("FILE", str(a_file)).replace("PORT", str(port_in_use))):
        train(documented, GanWatch(**{"store": None} | given))
    assert documented.noted == []
    assert not hasattr(nn.Sequential.forward, "__wrapped__")


MISTYPED = {
    "generator": ({"generator": 3}, "generator must be the name of an attribute .str. or None, got int"),
    "name": ({"name": 5}, "name must be a str or None, got int"),
    "store": ({"store": 123}, "store must be a folder .*, got int 123"),
    "audit_seconds text": ({"audit_seconds": "a"}, "audit_seconds must be a finite number >= 0 .*, got str 'a'"),
    "audit_seconds none": ({"audit_seconds": None}, "audit_seconds must be .* got NoneType"),
    "audit_seconds below": ({"audit_seconds": -1}, "audit_seconds must be .* got int -1"),
    "audit_seconds nan": ({"audit_seconds": float("nan")}, "audit_seconds must be .* got float nan"),
    "probes": ({"probes": [object()]}, r"probes\[0\] must be an instance of Probe, got object"),
    "probes single": ({"probes": 3}, "probes must be a sequence of Probe instances, got int 3"),
    "detectors class": (
        {"detectors": [ModeCollapse(), ModeCollapse]},
        r"detectors\[1\] must be an instance of Detector, got the class ModeCollapse: write ModeCollapse\(\)",
    ),
    "detectors other": ({"detectors": [MemorySink()]}, r"detectors\[0\] must be an instance of Detector, got MemorySink"),
    "sinks": ({"sinks": [1]}, r"sinks\[0\] must be an instance of Sink, got int 1"),
    "sinks text": ({"sinks": "log"}, "sinks must be a sequence of Sink instances, got str 'log'"),
    "port": ({"prometheus_port": "x"}, "prometheus_port must be an integer from 0 to 65535 .* got str 'x'"),
    "port truth": ({"prometheus_port": True}, "prometheus_port must be .* got bool True"),
    "port above": ({"prometheus_port": 65536}, "prometheus_port must be .* got int 65536"),
    "facts": ({"facts": [1]}, "facts must be a mapping or None, got list"),
}


@pytest.mark.parametrize(("options", "message"), MISTYPED.values(), ids=MISTYPED)
def test_refused_at_construction(options, message):
    with pytest.raises(UserError, match=message):
        GanWatch(**options)


def test_networks_under_unusual_names_are_asked_for(train):
    class Unusual(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.painter, self.judge = nn.Linear(1, 1), nn.Linear(1, 1)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters())

        def training_step(self, batch):
            raise AssertionError

    with pytest.raises(UserError, match=r"generator must name a network of Unusual, .*; it has: painter, judge\. Write GanWatch"):
        train(Unusual(), GanWatch(store=None))


@pytest.mark.filterwarnings("ignore:Total length of .DataLoader. across ranks is zero")
def test_an_empty_loader_is_refused(documented, train, make_digits):
    with pytest.raises(UserError, match="train_dataloaders must give at least one batch, got none"):
        train(documented, GanWatch(store=None), data=make_digits(samples=3), limit_train_batches=1.0)


def test_networks_built_by_the_modules_own_set_up_are_found(documented, train):
    class Late(type(documented)):
        def configure_model(self):
            if not hasattr(self, "late"):
                self.late = nn.ModuleDict({"g": self.generator, "d": self.discriminator})

    documented.__class__ = Late
    watch = GanWatch("late.g", "late.d", store=None)
    train(documented, watch, batches=2)
    assert watch.observer.steps == 2


@pytest.mark.parametrize("nothing", [{"max_epochs": 0}, {"limit_train_batches": 0}], ids=str)
def test_a_training_that_has_nothing_to_do_is_no_fault(nothing, documented, train):
    watch = GanWatch(store=None)
    train(documented, watch, **nothing)
    assert watch.observer is None


def test_disabled_does_nothing_at_all(documented, train, tmp_path, monkeypatch):
    monkeypatch.setenv("GANWATCH_DISABLED", "1")
    monkeypatch.chdir(tmp_path)
    watch = GanWatch("no such network", prometheus_port=1)
    watch.load_state_dict({"run": "earlier"})

    class Check(lightning.Callback):
        def on_train_batch_end(self, *_):
            assert not hasattr(nn.Sequential.forward, "__wrapped__")
            assert torch.autograd.backward.__module__ == "torch.autograd"

    train(documented, watch, Check(), batches=3)
    assert watch.observer is None
    assert watch.state_dict() == {"run": "earlier"}  # a checkpoint written meanwhile loses nothing
    assert not (tmp_path / "runs").exists()


class Faulty(Probe, Sink, Detector):
    """Fails in every way that a part can."""

    name = "faulty"
    code, title, severity, inputs, signals = "GW999", "Faulty", "ticket", ("loss/g",), ()
    needs_output_grads = True

    def __init__(self, *methods):
        self.methods = methods

    def __getattribute__(self, name):
        if name in {"methods", "__class__"} or name not in self.methods:
            return super().__getattribute__(name)
        return lambda *_: 1 / 0

    def read(self, step):
        return {}

    def readings(self, readings):
        pass

    def incident(self, incident):
        pass

    def update(self, readings):
        pass

    @classmethod
    def demo(cls, seed):
        raise NotImplementedError


@pytest.mark.parametrize("method", ["read", "before_update", "after_update", "update", "readings", "start", "finish", "close"])
def test_a_failing_part_is_counted_logged_once_and_goes_no_further(method, documented, train, caplog, monkeypatch):
    monkeypatch.setattr(monitor, "OBSERVER_EVERY", 10)
    faulty, sink = Faulty(method), MemorySink()
    watch = GanWatch(store=None, probes=[faulty, *default_probes()], detectors=[faulty, *default_detectors()], sinks=[faulty, sink])
    with caplog.at_level(logging.ERROR, "ganwatch"):
        train(documented, watch, batches=20)
    assert len(documented.noted) == 40
    assert watch.observer.steps == 20
    assert sink.state == "finished"
    assert sum(record.exc_info is not None for record in caplog.records) == 1
    monitor_errors = len(watch.observer.guard.errors)
    assert monitor_errors + sum(sink.failures > 0 for sink in watch.observer.sinks) == 1
    if method in {"readings", "start", "finish", "close"}:
        return  # behind a queue of its own: when its thread comes to count is not the training's matter
    once, each = pytest.approx(10, abs=2), pytest.approx(20, abs=2)
    expected = {"finish": 0, "close": 0, "start": 1, "before_update": each, "after_update": each}.get(method, once)
    assert (sink.series("observer_errors")[0], sink.series("observer_errors")[1][0]) == ([10, 20], expected)


def test_a_store_that_becomes_unwritable_costs_the_record_only(documented, train, tmp_path, caplog):
    class Breaks(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if len(module.noted) == 20:
                [sink] = [sink for sink in watch.observer.sinks if sink.name == "sql"]
                sink.sink.store.begin = lambda: 1 / 0

    watch = GanWatch(store=tmp_path / "runs")
    memory = MemorySink()
    watch.sinks.append(memory)
    with caplog.at_level(logging.ERROR, "ganwatch"):
        train(documented, watch, Breaks(), batches=30)
    assert len(documented.noted) == 60
    assert len(memory.steps) == 30
    [sink] = [sink for sink in watch.observer.sinks if sink.name == "sql"]
    assert sink.failures >= 1
    assert sum("sink sql failed" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite(value, documented, train, make_digits, tmp_path):
    class Unchecked(type(documented)):
        loss = staticmethod(lambda score, target: (score - target).pow(2).mean())

    documented.__class__ = Unchecked
    data = make_digits()
    data.tensors[0][5:9] = value
    memory = MemorySink()
    watch = GanWatch(store=tmp_path / "runs", sinks=[memory])

    class Often(lightning.Callback):
        def on_train_start(self, trainer, module):
            watch.observer.gallery.every = 2

    train(documented, watch, Often(), batches=30, data=data)
    assert len(documented.noted) == 60
    assert watch.observer.guard.errors.total() == 0
    assert max(memory.series("data_nonfinite/real")[1]) > 0
    assert list(memory.incidents) == ["GW502-1"]
    with open_store(tmp_path / "runs", create=False) as store:
        assert queries.last_values(store, watch.observer.run.id)


def test_a_training_that_fails_is_left_without_hooks_and_recorded_as_failed(documented, train, tmp_path):
    class Fails(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if batch_idx == 5:
                raise ZeroDivisionError

    watch = GanWatch(store=tmp_path / "runs")
    with pytest.raises(ZeroDivisionError):
        train(documented, watch, Fails(), batches=10)
    assert not hasattr(nn.Sequential.forward, "__wrapped__")
    with open_store(tmp_path / "runs", create=False) as store:
        assert [run.state for run in queries.runs(store)] == ["failed"]


def test_a_training_that_is_terminated_is_recorded_as_stopped(documented, train, tmp_path):
    class Terminated(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if batch_idx == 5:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        train(documented, GanWatch(store=tmp_path / "runs", audit_seconds=0), Terminated(), batches=10)
    with open_store(tmp_path / "runs", create=False) as store:
        assert [run.state for run in queries.runs(store)] == ["stopped"]


def test_a_healthy_run_says_how_it_began_and_ended_to_whoever_has_configured_nothing(documented, train, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("ganwatch"), "propagate", False)  # pytest's own handlers are out of sight
    watch = GanWatch(store=tmp_path / "runs", audit_seconds=0)
    train(documented, watch, batches=3)
    run, lines = watch.observer.run.id, capsys.readouterr().err.splitlines()
    where = f"stored in {tmp_path}/runs; open it with: ganwatch dashboard --store {tmp_path}/runs"
    first, last = lines
    assert first == f"ganwatch: watching generator (Sequential), discriminator (Sequential); run {run}, {where}"
    assert last.startswith(f"ganwatch: run {run} finished after 3 steps, no incident was found, but not everything was judged: ")
    assert not logging.getLogger("ganwatch").handlers


def test_the_announcements_follow_the_configured_logging(documented, train, caplog, capsys):
    with caplog.at_level(logging.WARNING, "ganwatch"):
        train(documented, GanWatch(store=None, audit_seconds=0), batches=3)
    assert not caplog.messages
    with caplog.at_level(logging.INFO, "ganwatch"):
        train(documented, GanWatch(store=None, audit_seconds=0), batches=3)
    first, _ = caplog.messages
    assert first.endswith("stored nowhere (store=None)")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda watch: pickle.loads(pickle.dumps(watch))], ids=["deepcopy", "pickle"])  # noqa: S301  # our own bytes
def test_a_copy_of_a_used_callback_is_an_unused_one(duplicate, documented, train, tmp_path):
    copies = []

    class Copies(lightning.Callback):
        def on_train_batch_end(self, *_):
            copies[:] = [duplicate(watch)]

    store, probes = tmp_path / "runs", [probe for probe in default_probes() if probe.name != "resources"]  # holds its process
    watch = GanWatch(store=store, name="one", probes=probes, detectors=[ModeCollapse()], facts={"a": 1}, audit_seconds=0)
    untouched = ModeCollapse().state_dict()
    train(documented, watch, Copies(), batches=40)
    assert watch.detectors[0].state_dict() != untouched
    for unused in (*copies, duplicate(watch)):
        assert (unused.observer, unused.state_dict(), unused.store, unused.name, unused.facts) == (None, {}, store, "one", {"a": 1})
        assert unused.detectors[0].state_dict() == untouched
        assert len(unused.probes) == len(watch.probes)
    train(documented, copies[0], batches=3)
    with open_store(store, create=False) as opened:
        assert sorted((run.name, run.last_step, run.attempts) for run in queries.runs(opened)) == [("one", 3, 1), ("one", 40, 1)]


def test_one_callback_for_two_trainings_keeps_two_records(documented, train, tmp_path):
    watch = GanWatch(store=tmp_path / "runs")
    for _ in range(2):
        train(documented, watch, batches=3)
    with open_store(tmp_path / "runs", create=False) as store:
        assert [(run.state, run.last_step, run.attempts) for run in queries.runs(store)] == [("finished", 3, 1)] * 2


def test_a_foreign_module_goes_on_in_the_same_record(documented, train, tmp_path):
    class Always(Detector):
        code, title, severity, inputs = "GW998", "Always", "ticket", ("loss/g",)

        def update(self, readings):
            from ganwatch.core.detector import Verdict

            return Verdict(1.0, 0.0, "loss/g", 1, "definition", "It is always so.")

        @classmethod
        def demo(cls, seed):
            raise NotImplementedError

    memory = MemorySink()
    make = lambda: GanWatch(store=tmp_path / "runs", detectors=[Always()], sinks=[memory])
    trainer = train(documented, first := make(), batches=10)
    with silence_lightning():
        trainer.save_checkpoint(tmp_path / "state.ckpt")
    assert torch.load(tmp_path / "state.ckpt", weights_only=True)["callbacks"]
    train(documented, second := make(), batches=20, how={"ckpt_path": tmp_path / "state.ckpt", "weights_only": True})
    assert second.observer.run.id == first.observer.run.id
    assert second.observer.steps == 20
    assert [gallery.fixed[0][0].tolist() for gallery in (first.observer.gallery, second.observer.gallery)].count(
        first.observer.gallery.fixed[0][0].tolist()
    ) == 2  # the same latents are drawn
    assert [(report.id, report.fired) for report in memory.reports] == [("GW998-1", 1)]
    with open_store(tmp_path / "runs", create=False) as store:
        [run] = queries.runs(store)
        assert (run.attempts, run.last_step, run.state) == (2, 20, "finished")
        assert queries.series(store, run.id, "loss/g")[0].tolist() == list(range(1, 21))


def test_trainers_other_stages_need_no_networks(documented, train):
    with silence_lightning():
        trainer = lightning.Trainer(**QUIET_TRAINER, callbacks=[GanWatch("no such network", store=None)], accelerator="cpu")
        documented.test_step = lambda batch: None
        trainer.test(documented, torch.utils.data.DataLoader([torch.zeros(1)]))


def test_status_and_early_advice_are_those_of_the_loop(documented, train, caplog, capsys):
    watch = GanWatch(store=None, audit_seconds=0.0)
    assert watch.status().startswith("not watching yet")
    train(documented, watch, batches=60)
    assert "loss family: binary cross-entropy on probabilities" in watch.status()
    assert "too early to judge: discriminator domination (GW201), generator domination (GW202), mode collapse (GW101)" in watch.status()
    assert "1 fake, 1 real" in capsys.readouterr().out
    assert not [record for record in caplog.records if "Say " in record.getMessage()]


def test_a_copy_that_nobody_trains_is_told_from_the_network(documented, train, caplog):
    documented.ema = copy.deepcopy(documented.generator)
    watch = GanWatch("ema", store=None, audit_seconds=0.0)
    train(documented, watch, batches=30)
    [said] = [record.getMessage() for record in caplog.records if "Another network, shaped like G" in record.getMessage()]
    assert said.endswith('Write GanWatch(generator="…") with the trained network, once it exists.')
    assert said in watch.status()


def test_averaged_weights_are_found_by_their_name_and_quality_is_measured_with_them(documented, train, tmp_path):
    documented.ema_generator = copy.deepcopy(documented.generator)
    watch = GanWatch(store=tmp_path, audit_seconds=0.0)
    train(documented, watch, batches=2)
    assert watch.observer.quality_sampler.generator is documented.ema_generator
    assert watch.observer.sampler.generator is documented.generator
    with open_store(tmp_path) as store:
        [run] = queries.runs(store)
        assert run.provenance["probes"]["quality"]["extractor"]["images"]["name"] == "random-conv"
    with pytest.raises(UserError, match="ema"):
        train(documented, GanWatch(ema="no_such", store=None, audit_seconds=0.0), batches=2)
