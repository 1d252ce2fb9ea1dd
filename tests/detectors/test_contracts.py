"""Every detector keeps the rules; every rule can fail; a detector is one new file."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ganwatch.alerting import render
from ganwatch.core.detector import Detector, NotApplicable, Verdict
from ganwatch.core.discovery import discover
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import Streak
from ganwatch.testing import check_detector

DETECTORS = discover("ganwatch.detectors", Detector)

PAGE = '''"""The generator's loss has become tiny.

How it is detected
    Against the run's own past.

Why it matters
    It is an example.

Likely causes
    A test.

What to do
    Nothing.

Blind spots
    All.

Calibration
    None.

References
    None.
"""

from ganwatch.core.detector import Detector, Severity, Verdict
from ganwatch.core.statistics import HealthyMedian, Streak


class TinyLoss(Detector):
    code, title, severity, inputs = "GW999", "tiny loss", Severity.TICKET, ("loss/g",)

    def __init__(self):
        self._healthy, self._streak = HealthyMedian(warmup=20), Streak(3)

    def update(self, readings):
        loss = readings.get("loss/g")
        if loss is None:
            return None
        tiny = self._healthy.is_ready and loss < 0.01 * self._healthy.value
        self._healthy.update(loss, exclude=tiny)
        if not self._streak.update(tiny):
            return None
        return Verdict(loss, 0.01 * self._healthy.value, "loss/g", 3, "the run's own healthy median", "The loss is tiny.")

    @classmethod
    def demo(cls, seed):
        return cls.simulate(seed, onset=100, before={"loss/g": 1.0}, after={"loss/g": 1e-4}, length=100), 100
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package of detectors outside ganwatch, with one file in it."""
    folder = tmp_path / "own_detectors"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "tiny_loss.py").write_text(PAGE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_detectors")
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_detectors"]:
        del sys.modules[name]


@pytest.mark.parametrize("cls", DETECTORS, ids=lambda cls: cls.code)
def test_every_detector_keeps_the_rules(cls: type[Detector]) -> None:
    check_detector(cls)


def test_codes_and_titles_are_unique() -> None:
    assert len({cls.code for cls in DETECTORS}) == len({cls.title for cls in DETECTORS}) == len(DETECTORS) >= 7


def test_one_new_file_is_discovered_checked_and_documented(package) -> None:
    [found] = discover(package, Detector)
    check_detector(found, seeds=[0])
    page = render.render_runbook(found)
    assert page.splitlines()[2] == "# GW999 tiny loss"
    assert "## Mitigation\n\nNothing." in page
    assert "alert: GanwatchTinyLoss" in render.render_rules([found])


ALARM = Verdict(0.0, 1.0, "loss/g", 3, "the test", "It says so.")


def _init(**attributes: Callable[[], object]) -> Callable[[Any], dict[str, Any]]:
    """Return the overrides of a detector with further attributes."""

    def overrides(base: type[Detector]) -> dict[str, Any]:
        def init(self) -> None:
            base.__init__(self)
            for name, make in attributes.items():
                setattr(self, name, make())

        return {"__init__": init}

    return overrides


def _deafened(base: type[Detector]) -> dict[str, Any]:
    def update(self, readings: Readings) -> Verdict | None:
        loss = readings.get("loss/g")
        if loss is None:
            return None
        self._sum += loss
        self._number += 1
        return ALARM if loss < 0.01 * self._sum / self._number else None

    return _init(_sum=float, _number=int)(base) | {"update": update}


def _forgetful(base: type[Detector]) -> dict[str, Any]:
    def update(self, readings: Readings) -> Verdict | None:
        self.count += 1
        return base.update(self, readings) if self.count > 50 else None

    return _init(count=int)(base) | {"update": update}


def _leaking(base: type[Detector]) -> dict[str, Any]:
    def update(self, readings: Readings) -> Any:
        self.steps.append(readings.step)
        return base.update(self, readings)

    return _init(steps=list)(base) | {"update": update}


def _aliased(base: type[Detector]) -> dict[str, Any]:
    def update(self, readings: Readings) -> Any:
        self._last[0] = readings.step
        return base.update(self, readings)

    def state_dict(self) -> dict[str, Any]:
        return base.state_dict(self) | {"_last": self._last}

    return _init(_last=lambda: [0])(base) | {"update": update, "state_dict": state_dict}


def _once(base: type[Detector]) -> dict[str, Any]:
    def update(self, readings: Readings) -> Any:
        before, self._said = self._said, base.update(self, readings) is not None
        return ALARM if self._said and not before else None

    return _init(_said=bool)(base) | {"update": update, "resolve_after": 20}


def _restless(base: type[Detector]) -> dict[str, Any]:
    seeds = count()
    return {"demo": classmethod(lambda cls, seed: base.demo(next(seeds)))}


def _replaced(**overrides: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda base: overrides


def _with_result(change: Callable[[Any, Readings, Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Return the overrides of a detector whose result is computed from the base's."""
    return lambda base: {"update": lambda self, readings: change(self, readings, base.update(self, readings))}


def _demo(stream: Any, onset: int) -> Callable[[Any], dict[str, Any]]:
    return _replaced(demo=classmethod(lambda cls, seed: (iter(stream), onset)))


def _tuned(sensitive: Any, strict: Any) -> Callable[[Any], dict[str, Any]]:
    """Return the overrides of a detector whose streak can be set, up to 50."""

    def overrides(base: type[Detector]) -> dict[str, Any]:
        def init(self, *, length: int = 3) -> None:
            base.__init__(self)
            self._streak = Streak(length if length <= 50 else 0)

        return {"__init__": init, "tunable": {"length": (sensitive, strict)}}

    return overrides


def _absolute(self: Any, readings: Readings, result: Any) -> Any:
    return ALARM if readings.get("loss/g") is not None and readings.values["loss/g"] < 0.01 else None


BROKEN = {
    "code must be a letter and up to 31": _replaced(code="1GW"),
    "kind must be a FailureKind": _replaced(kind="numerics"),
    "required must be tuples of some of the inputs": _replaced(required=(("loss/d",),)),
    "is_ready must be True at the end of the demo": _replaced(is_ready=property(lambda self: False)),
    "title must be a text": _replaced(title=""),
    "severity must be a Severity": _replaced(severity="page"),
    "inputs must be a tuple": _replaced(inputs=["loss/g"]),
    "inputs must be series of the catalogue, with a label.*'loss', 'vendi_ratio/g', 'unheard/of'": _replaced(
        inputs=("loss/g", "loss", "vendi_ratio/g", "unheard/of")
    ),
    "fire_after must be a whole number >= 0": _replaced(fire_after=-1),
    "resolve_after must be a whole number >= 1": _replaced(resolve_after=0),
    "causal_priority must be a whole number": _replaced(causal_priority="first"),
    "must be created without arguments": _replaced(__init__=lambda self, size: None),
    "every section of a runbook.*'References'": lambda base: {
        "runbook_sections": classmethod(lambda cls: base.runbook_sections() | {"References": ""})
    },
    "demo must return readings and an onset": _replaced(demo=classmethod(lambda cls, seed: 1 / 0)),
    "demo's steps must rise": _demo([Readings(2, {}), Readings(1, {})], 2),
    "demo's onset must lie within the readings": _demo([Readings(1, {}), Readings(2, {})], 1),
    "demo must return the same readings for the same seed": _restless,
    "the demo must raise no verdict before its onset": _with_result(lambda self, readings, result: ALARM),
    "the demo must raise a verdict after its onset": _with_result(lambda self, readings, result: None),
    "must end in one firing incident": _once,
    "tunable must name arguments of the constructor": _replaced(tunable={"length": (1, 9)}),
    "ends of the tunable length must be int or float as its default": _tuned(1, 9.0),
    "default of the tunable length must lie between its ends": _tuned(4, 9),
    "the constructor must accept {'length': 51}": _tuned(1, 51),
    "must be found no later the more sensitive": _tuned(20, 2),
    "inputs must name every series that is read": _with_result(lambda self, readings, result: readings.get("loss/d") or result),
    r"update must not raise, got KeyError\('loss/g'\)": _with_result(
        lambda self, readings, result: result if readings.values["loss/g"] else None
    ),
    "update must not raise, got ZeroDivisionError": _with_result(
        lambda self, readings, result: result if 1 / readings.values.get("loss/g", 1) else None
    ),
    "update must return a Verdict, NotApplicable or None": _with_result(lambda self, readings, result: result or False),
    "value and threshold must be": _with_result(lambda self, readings, result: result and Verdict("much", 1.0, "loss/g", 3, "o", "e")),
    "origin and explanation must be": _with_result(lambda self, readings, result: result and Verdict(0.0, 1.0, "loss/g", 3, "o", "")),
    "signal must be one of the inputs": _with_result(lambda self, readings, result: result and Verdict(0.0, 1.0, "loss/d", 3, "o", "e")),
    "window must be a whole number": _with_result(lambda self, readings, result: result and Verdict(0.0, 1.0, "loss/g", 0, "o", "e")),
    "onset must be a step up to now": _with_result(
        lambda self, readings, result: result and Verdict(0.0, 1.0, "loss/g", 3, "o", "e", onset=readings.step + 1)
    ),
    "must not keep the demo from being found": _deafened,
    "state must be plain": _init(_kinds=set),
    "a saved state must not change with the detector": _aliased,
    "load_state_dict must take the value of state_dict": _replaced(load_state_dict=lambda self, state: state["_unknown"]),
    "a restored detector must continue as if never interrupted": _forgetful,
    "deepcopy must work": _init(lock=threading.Lock),
    "pickle must work": _init(key=lambda: lambda: 0),
    "a copy by deepcopy must continue as the original": _replaced(__deepcopy__=lambda self, memo: type(self)()),
    "losses and gradients times 0.01 must change no verdict": _with_result(_absolute),
    "memory must be constant": _leaking,
}


@pytest.mark.parametrize("rule", BROKEN)
def test_every_rule_can_fail(rule: str, package) -> None:
    [base] = discover(package, Detector)
    module = sys.modules[base.__module__]
    module.Broken = type("Broken", (base,), {"__module__": base.__module__, "__qualname__": "Broken", **BROKEN[rule](base)})
    with pytest.raises(AssertionError, match=rule) as raised:
        check_detector(module.Broken, seeds=[0])
    assert str(raised.value).startswith("Broken")


def test_not_applicable_is_a_result(package) -> None:
    [base] = discover(package, Detector)
    module = sys.modules[base.__module__]
    needs = _with_result(
        lambda self, readings, result: result if "loss/g" in readings.values else NotApplicable("needs the generator's loss")
    )(base)
    module.Broken = type("Broken", (base,), {"__module__": base.__module__, "__qualname__": "Broken", **needs})
    check_detector(module.Broken, seeds=[0])
