"""Text files with settings: presets, maps of names, and configurations of ``ganwatch train``."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cases import MUTATED, ODD, VALID, Case, Cases, Target, built
from hypothesis import strategies as st
from mutations import JSON, PLANS, damage

from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import create_detectors, default_arguments, discover_detectors, read_preset
from ganwatch.core.replay import replay_monitor
from ganwatch.recordings.series_names import read_series_names

SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = st.sampled_from(
    (0, 1, -1, 2, 3, 0.5, 10**6, 10**9, 10**9 + 1, 10**18, 10**30, -(10**9), 1e-300, 5e-324, 1e300, math.nan, math.inf, -math.inf, "1",
    True, None, [1], {})
)


@cache
def _detectors() -> list[type[Detector]]:
    return discover_detectors()


@cache
def _streams() -> list[list[Any]]:
    return [list(cls.demo(0)[0])[:150] for cls in _detectors()]


def toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return "{}" if value == {} and isinstance(value, dict) else '"none"' if value is None else json.dumps(value)


def preset(settings: dict[str, dict[str, Any]]) -> bytes:
    lines = ["[provenance]", "runs = 3"]
    for code, arguments in settings.items():
        lines += [f"[detectors.{code}]", *(f"{name} = {toml(value)}" for name, value in arguments.items())]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def valid_preset(number: int) -> tuple[bytes, Any]:
    rng = np.random.default_rng(number)
    settings: dict[str, dict[str, Any]] = {}
    for cls in _detectors():
        for name, (sensitive, strict) in cls.tunable.items():
            if rng.integers(3) == 0:
                whole = isinstance(default_arguments(cls)[name], int)
                value = sensitive + (strict - sensitive) * float(rng.random())
                settings.setdefault(cls.code, {})[name] = round(value) if whole else value
    settings = settings or {"GW502": {"max_share": 0.25}}
    return preset(settings), settings


class Preset(Target):
    """A preset, with which each detector evaluates a run."""

    name = "preset"

    def prepare(self) -> None:
        _streams()

    def cases(self) -> Cases:
        mutated = st.builds(lambda number, plan: Case(MUTATED, damage(valid_preset(number)[0], plan)), SEEDS, PLANS)
        arguments = {cls.code: st.dictionaries(st.sampled_from([*default_arguments(cls)]), NUMBERS, min_size=1,
            max_size=3) for cls in _detectors() if default_arguments(cls)}
        odd = st.fixed_dictionaries({}, optional=arguments).map(lambda settings: Case(ODD, preset(settings)))
        one = st.sampled_from([*arguments]).flatmap(lambda code: st.tuples(st.just(code), arguments[code])).map(lambda pair: Case(ODD,
            preset(dict([pair]))))
        strange = st.sampled_from(
            (b"[detectors]\nGW101 = 3", b"detectors = 5", b"x = " + b"[" * 5000, b"a.b.c." * 5000 + b"d = 1", b"\xff", b"", b"a = 1e99999",
            b"a = " + b"9" * 10_000, b'[detectors."\\u0000"]',
             b"a = 2020-13-45", b'[detectors.GW101]\n"\\u001b[31m" = 1', b"a=1\na=1", b'"' + b"x" * 500_000 + b'" = 1',
             b"a = 0001-01-01T00:00:00+23:59", b'[detectors."' + b"y" * 100_000 + b'"]', b'[detectors."a\\nb"]')
        ).map(lambda content: Case(ODD, content))
        return Cases(built(VALID, valid_preset), mutated | one | odd | strange)

    def read(self, case: Case, folder: Path) -> Any:
        path = folder / "preset.toml"
        path.write_bytes(case.value)
        settings = read_preset(path)
        detectors = create_detectors(_detectors(), settings, f"preset {path}")
        changed = [one for one in detectors if one.code in settings]
        for stream in _streams() if case.kind != VALID else []:
            monitor = replay_monitor(stream, create_detectors([type(one) for one in changed], settings))
            monitor.outcome()
            if monitor.guard.errors:
                raise AssertionError(f"a detector failed: {dict(monitor.guard.errors)}")
        return {one.code: {name: getattr(one, name) for name in settings[one.code]} for one in changed if settings[one.code]}


def valid_map(number: int) -> tuple[bytes, Any]:
    rng = np.random.default_rng(number)
    names = {f"their {int(one)}": ("loss/g", "loss/d", "d_auc", "step")[int(one) % 4] for one in rng.integers(0, 1000, 5)}
    return "\n".join(f"'{theirs}' = '{ours}'" for theirs, ours in names.items()).encode(), names


class MapFile(Target):
    """A file with names of series."""

    name = "map-file"

    def cases(self) -> Cases:
        mutated = st.builds(lambda number, plan: Case(MUTATED, damage(valid_map(number)[0], plan)), SEEDS, PLANS)
        odd = st.dictionaries(st.text(max_size=6), JSON, max_size=4).map(
            lambda names: Case(ODD, "\n".join(f"{json.dumps(theirs)} = {toml(ours)}" for theirs, ours in names.items()).encode("utf-8",
            "surrogatepass"))
        )
        long = st.integers(1, 500_000).map(lambda size: Case(ODD, b"a = '" + b"x" * size + b"'"))
        return Cases(built(VALID, valid_map), mutated | odd | long)

    def read(self, case: Case, folder: Path) -> Any:
        path = folder / "map.toml"
        path.write_bytes(case.value)
        return read_series_names([], path)


def valid_config(number: int) -> tuple[str, Any]:
    rng = np.random.default_rng(number)
    steps, width, every = (int(one) for one in rng.integers(1, 500, 3))
    text = f"steps: {steps}\ncheckpoint_every: {every}\nmodel:\n  shape: [2]\n  width: {width}\n  loss: hinge\ndata:\n  source: ring\n"
    return text, {"steps": steps, "checkpoint_every": every, "width": width, "shape": [2], "source": "ring"}


STRANGE_YAML = (
    "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)) + "model: *a29",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmodel: *c", "- 1", "steps", "steps: !!python/object/apply:os.system ['true']",
    "steps: 1e400", "steps: [" + "[" * 900,
    "steps: {" * 300, "? [a, b]\n: 1", "model:\n  shape: nowhere", "steps: 0x" + "f" * 3000, "steps: " + "9" * 5000, "\x00", "\t",
    "%YAML 9.9\n---\n", "a: *unknown", "model: 3", "data: []",
    "trainer:\n  max_epochs: -5", "trainer:\n  callbacks: [os.system]", "trainer:\n  logger: 7", "model:\n  g_betas: [1]",
    "seed_everything: -1", "seed_everything: 1e400", "name: [1]", "steps: 2020-99-99",
    "name: 0001-01-01", "config: config.yaml", "model:\n  class_path: os.system", "steps: 1:2:3", "model: !!binary x", "<<: 3", "&a a: *a",
    "a: &a [*a]", "model: &a\n  shape: *a",
    'data:\n  path: "\\0"', "seed_everything: .nan", "seed_everything: 2020-01-01", "seed_everything: true", 'seed_everything: "9"',
)  # fmt: skip


class Config(Target):
    """A configuration of ``ganwatch train``, which is parsed and not carried out."""

    name = "train-config"

    def prepare(self) -> None:
        import lightning  # noqa: F401

        from ganwatch.trainer.cli import TrainCLI  # noqa: F401

    def cases(self) -> Cases:
        mutated = st.builds(lambda number, plan: Case(MUTATED, damage(valid_config(number)[0].encode(), plan)), SEEDS, PLANS)
        odd = st.sampled_from(STRANGE_YAML).map(lambda text: Case(ODD, text.encode()))
        keys = st.sampled_from(("steps", "root", "store", "name", "prometheus_port", "seed_everything", "model.shape", "model.width",
            "model.loss", "data.source", "data.path", "trainer.precision"))
        odd |= st.builds(lambda key, value: Case(ODD,
            json.dumps({key.split(".")[0]: {key.split(".")[1]: value} if "." in key else value}).encode()), keys, JSON)
        return Cases(built(VALID, lambda number: (valid_config(number)[0].encode(), valid_config(number)[1])), mutated | odd)

    def read(self, case: Case, folder: Path) -> Any:
        from ganwatch.trainer.cli import TrainCLI

        class Parsing(TrainCLI):
            def instantiate_classes(self) -> None:
                """Create nothing."""

        path = folder / "config.yaml"
        path.write_bytes(case.value)
        try:
            config = Parsing(["--config", str(path)], build_callbacks=lambda *_: []).config
        except SystemExit as error:
            if error.code != 2:
                raise
            if case.kind == VALID:
                raise AssertionError("a valid configuration is refused") from error
            return None
        if case.kind != VALID:
            return None
        return {"steps": config.steps, "checkpoint_every": config.checkpoint_every, "width": config.model.width,
            "shape": list(config.model.shape), "source": config.data.source}


TARGETS = [Preset(), MapFile(), Config()]
