"""Every probe and sink keeps the rules of ``ganwatch.testing``, and every rule can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ganwatch.core.discovery import discover
from ganwatch.core.incidents import Incident
from ganwatch.core.probe import Probe
from ganwatch.core.readings import Readings
from ganwatch.core.sink import Sink
from ganwatch.sinks.background import BackgroundSink
from ganwatch.sinks.log import LogSink
from ganwatch.sinks.memory import MemorySink
from ganwatch.sinks.sql import SqlSink
from ganwatch.store.database import open_store
from ganwatch.testing import check_probe, check_sink


@pytest.mark.parametrize("cls", discover("ganwatch.probes", Probe), ids=lambda cls: cls.__name__)
def test_every_probe_keeps_the_rules(cls: type[Probe]) -> None:
    check_probe(cls)


class Fine(Probe):
    name, signals = "fine", ("loss", "d_auc")

    def read(self, step: Any) -> Mapping[str, Any]:
        return {"loss/g": step.losses["g"], "d_auc": 0.5} if step.losses else {}


def _probe(**facts: Any) -> type[Probe]:
    return type("Fine", (Fine,), facts)


def _reading(**values: Any) -> type[Probe]:
    return _probe(read=lambda self, step: {name.replace("_of_", "/"): value for name, value in values.items()})


def _draw(self: Probe, update: Any) -> None:
    torch.rand(1)


def _nudge(self: Probe, update: Any) -> None:
    with torch.no_grad():
        update.parameters[0].add_(1e-3)


BROKEN_PROBES = {
    "name must be a text": _probe(name=""),
    "every must be a whole number >= 1": _probe(every=0),
    "signals must be families of the catalogue.*'unheard'": _probe(signals=("loss", "unheard")),
    "read must take a step without calls and updates, got KeyError": _probe(read=lambda self, step: {"loss/g": step.losses["g"]}),
    "read must return a mapping": _probe(read=lambda self, step: None),
    "no method may raise in an ordinary training, got {'probe fine'": _probe(before_update=lambda self, update: 1 / 0),
    "no method may raise in an ordinary training, got {'probe fine': 3}": _reading(d_auc=torch.zeros(2)),
    "read must return declared families only.*'d_margin'": _reading(d_margin=1.0),
    "a value must be in its signal's range 0 to 1, got .*1.5": _reading(d_auc=1.5),
    "a series must have a label if its family has one": _reading(loss=1.5),
    "a series must have a label if its family has one, and only then": _reading(d_auc_of_g=0.5),
    "weights and random state must be the same": _probe(before_update=_draw),
    "weights and random state must be the same with and without": _probe(after_update=_nudge),
}


@pytest.mark.parametrize("rule", BROKEN_PROBES)
def test_every_rule_for_probes_can_fail(rule: str) -> None:
    with pytest.raises(AssertionError, match=rule) as raised:
        check_probe(BROKEN_PROBES[rule])
    assert str(raised.value).startswith("Fine: ")


def test_checking_a_probe_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    check_probe(Fine)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_sink_keeps_the_rules(tmp_path: Path) -> None:
    for make in (MemorySink, LogSink, lambda: BackgroundSink(MemorySink()), lambda: SqlSink(open_store(str(tmp_path)))):
        check_sink(make)


class Plain(Sink):
    name = "plain"

    def readings(self, readings: Sequence[Readings]) -> None:
        pass

    def incident(self, incident: Incident) -> None:
        pass


def _sink(**facts: Any) -> type[Sink]:
    return type("Plain", (Plain,), facts)


def _mark(self: Sink, incident: Incident) -> None:
    incident.extras["sent"] = True


BROKEN_SINKS = {
    "name must be a text": _sink(name=""),
    "close must work on a sink that was never started": _sink(close=lambda self: self.file.close()),
    "start must take": _sink(start=lambda self, run: run.provenance["code"]),
    r"readings must take \[\]": _sink(readings=lambda self, readings: readings[0]),
    "readings must take .*nan": _sink(readings=lambda self, readings: [int(value) for one in readings for value in one.values.values()]),
    "incident must take": _sink(incident=lambda self, incident: 1 / 0),
    "restore must take": _sink(restore=lambda self, incident: 1 / 0),
    "samples must take": _sink(samples=lambda self, samples: 1 / 0),
    "finish must take 'finished'": _sink(finish=lambda self, state: 1 / 0),
    "records must not be changed": _sink(incident=_mark),
}


@pytest.mark.parametrize("rule", BROKEN_SINKS)
def test_every_rule_for_sinks_can_fail(rule: str) -> None:
    with pytest.raises(AssertionError, match=rule) as raised:
        check_sink(BROKEN_SINKS[rule])
    assert str(raised.value).startswith("Plain: ")
