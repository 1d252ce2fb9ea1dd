"""What every detector is held to."""

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
from ganwatch.core.detector import Detector, NotApplicable, Severity, Verdict
from ganwatch.core.detector_settings import arguments_at, default_arguments
from ganwatch.core.incidents import State
from ganwatch.core.readings import Readings
from ganwatch.core.replay import replay
from ganwatch.core.signals import find_signal
from ganwatch.testing.rules import attempt, require

SCALED = ("loss", "grad_norm", "layer_grad_norm", "output_gradient")
"""Families that grow in proportion when every loss is multiplied by a number."""
SCALES = (0.01, 100.0)
LONG = 100_000
"""Steps over which memory must be constant."""
FAULTS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300)


def check_detector(cls: type[Detector], *, seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Hold a detector to the rules that the monitor, the documents and the resuming of runs rely on.

    Class facts are complete, and the module's docstring has every section of the runbook. Tunable arguments have their default between
    their ends, and the demonstration is found no later at the sensitive ends than at the strict ones. The demonstration is reproducible,
    silent before its onset and found after it, and its incident lasts as long as the failure. Only declared inputs are read.
    Missing, infinite and extreme values neither raise nor deafen. Verdicts are complete. State is plain, and restoring it at any
    step changes no outcome. Copies and pickles go on alike. Scaling all losses changes no verdict. Memory is constant.

    Parameters
    ----------
    cls : Detector class
        Concrete, made without arguments.
    seeds : sequence of int
        Of the demonstrations and of the streams with faulty values.

    Raises
    ------
    AssertionError
        A rule is broken.
    """
    _facts(cls)
    _guide(cls)
    for seed in seeds:
        for rule in (_demo, _tunable, _declared, _faults, _restored, _copied, _scaled):
            rule(cls, seed)
    _bounded(cls, seeds[0])


def _facts(cls: type[Detector]) -> None:
    who = cls.__name__
    code, title, severity, inputs = (getattr(cls, name, None) for name in ("code", "title", "severity", "inputs"))
    require(isinstance(code, str) and re.fullmatch(r"GW\d{3}", code) is not None, who, "code must be GW and three digits", code)
    require(isinstance(title, str) and title.strip(" .\n") == title != "", who, "title must be a text without a full stop", title)
    require(isinstance(severity, Severity), who, "severity must be a Severity", severity)
    require(isinstance(inputs, tuple) and len(inputs) > 0, who, "inputs must be a tuple of series", inputs)
    unknown = [name for name in inputs or () if (known := find_signal(name)) is None or bool(known.label) != ("/" in name)]
    require(not unknown, who, "inputs must be series of the catalogue, with a label where their family has one", unknown)
    for name, least in (("fire_after", 0), ("resolve_after", 1), ("causal_priority", -math.inf)):
        value = getattr(cls, name)
        require(type(value) is int and value >= least, who, f"{name} must be a whole number >= {least}", value)
    attempt(who, "must be made without arguments", cls)


def _guide(cls: type[Detector]) -> None:
    guide = cls.runbook_sections()
    missing = [heading for heading in ("summary", *REQUIRED_SECTIONS) if not guide.get(heading)]
    require(not missing, cls.__name__, "the module's docstring must have a summary and every section of a runbook, none empty", missing)


def _demo(cls: type[Detector], seed: int) -> None:
    who = f"{cls.__name__} (seed {seed})"
    stream, onset = attempt(who, "demo must give a stream and its onset", cls.demo, seed)
    steps = list(stream)
    numbers = [one.step for one in steps]
    require(numbers == sorted(set(numbers)) and min(numbers, default=0) >= 1, who, "demo's steps must rise from 1 or more", numbers[:5])
    require(numbers[0] < onset <= numbers[-1], who, "demo's onset must lie within the stream, after a healthy part", onset)
    require(repr(steps) == repr(list(cls.demo(seed)[0])), who, "demo must give the same stream for the same seed", "another")
    found = _verdicts(steps, _outcomes(cls(), steps))
    require(min(found, default=onset) >= onset, who, f"no verdict before the demo's onset {onset}", found[:1])
    require(bool(found), who, f"a verdict after the demo's onset {onset}", "none")
    incidents = [(one.code, one.state) for one in replay(steps, [cls()])]
    lasting = "the demo must end in one firing incident: a verdict at every step of the failure, for longer than fire_after"
    require(incidents == [(cls.code, State.FIRING)], who, lasting, incidents)


def _tunable(cls: type[Detector], seed: int) -> None:
    who, shipped = cls.__name__, default_arguments(cls)
    for name, (sensitive, strict) in cls.tunable.items():
        require(name in shipped, who, "tunable must name arguments of the constructor", name)
        numbers = [type(number) for number in (shipped[name], sensitive, strict)]
        require(set(numbers) in ({int}, {float}), who, f"the ends of the tunable {name} must be int or float as its default is", numbers)
        between = min(sensitive, strict) < shipped[name] < max(sensitive, strict)
        require(between, who, f"the default of the tunable {name} must lie between its ends", (sensitive, shipped[name], strict))
    steps = list(cls.demo(seed)[0])
    settings = [arguments_at(cls, strictness) for strictness in (-1.0, 0.0, 1.0)]
    detectors = [attempt(who, f"the constructor must accept {arguments}", partial(cls, **arguments)) for arguments in settings]
    first = [min(_verdicts(steps, _outcomes(detector, steps)), default=math.inf) for detector in detectors]
    require(first == sorted(first), who, "demo must be found no later the more sensitive the tunable arguments are", first)


def _declared(cls: type[Detector], seed: int) -> None:
    asked: set[str] = set()
    _outcomes(cls(), (Readings(one.step, _Asked({**one.values, "undeclared": 1.0}, asked)) for one in cls.demo(seed)[0]))
    require(asked <= set(cls.inputs), cls.__name__, "inputs must name every series that is read", sorted(asked - set(cls.inputs)))


def _faults(cls: type[Detector], seed: int) -> None:
    who = cls.__name__
    rough = list(_rough(cls, seed, faults=0.5))
    for one, outcome in zip(rough, _outcomes(cls(), rough), strict=True):
        known = outcome is None or isinstance(outcome, Verdict | NotApplicable)
        require(known, who, "update must give a Verdict, NotApplicable or None", outcome)
        if isinstance(outcome, Verdict):
            _complete(outcome, one.step, cls)
    stream, onset = cls.demo(seed)
    steps = list(stream)
    for fault in FAULTS:
        _outcomes(cls(), [Readings(one.step, dict.fromkeys(one.values, fault)) if one.step < onset else one for one in steps])
    burst = [Readings(one.step, dict.fromkeys(cls.inputs, fault)) for one, fault in zip(steps, FAULTS[:3], strict=False)]
    found = _verdicts(steps, _outcomes(cls(), [*burst, *steps[len(burst) :]]))
    deaf = "three readings that are not finite, at the start, must not keep the demo from being found"
    require(max(found, default=0) >= onset, who, deaf, "no verdict after its onset")


def _complete(verdict: Verdict, step: int, cls: type[Detector]) -> None:
    facts = {
        "value and threshold must be float or int": {type(verdict.value), type(verdict.threshold)} <= {int, float},
        "origin and explanation must be texts": all(isinstance(text, str) and text for text in (verdict.origin, verdict.explanation)),
        "signal must be one of the inputs": verdict.signal in cls.inputs,
        "window must be a whole number >= 1 (steps)": type(verdict.window) is int and verdict.window >= 1,
        "onset must be a step up to now, or None": verdict.onset is None or (type(verdict.onset) is int and 1 <= verdict.onset <= step),
    }
    for rule, holds in facts.items():
        require(holds, cls.__name__, f"a verdict's {rule}", verdict)


def _restored(cls: type[Detector], seed: int) -> None:
    who, rng = cls.__name__, random.Random(seed)
    for steps in (list(cls.demo(seed)[0]), list(_rough(cls, seed, faults=0.1))):
        expected = _outcomes(cls(), steps)
        turns = {at for at in range(1, len(steps)) if type(expected[at]) is not type(expected[at - 1])}
        cuts = turns | set(rng.sample(range(len(steps)), k=min(len(steps), 50)))
        detector = cls()
        for at, (one, outcome) in enumerate(zip(steps, expected, strict=True)):
            if at in cuts:
                state = detector.state_dict()
                require(_is_plain(state), who, "state must be plain: dict, list, str, int, float, bool and None only", state)
                saved = json.dumps(state)
                detector.update(one)
                require(json.dumps(state) == saved, who, "a saved state must not change with the detector", state)
                detector = cls()
                attempt(who, "load_state_dict must take what state_dict gave", detector.load_state_dict, json.loads(saved))
            [got] = _outcomes(detector, [one])
            same = f"restored, it must go on as if never interrupted; at step {one.step} that is {outcome!r}"
            require(repr(got) == repr(outcome), who, same, got)


def _copied(cls: type[Detector], seed: int) -> None:
    steps = list(cls.demo(seed)[0])
    half = len(steps) // 2
    copies: dict[str, Callable[[Any], Any]] = {"deepcopy": deepcopy, "pickle": lambda one: pickle.loads(pickle.dumps(one))}  # noqa: S301  # its own bytes
    for name, copy in copies.items():
        detector = cls()
        _outcomes(detector, steps[:half])
        twin = attempt(cls.__name__, f"{name} must work", copy, detector)
        same = repr(_outcomes(detector, steps[half:])) == repr(_outcomes(twin, steps[half:]))
        require(same, cls.__name__, f"a copy by {name} must go on alike and share nothing", "other outcomes")


def _scaled(cls: type[Detector], seed: int) -> None:
    for steps in (list(cls.demo(seed)[0]), list(_rough(cls, seed))):
        expected = _outcomes(cls(), steps)
        for scale in SCALES:
            got = _outcomes(cls(), (Readings(one.step, _times(scale, one.values)) for one in steps))
            other = [one.step for one, a, b in zip(steps, expected, got, strict=True) if type(a) is not type(b)]
            require(not other, cls.__name__, f"losses and gradients times {scale:g} must change no verdict", f"another at step {other[:1]}")


def _times(scale: float, values: Mapping[str, float]) -> dict[str, float]:
    return {name: value * scale if name.partition("/")[0] in SCALED else value for name, value in values.items()}


def _bounded(cls: type[Detector], seed: int) -> None:
    detector, sizes = cls(), []
    values = cycle([one.values for one in cls.demo(seed)[0]])
    stream = (Readings(step, next(values)) for step in count(1))
    for steps in (LONG // 10, LONG - LONG // 10):
        for one in islice(stream, steps):
            detector.update(one)
        sizes.append(len(pickle.dumps(detector)))
    constant = f"memory must be constant; in bytes after {LONG // 10} and {LONG} steps"
    require(sizes[1] <= 2 * sizes[0], cls.__name__, constant, sizes)


def _outcomes(detector: Detector, stream: Iterable[Readings]) -> list[Any]:
    outcomes = []
    for one in stream:
        try:
            outcomes.append(detector.update(one))
        except Exception as error:
            raise AssertionError(f"{type(detector).__name__}: update must not raise, got {error!r} from {one}") from error
    return outcomes


def _verdicts(steps: Sequence[Readings], outcomes: Sequence[Any]) -> list[int]:
    return [one.step for one, outcome in zip(steps, outcomes, strict=True) if isinstance(outcome, Verdict)]


def _rough(cls: type[Detector], seed: int, faults: float = 0.0) -> Iterator[Readings]:
    """Blocks of 50 steps in which every input stays near some level, is a fault (with that probability), or is not measured."""
    rng = random.Random(seed)
    levels: dict[str, float] = {}
    for step in range(1, 1001):
        if step % 50 == 1:
            measured = [name for name in cls.inputs if rng.random() < 0.8]
            levels = {name: rng.choice(FAULTS) if rng.random() < faults else _level(rng, name) for name in measured}
        yield Readings(step, {name: level * rng.uniform(0.9, 1.0) for name, level in levels.items()})


def _level(rng: random.Random, series: str) -> float:
    signal = find_signal(series)
    level = rng.lognormvariate(0.0, 4.0)
    return min(level, signal.high) if signal is not None else level


class _Asked(Mapping[str, float]):
    """Values that remember which of them were looked at."""

    def __init__(self, values: Mapping[str, float], asked: set[str]) -> None:
        self._values, self._asked = values, asked

    def __getitem__(self, name: str) -> float:
        self._asked.add(name)
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
