"""Rules for every detector."""

from __future__ import annotations

import json
import math
import pickle
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import count, cycle, islice
from typing import Any

from ganwatch.alerting.alerts import REQUIRED_SECTIONS
from ganwatch.core.detector import Detector, FailureKind, NotApplicable, Severity, Verdict
from ganwatch.core.detector_settings import arguments_at, default_arguments
from ganwatch.core.incidents import State
from ganwatch.core.readings import Readings
from ganwatch.core.replay import replay
from ganwatch.core.signals import find_signal
from ganwatch.testing.rules import attempt, require

SCALED = ("loss", "grad_norm", "layer_grad_norm", "output_gradient")
"""Families that grow in proportion when every loss is multiplied by a number."""
SCALES = (0.01, 100.0)
"""Factors of all losses, which must not change any verdict."""
MEMORY_STEPS = 100_000
"""Steps over which memory must be constant."""
FAULTS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300)
"""Values that must neither raise an error nor deafen a detector."""


def check_detector(cls: type[Detector], *, seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Check a detector against the rules that the monitor, the documents and the resuming of runs rely on.

    - Class attributes are complete, and the module's docstring has every section of the runbook.
    - The default of a tunable argument lies between its ends. The demo is found no later at the sensitive ends than at the strict ones.
    - The demo is reproducible, silent before its onset and found after it. Its incident lasts as long as the failure.
    - The detector reads only its declared inputs.
    - Missing, infinite and extreme values neither raise an error nor deafen it.
    - Verdicts are complete.
    - Its state is plain, and a restore at any step changes no result. Copies and pickles continue as the original.
    - Scaling all losses changes no verdict.
    - Memory is constant.

    Parameters
    ----------
    cls : Detector class
        Concrete, created without arguments.
    seeds : sequence of int
        Seeds of the demos and of the streams with faulty values.

    Raises
    ------
    AssertionError
        A rule is broken.
    """
    _check_class(cls)
    _check_runbook(cls)
    for seed in seeds:
        for check in (_check_demo, _check_tunable, _check_inputs, _check_faults, check_restore, check_copies, _check_scale):
            check(cls, seed)
    _check_memory(cls, seeds[0])


def _check_class(cls: type[Detector]) -> None:
    who = cls.__name__
    code, title, severity, inputs = (getattr(cls, name, None) for name in ("code", "title", "severity", "inputs"))
    is_code = isinstance(code, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,31}", code) is not None
    require(is_code, who, "code must be a letter and up to 31 letters, digits, - or _", code)
    require(isinstance(cls.kind, FailureKind), who, "kind must be a FailureKind", cls.kind)
    require(isinstance(title, str) and title.strip(" .\n") == title != "", who, "title must be a text without a full stop", title)
    require(isinstance(severity, Severity), who, "severity must be a Severity", severity)
    require(isinstance(inputs, tuple) and len(inputs) > 0, who, "inputs must be a tuple of series", inputs)
    unknown = [name for name in inputs or () if (signal := find_signal(name)) is None or bool(signal.label) != ("/" in name)]
    require(not unknown, who, "inputs must be series of the catalogue, with a label if their family has one", unknown)
    is_among = all(isinstance(one, tuple) and set(one) <= set(inputs or ()) and one for one in cls.required)
    require(is_among, who, "required must be tuples of some of the inputs", cls.required)
    for name, minimum in (("fire_after", 0), ("resolve_after", 1), ("causal_priority", -math.inf)):
        value = getattr(cls, name)
        require(type(value) is int and value >= minimum, who, f"{name} must be a whole number >= {minimum}", value)
    attempt(who, "must be created without arguments", cls)


def _check_runbook(cls: type[Detector]) -> None:
    sections = cls.runbook_sections()
    missing = [heading for heading in ("summary", *REQUIRED_SECTIONS) if not sections.get(heading)]
    require(not missing, cls.__name__, "the module's docstring must have a summary and every section of a runbook, none empty", missing)


def _check_demo(cls: type[Detector], seed: int) -> None:
    who = f"{cls.__name__} (seed {seed})"
    stream, onset = attempt(who, "demo must return readings and an onset", cls.demo, seed)
    readings = list(stream)
    steps = [one.step for one in readings]
    require(steps == sorted(set(steps)) and min(steps, default=0) >= 1, who, "demo's steps must rise from 1 or more", steps[:5])
    require(steps[0] < onset <= steps[-1], who, "demo's onset must lie within the readings, after a healthy part", onset)
    require(repr(readings) == repr(list(cls.demo(seed)[0])), who, "demo must return the same readings for the same seed", "others")
    fired = _verdict_steps(readings, _results(cls(), readings))
    require(min(fired, default=onset) >= onset, who, f"the demo must raise no verdict before its onset {onset}", fired[:1])
    require(bool(fired), who, f"the demo must raise a verdict after its onset {onset}", "none")
    incidents = [(one.code, one.state) for one in replay(readings, [cls()])]
    rule = "the demo must end in one firing incident: a verdict at every step of the failure, for longer than fire_after"
    require(incidents == [(cls.code, State.FIRING)], who, rule, incidents)
    detector = cls()
    _results(detector, readings)
    require(detector.is_ready is True, who, "is_ready must be True at the end of the demo", detector.is_ready)


def _check_tunable(cls: type[Detector], seed: int) -> None:
    who, defaults = cls.__name__, default_arguments(cls)
    for name, (sensitive, strict) in cls.tunable.items():
        require(name in defaults, who, "tunable must name arguments of the constructor", name)
        types = [type(number) for number in (defaults[name], sensitive, strict)]
        require(set(types) in ({int}, {float}), who, f"the ends of the tunable {name} must be int or float as its default is", types)
        lies_between = min(sensitive, strict) < defaults[name] < max(sensitive, strict)
        require(lies_between, who, f"the default of the tunable {name} must lie between its ends", (sensitive, defaults[name], strict))
    readings = list(cls.demo(seed)[0])
    settings = [arguments_at(cls, strictness) for strictness in (-1.0, 0.0, 1.0)]
    detectors = [attempt(who, f"the constructor must accept {arguments}", partial(cls, **arguments)) for arguments in settings]
    first = [min(_verdict_steps(readings, _results(detector, readings)), default=math.inf) for detector in detectors]
    require(first == sorted(first), who, "the demo must be found no later the more sensitive the tunable arguments are", first)


def _check_inputs(cls: type[Detector], seed: int) -> None:
    read: set[str] = set()
    _results(cls(), (Readings(one.step, _TrackedValues({**one.values, "undeclared": 1.0}, read)) for one in cls.demo(seed)[0]))
    require(read <= set(cls.inputs), cls.__name__, "inputs must name every series that is read", sorted(read - set(cls.inputs)))


def _check_faults(cls: type[Detector], seed: int) -> None:
    who = cls.__name__
    rough = list(_rough_readings(cls, seed, fault_probability=0.5))
    for one, result in zip(rough, _results(cls(), rough), strict=True):
        is_result = result is None or isinstance(result, Verdict | NotApplicable)
        require(is_result, who, "update must return a Verdict, NotApplicable or None", result)
        if isinstance(result, Verdict):
            _check_verdict(result, one.step, cls)
    stream, onset = cls.demo(seed)
    readings = list(stream)
    for fault in FAULTS:
        _results(cls(), [Readings(one.step, dict.fromkeys(one.values, fault)) if one.step < onset else one for one in readings])
    burst = [Readings(one.step, dict.fromkeys(cls.inputs, fault)) for one, fault in zip(readings, FAULTS[:3], strict=False)]
    fired = _verdict_steps(readings, _results(cls(), [*burst, *readings[len(burst) :]]))
    rule = "three readings that are not finite, at the start, must not keep the demo from being found"
    require(max(fired, default=0) >= onset, who, rule, "no verdict after its onset")


def _check_verdict(verdict: Verdict, step: int, cls: type[Detector]) -> None:
    rules = {
        "value and threshold must be float or int": {type(verdict.value), type(verdict.threshold)} <= {int, float},
        "origin and explanation must be texts": all(isinstance(text, str) and text for text in (verdict.origin, verdict.explanation)),
        "signal must be one of the inputs": verdict.signal in cls.inputs,
        "window must be a whole number >= 1 (steps)": type(verdict.window) is int and verdict.window >= 1,
        "onset must be a step up to now, or None": verdict.onset is None or (type(verdict.onset) is int and 1 <= verdict.onset <= step),
    }
    for rule, holds in rules.items():
        require(holds, cls.__name__, f"a verdict's {rule}", verdict)


def check_restore(cls: type[Detector], seed: int) -> None:
    """Check that a detector restored from its saved state at any step continues as if never interrupted."""
    who, rng = cls.__name__, random.Random(seed)
    for readings in (list(cls.demo(seed)[0]), list(_rough_readings(cls, seed, fault_probability=0.1))):
        expected = _results(cls(), readings)
        changes = {at for at in range(1, len(readings)) if type(expected[at]) is not type(expected[at - 1])}
        cuts = changes | set(rng.sample(range(len(readings)), k=min(len(readings), 50)))
        detector = cls()
        for at, (one, result) in enumerate(zip(readings, expected, strict=True)):
            if at in cuts:
                state = detector.state_dict()
                require(_is_plain(state), who, "state must be plain: dict, list, str, int, float, bool and None only", state)
                saved = json.dumps(state)
                detector.update(one)
                require(json.dumps(state) == saved, who, "a saved state must not change with the detector", state)
                detector = cls()
                attempt(who, "load_state_dict must take the value of state_dict", detector.load_state_dict, json.loads(saved))
            [got] = _results(detector, [one])
            rule = f"a restored detector must continue as if never interrupted; at step {one.step} that is {result!r}"
            require(repr(got) == repr(result), who, rule, got)


def check_copies(cls: type[Detector], seed: int) -> None:
    """Check that copies and pickles of a detector continue as the original and share nothing with it."""
    readings = list(cls.demo(seed)[0])
    half = len(readings) // 2
    copies: dict[str, Callable[[Any], Any]] = {"deepcopy": deepcopy, "pickle": lambda one: pickle.loads(pickle.dumps(one))}  # noqa: S301  # its own bytes
    for name, copy in copies.items():
        detector = cls()
        _results(detector, readings[:half])
        twin = attempt(cls.__name__, f"{name} must work", copy, detector)
        same = repr(_results(detector, readings[half:])) == repr(_results(twin, readings[half:]))
        require(same, cls.__name__, f"a copy by {name} must continue as the original and share nothing", "other results")


def _check_scale(cls: type[Detector], seed: int) -> None:
    for readings in (list(cls.demo(seed)[0]), list(_rough_readings(cls, seed))):
        expected = _results(cls(), readings)
        for scale in SCALES:
            got = _results(cls(), (Readings(one.step, _scale_losses(one.values, scale)) for one in readings))
            changed = [one.step for one, a, b in zip(readings, expected, got, strict=True) if type(a) is not type(b)]
            rule = f"losses and gradients times {scale:g} must change no verdict"
            require(not changed, cls.__name__, rule, f"another at step {changed[:1]}")


def _scale_losses(values: Mapping[str, float], scale: float) -> dict[str, float]:
    return {name: value * scale if name.partition("/")[0] in SCALED else value for name, value in values.items()}


def _check_memory(cls: type[Detector], seed: int) -> None:
    detector, sizes = cls(), []
    values = cycle([one.values for one in cls.demo(seed)[0]])
    stream = (Readings(step, next(values)) for step in count(1))
    for steps in (MEMORY_STEPS // 10, MEMORY_STEPS - MEMORY_STEPS // 10):
        for one in islice(stream, steps):
            detector.update(one)
        sizes.append(len(pickle.dumps(detector)))
    rule = f"memory must be constant; in bytes after {MEMORY_STEPS // 10} and {MEMORY_STEPS} steps"
    require(sizes[1] <= 2 * sizes[0], cls.__name__, rule, sizes)


def _results(detector: Detector, readings: Iterable[Readings]) -> list[Any]:
    results = []
    for one in readings:
        try:
            results.append(detector.update(one))
        except Exception as error:
            raise AssertionError(f"{type(detector).__name__}: update must not raise, got {error!r} from {one}") from error
    return results


def _verdict_steps(readings: Sequence[Readings], results: Sequence[Any]) -> list[int]:
    return [one.step for one, result in zip(readings, results, strict=True) if isinstance(result, Verdict)]


def _rough_readings(cls: type[Detector], seed: int, fault_probability: float = 0.0) -> Iterator[Readings]:
    """Yield blocks of 50 steps in which every input stays near some level, is a fault, or is not measured."""
    rng = random.Random(seed)
    levels: dict[str, float] = {}
    for step in range(1, 1001):
        if step % 50 == 1:
            measured = [name for name in cls.inputs if rng.random() < 0.8]
            levels = {name: rng.choice(FAULTS) if rng.random() < fault_probability else _random_level(rng, name) for name in measured}
        yield Readings(step, {name: level * rng.uniform(0.9, 1.0) for name, level in levels.items()})


def _random_level(rng: random.Random, series: str) -> float:
    signal = find_signal(series)
    level = rng.lognormvariate(0.0, 4.0)
    return min(level, signal.high) if signal is not None else level


class _TrackedValues(Mapping[str, float]):
    """Values that record which of them are read."""

    def __init__(self, values: Mapping[str, float], read: set[str]) -> None:
        self._values, self._read = values, read

    def __getitem__(self, name: str) -> float:
        self._read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _is_plain(value: object) -> bool:
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return value is None or type(value) in {str, int, float, bool}
