"""Arguments of ``ganwatch.watch`` and ``GanWatch``: objects of any kind, some of which raise when they are looked at."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import ODD, VALID, Case, Cases, Target
from hypothesis import strategies as st
from mutations import JSON
from torch import nn

from ganwatch.core.detector import Detector
from ganwatch.core.probe import Probe
from ganwatch.detectors.non_finite import NonFinite
from ganwatch.session.arguments import check_real, check_settings, parse_networks, parse_options, parse_parts


class Hostile:
    """Raises whenever it is shown, compared, counted or converted."""

    def _refuse(self, *_: Any) -> Any:
        raise RuntimeError("not to be looked at")

    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __getitem__ = __int__ = __float__ = __hash__ = __eq__ = _refuse  # type: ignore[assignment]


class Endless:
    """Yields for ever."""

    def __iter__(self) -> Any:
        while True:
            yield 1


class Lengthy:
    """Says that it has many items, and has none."""

    def __len__(self) -> int:
        return 10**15

    def __getitem__(self, index: int) -> Any:
        raise IndexError(index)


LOOP: list[Any] = []
LOOP.append(LOOP)
CYCLE: dict[str, Any] = {}
CYCLE["again"] = CYCLE
NESTED: Any = []
for _ in range(5000):
    NESTED = [NESTED]

MAKERS: list[Callable[[], Any]] = [
    Hostile, Endless, Lengthy, object, lambda: LOOP, lambda: CYCLE, lambda: NESTED, lambda: NonFinite, NonFinite, lambda: [NonFinite],
        lambda: {NonFinite: 1}, lambda: nn.Linear(2, 2), nn.Identity,
    lambda: nn.LazyLinear(2), lambda: [nn.Linear(1, 1)] * 2, lambda: {"a": nn.Linear(1, 1)}, lambda: {1: nn.Linear(1, 1)},
    lambda: {"a.b": nn.Linear(1, 1)}, lambda: {"": nn.Linear(1, 1)}, lambda: torch.zeros(0), lambda: torch.zeros(()),
    lambda: torch.zeros(3, 2), lambda: torch.zeros(2, 2, dtype=torch.complex64), lambda: torch.zeros(2, 2, device="meta"),
    lambda: torch.zeros(2, 2).to_sparse(), lambda: np.zeros(()), lambda: np.zeros((0, 3)),
    lambda: np.array(["a"]), lambda: np.array([None]), lambda: np.float64(math.nan), lambda: np.int64(3), lambda: True, lambda: 10**400,
    lambda: -1, lambda: 65536, lambda: math.inf, lambda: 0.5, lambda: 1j, lambda: b"x", lambda: "",
    lambda: "\0", lambda: "\ud800", lambda: "x" * 10_000, lambda: "a/b://c", lambda: Path("/dev/zero"), lambda: "/dev/zero",
    lambda: "nosuch:thing", lambda: "os:getcwd", lambda: "math:pi", lambda: "a:" * 50, lambda: ".:.",
    lambda: "digits:9/3", lambda: "digits:" + "9" * 5000 + "/3", lambda: range(10**9), lambda: iter([]), lambda: (one for one in ()),
    lambda: lambda *_: None, lambda: print, lambda: {"G": 1}, lambda: {"G": []}, lambda: (), lambda: [[]], lambda: ("a", 1),
    lambda: {"a", "b"}, lambda: (torch.zeros(2), torch.zeros(3)), lambda: [torch.zeros(2)], lambda: (torch.zeros(2, 1), None), lambda: type,
    lambda: os,
]  # fmt: skip
OBJECTS = st.sampled_from(range(len(MAKERS))).map(lambda index: ("made", index)) | JSON.map(lambda value: ("plain", value))


def make(pair: tuple[str, Any]) -> Any:
    return MAKERS[pair[1]]() if pair[0] == "made" else pair[1]


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "store": lambda one, _: check_settings(store=one, prometheus_port=None, facts=None, audit_seconds=0.0),
    "port": lambda one, _: check_settings(store=None, prometheus_port=one, facts=None, audit_seconds=0.0),
    "facts": lambda one, _: check_settings(store=None, prometheus_port=None, facts=one, audit_seconds=0.0),
    "seconds": lambda one, _: check_settings(store=None, prometheus_port=None, facts=None, audit_seconds=one),
    "detectors": lambda one, _: parse_parts("detectors", one, Detector),  # type: ignore[type-abstract]
    "probes": lambda one, _: parse_parts("probes", one, Probe),  # type: ignore[type-abstract]
    "networks": lambda one, _: parse_networks("G", one),
    "real": lambda one, _: check_real(one),
    "optimizers": lambda one, two: parse_options({"g": nn.Linear(1, 1), "d": nn.Linear(1, 1)}, optimizers={"G": one, "D": two}),
    "optimizers-all": lambda one, _: parse_options({"g": nn.Linear(1, 1), "d": nn.Linear(1, 1)}, optimizers=one),
    "logits": lambda one, _: parse_options(logits=one),
    "logits-path": lambda one, two: parse_options(logits=(one, two)),
    "sample": lambda one, _: parse_options(sample=one),
    "latent": lambda one, two: parse_options(latent=one, conditions=two),
    "ema": lambda one, _: parse_options(ema=one),
    "heldout": lambda one, _: parse_options(heldout=one),
}


def _valid(name: str, number: int) -> Case:
    values: dict[str, Any] = {"store": "runs", "port": number % 65_536, "facts": {"a": number}, "seconds": number % 100,
        "logits": number % 9, "sample": print}
    return Case(VALID, (name, ("plain", values[name]), ("plain", None)), number % 9 if name == "logits" else None)


class Arguments(Target):
    """An argument of a front end."""

    name = "watch-arguments"

    def prepare(self) -> None:
        import ganwatch.data.opening  # noqa: F401

    def cases(self) -> Cases:
        valid = st.builds(_valid, st.sampled_from(("store", "port", "facts", "seconds", "logits", "sample")), st.integers(0, 10**6))
        odd = st.builds(lambda name, one, two: Case(ODD, (name, one, two)), st.sampled_from([*CALLS]), OBJECTS,
            OBJECTS | st.just(("plain", None)))
        return Cases(valid, odd)

    def read(self, case: Case, folder: Path) -> Any:
        name, one, two = case.value
        before = Path.cwd()
        os.chdir(folder)
        try:
            found = CALLS[name](make(one), make(two))
        finally:
            os.chdir(before)
        return found.logits[0] if case.kind == VALID and name == "logits" else None


TARGETS = [Arguments()]
