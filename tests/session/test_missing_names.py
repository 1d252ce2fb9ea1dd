"""A version of torch without some private name: that tap is blind and says so, the rest goes on, and the training is the same."""

import importlib
import logging
from types import ModuleType

import pytest
import torch
from loop_table import LOOPS
from plain_loop import equal, final_state

import ganwatch
from ganwatch.capture.taps import backward_losses, clipping, loaders, patches
from ganwatch.core.guard import Guard
from ganwatch.sinks.memory import MemorySink

NAMES = {
    "torch.autograd:_engine_run_backward": "gradient penalty",
    "torch.utils.data.dataloader:_BaseDataLoaderIter": "bce",
    "torch.nn.utils.clip_grad:_group_tensors_by_device_and_dtype": "clipped",
    "torch.optim.optimizer:_global_optimizer_pre_hooks": "closures",
    "torch.optim.optimizer:_global_optimizer_post_hooks": "G first",
    "torch:_foreach_norm": "patches",
}
"""Names that ganwatch reads and torch does not promise, and a loop that comes by each."""
COMMON = ("bce", "three critic steps", "scaler", "several backwards", "lazy penalty", "in parts", "hinge")
REPORTED = {name for name in NAMES if "foreach" not in name and "hooks" not in name}
"""Names for which there is no other way."""


class Hiding(ModuleType):
    """A module whose hidden names are not there for others, while its own functions go on using them."""

    def __getattribute__(self, name):
        if name in ModuleType.__getattribute__(self, "__dict__").get("__hidden__", ()):
            raise AttributeError(name)
        return super().__getattribute__(name)


@pytest.fixture(params=NAMES)
def missing(request, monkeypatch):
    module, name = request.param.split(":")
    owner = importlib.import_module(module)
    monkeypatch.setattr(owner, "__hidden__", {name}, raising=False)
    monkeypatch.setattr(patches, "_guard", Guard())
    for patch in [each for tap in (backward_losses, clipping, loaders) for each in vars(tap).values() if isinstance(each, patches.Patch)]:
        monkeypatch.setattr(patch, "_owner", None)
    kind = type(owner)
    owner.__class__ = type("Hiding", (Hiding, kind), {}) if kind is not ModuleType else Hiding
    yield request.param
    owner.__class__ = kind


def test_a_missing_name_blinds_one_tap_only(missing, caplog):
    for loop_name in dict.fromkeys((NAMES[missing], *COMMON)):
        alone = LOOPS[loop_name]()
        alone.run()
        loop, sink = LOOPS[loop_name](), MemorySink()
        with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0) as watching:
            loop.run()
            text = watching.status()
        assert equal(final_state(alone), final_state(loop)), loop_name
        own = sum(network == "g" for network, *_ in loop.events)
        assert watching.observer.steps >= own - 1, loop_name
        assert {"loss/g", "loss/d", "grad_norm/g", "d_auc"} <= watching.observer.latest.keys(), loop_name
        blind = {part: count for part, count in sink.latest_outcome.failures.items() if part.startswith("tap on")}
        assert all(missing.partition(":")[2] in part for part in blind)
        assert bool(blind) == (missing in REPORTED), loop_name
        assert (f"tap on {missing}" in text) == (missing in REPORTED)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING and missing in record.getMessage()]
    assert len(warnings) == (missing in REPORTED)


def test_an_error_within_a_tap_is_counted_and_the_training_goes_on(monkeypatch, caplog):
    def broken(self, losses, before):
        raise ZeroDivisionError

    monkeypatch.setattr(patches, "_guard", Guard())
    monkeypatch.setattr(backward_losses.Listener, "report", broken)
    alone = LOOPS["bce"]()
    alone.run()
    loop, sink = LOOPS["bce"](), MemorySink()
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0):
        loop.run()
    assert equal(final_state(alone), final_state(loop))
    assert sink.latest_outcome.failures == {"tap on torch.autograd:backward": len(loop.events)}
    assert sum("tap on torch.autograd:backward failed" in record.getMessage() for record in caplog.records) == 1


def test_what_somebody_else_has_put_over_a_tap_stays():
    original = torch.autograd.backward
    loop = LOOPS["bce"]()
    watching = ganwatch.watch(**loop.networks(), store=None, audit_seconds=0.0)
    inner = torch.autograd.backward

    def theirs(*args, **kwargs):
        return inner(*args, **kwargs)

    torch.autograd.backward = theirs
    try:
        watching.close()
        assert torch.autograd.backward is theirs
        sink = MemorySink()
        with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0):
            loop.run(4)
        assert "loss/g" in sink.steps[-1].values
    finally:
        torch.autograd.backward = original
