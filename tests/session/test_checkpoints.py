"""``watching.checkpoint``: saved beside the training, judged by its incidents, thinned out, in the store and on the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import ganwatch
from ganwatch.cli import parser
from ganwatch.core.checkpoints import STALLED, Quality, SavedCheckpoint, judge_checkpoint
from ganwatch.core.detector import Severity
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident, State
from ganwatch.sinks.memory import MemorySink
from ganwatch.store import checkpoints as stored
from ganwatch.store.database import open_store

EVERY = 100
pytestmark = pytest.mark.usefixtures("read_back_here")


class Loop:
    """A plain loop whose generator repeats one latent from a step on."""

    def __init__(self):
        torch.manual_seed(0)
        self.g, self.d = (nn.Sequential(nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, end)) for size, end in ((4, 2), (2, 1)))
        self.optimizers = [torch.optim.Adam(network.parameters(), 1e-3) for network in (self.g, self.d)]

    @property
    def parts(self):
        return {"G": self.g, "D": self.d, "opt_G": self.optimizers[0], "opt_D": self.optimizers[1]}

    def step(self, *, is_collapsed=False):
        real, latents = torch.randn(64, 2), torch.randn(64, 4)
        if is_collapsed:
            latents = latents[:1].expand(64, 4)
        fake = self.g(latents)
        self.update(1, softplus(-self.d(real)) + softplus(self.d(fake.detach())))
        self.update(0, softplus(-self.d(fake)))

    def update(self, number, losses):
        self.optimizers[number].zero_grad()
        losses.mean().backward()
        self.optimizers[number].step()


def train(folder, *, steps=700, collapse=10**9, store=None, keep=5):
    memory, loop = MemorySink(), Loop()
    with ganwatch.watch(G=loop.g, D=loop.d, store=store, sinks=[memory], audit_seconds=0.0, name="loop") as watching:
        for step in range(1, steps + 1):
            loop.step(is_collapsed=step > collapse)
            if step % EVERY == 0:
                watching.checkpoint(folder, loop.parts, keep=keep)
                assert watching.wait_for_checkpoints()
    return memory, loop


def verdicts(memory):
    return {one.step: str(one.verdict.quality) for one in memory.checkpoints}


def test_last_good_lies_before_the_onset_and_is_on_the_command_line(tmp_path, capsys):
    folder, store = tmp_path / "checkpoints", tmp_path / "runs"
    memory, _ = train(folder, steps=700, collapse=450, store=store)
    first = next(one for one in memory.incidents.values() if one.fired is not None and one.code not in STALLED)
    assert 400 < first.onset <= 500
    assert verdicts(memory) == {step: "good" if step < 450 else "bad" for step in range(100, 701, 100)}
    args = parser().parse_args(["checkpoints", "loop", "--store", str(store), "--last-good"])
    assert args.handler(args) == 0
    assert capsys.readouterr().out == f"{folder / 'step-400'}\n"
    args = parser().parse_args(["checkpoints", "loop", "--store", str(store), "--json"])
    assert args.handler(args) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["step"] for one in listed if one["is_last_good"]] == [400]
    with open_store(store, create=False) as opened:
        rows = stored.checkpoints(opened, memory.runs[0].id)
        history = [verdict.quality for verdict in stored.history(opened, rows[4], memory.runs[0].id)]
    assert (rows[4].step, history[0], history[-1]) == (500, Quality.UNKNOWN, Quality.BAD)


def test_a_resumed_training_has_the_state_that_was_saved(tmp_path):
    _, loop = train(tmp_path / "checkpoints", steps=200)
    states, other = ganwatch.load_checkpoint(tmp_path / "checkpoints"), Loop()
    for name, part in other.parts.items():
        part.load_state_dict(states[name])
    for one in (loop, other):
        torch.manual_seed(5)
        one.step()
    assert all(torch.equal(one, two) for one, two in zip(loop.g.parameters(), other.g.parameters(), strict=True))


def test_a_save_changes_nothing_in_the_training(tmp_path):
    _, saved = train(tmp_path / "checkpoints", steps=200)
    loop = Loop()
    for _ in range(200):
        loop.step()
    assert all(torch.equal(one, two) for one, two in zip(saved.g.parameters(), loop.g.parameters(), strict=True))


def test_old_checkpoints_go_and_the_last_good_one_stays(tmp_path):
    memory, _ = train(tmp_path / "checkpoints", steps=1100, collapse=450, keep=2)
    left = sorted(int(path.name[5:]) for path in (tmp_path / "checkpoints").glob("step-*"))
    assert left == [100, 400, 500, 1100]
    assert {one.step for one in memory.checkpoints if one.is_removed} == set(range(100, 1200, 100)) - set(left)


def test_a_folder_that_cannot_be_written_is_an_incident_and_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("ganwatch.checkpoints.guard.PAUSES", (0.0,))
    (tmp_path / "file").write_text("")
    memory, _ = train(tmp_path / "file" / "checkpoints", steps=300)
    assert memory.runs
    incident = memory.incidents["GW511-1"]
    assert (incident.fired is not None, incident.cause, incident.resolved) == (True, None, None)
    assert [one.is_verified for one in memory.checkpoints] == [False] * len(memory.checkpoints)
    assert "Not a directory" in memory.checkpoints[0].fault


BAD = {
    "folder": (("", {"G": {}}, 5), "folder must be a path, got ''"),
    "parts": (("x", {}, 5), "parts must be a mapping of names to networks, optimizers or states, got dict"),
    "names": (("x", {1: {}}, 5), "parts must be a mapping of names"),
    "keep": (("x", {"G": {}}, 0), r"keep must be >= 1 \(checkpoints\), got 0"),
    "content": (("x", {"G": {"net": object()}}, 5), "parts must hold tensors, plain types and containers of these, got object at 'G.net'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_arguments_are_named(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (folder, parts, keep), message = BAD[kind]
    loop = Loop()
    with ganwatch.watch(G=loop.g, D=loop.d, store=None) as watching, pytest.raises(UserError, match=message):
        watching.checkpoint(folder, parts, keep=keep)


def test_a_second_folder_is_refused(tmp_path):
    loop = Loop()
    with ganwatch.watch(G=loop.g, D=loop.d, store=None) as watching:
        watching.checkpoint(tmp_path / "one", loop.parts)
        with pytest.raises(UserError, match="folder must be the same for all checkpoints of a run"):
            watching.checkpoint(tmp_path / "two", loop.parts)


def test_what_a_part_holds_is_an_error_at_first_and_a_fault_later(tmp_path):
    loop, memory = Loop(), MemorySink()
    with ganwatch.watch(G=loop.g, D=loop.d, store=None, sinks=[memory]) as watching:
        for step in range(10):
            loop.step()
            watching.checkpoint(tmp_path / "one", loop.parts | {"facts": {"step": step, "thing": object() if step == 5 else None}})
            assert watching.wait_for_checkpoints()
    assert {one.step for one in memory.checkpoints if one.fault} == {6}


def test_a_disabled_watch_saves_all_the_same_and_removes_its_own_alone(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    train(folder, steps=300)
    monkeypatch.setenv("GANWATCH_DISABLED", "1")
    loop = Loop()
    with ganwatch.watch(G=loop.g, D=loop.d) as watching:
        for number in range(4):
            watching.checkpoint(folder, loop.parts | {"facts": {"number": number}}, keep=2)
        watching.checkpoint(folder, loop.parts | {"facts": {"thing": object()}})
    assert ganwatch.load_checkpoint(folder)["facts"] == {"number": 3}
    assert sorted(path.name for path in folder.glob("step-*")) == ["step-100", "step-200", "step-300", "step-303", "step-304"]


def test_verdicts_follow_incidents_and_never_age():
    saved = SavedCheckpoint("step-300", 300)

    def incident(onset, fired=None, resolved=None, code="GW101"):
        return Incident(f"{code}-1", code, "mode collapse", Severity.PAGE, State.FIRING, onset, onset, fired=fired, resolved=resolved)

    def judge(*incidents, last=1000, **facts):
        return str(judge_checkpoint(saved, incidents, last, **facts).quality)

    assert judge(last=499) == "unknown"
    assert judge(last=500) == judge(last=300, has_ended=True) == "good"
    assert judge(unjudged="mode collapse (GW101)") == "unknown"
    assert judge(incident(300, 340)) == "bad"
    assert judge(incident(301, 340)) == "good"
    assert judge(incident(200, None)) == "good"  # it never fired
    assert judge(incident(200, 240, resolved=300)) == "good"
    assert judge(incident(200, 240, resolved=301)) == "bad"
    assert judge(incident(200, 240, code="GW511")) == "good"
    assert judge(incident(200, 240, code="GW403")) == "unknown"  # it came no nearer, and is no worse than before
    assert judge(replace(incident(200, 240, code="GW403"), cause="GW504-1")) == "good"
    broken = SavedCheckpoint("step-300", 300, nonfinite=("G",))
    assert judge_checkpoint(broken, [], 1000).reason == "NaN in G"
