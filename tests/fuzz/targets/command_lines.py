"""Command lines of every sub-command: words that are refused, or tiny work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from cases import ODD, VALID, Case, Cases, Target
from command_calls import run_command
from hypothesis import strategies as st

from ganwatch.core.errors import UserError
from targets.numpy_files import header
from targets.recordings import valid_csv
from targets.settings import preset
from targets.stores import rows_of, template, write

PATHS = (
    "", "nothing", "real.npy", "other.npy", "images.npy", "run.csv", "runs", "runs/ganwatch.db", "preset.toml", "broken.ckpt", ".",
    "/dev/zero", "/dev/stdin", "pipe", "loop", "x" * 5000, "x/" * 3000, "a\nb", "\x1b[31m", "\udcff", "\0", "a\0b",
    "/proc/self/mem", "/usr/../../etc", "nosuch://x", "memory://nothing", "file://", "http://127.0.0.1:9/x", "http://[::1", "sqlite://",
    "sqlite:///:memory:", "postgresql://u:secret@127.0.0.1:1/x", "mysql://x", "://", "digits", "digits:1/2", "digits:9/3",
    "digits:" + "9" * 5000 + "/3", "ring", "a.b:c", "math:pi", ".:.", "os:getcwd", "latest", "run-5", "name 5", "r", "~nobody/x", "~", "*",
    "%s",
)  # fmt: skip
NUMBERS = ("0", "-1", "1", "2", "5", "100", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 400, "9" * 5000, "0x10", "1_0", "١", "", " ",
    "x", "1.5", "-0.0", "2147483648", "18446744073709551616", "1e308", "\udcff")
NAMES = ("", "random-conv", "pretrained", "identity", "discriminator", "broken.pt2@" + "0" * 64, "broken.ckpt", "x@y", "@", "math:pi",
    ".:.", "builtins:print", "a" * 10_000, "\0", "\udcff", "http://127.0.0.1:9/x@" + "0" * 64, "pipe", "/dev/zero")
CODES = ("GW101", "GW303", "gw101", "", "x", ".:.", "math:pi", "builtins:int", "os:path", "a" * 10_000, "\0", "GW101\n",
    "ganwatch.detectors.non_finite:NonFinite", "ganwatch.core.signals:catalogue")
MAPS = ("errG=loss/g", "=", "a=", "=b", "a=b", "a=step", "a=value", "x" * 10_000 + "=loss/g", "a=" + "y" * 10_000, "\0=loss/g",
    "a=loss/\udcff", "step=loss/g", "loss/g=step", "series=step")
TIMES = ("", "0h", "-1h", "1", "h", "nanh", "1e400h", "9" * 400 + "d", "x", "1h2h", "\0")
JSON_FLAG = st.sampled_from(((), ("--json",)))


def option(name: str, values: Any) -> st.SearchStrategy[tuple[str, ...]]:
    """Return an option with a value, in one word so that no value is taken for an option, or nothing."""
    chosen = st.sampled_from(values)
    return st.just(()) | chosen.map(lambda value: (f"{name}={value}",))


def words(*parts: Any) -> st.SearchStrategy[tuple[str, ...]]:
    strategies = (st.just(part) if isinstance(part, str) else part for part in parts)
    return st.tuples(*strategies).map(lambda found: tuple(word for part in found for word in ((part,) if isinstance(part, str) else part)))


PATH = st.sampled_from(PATHS)
STORE = option("--store", PATHS)
SEED, PORT = option("--seed", NUMBERS), option("--prometheus-port", NUMBERS)
FEATURES = words(option("--features", NAMES), option("--size", NUMBERS))
RECORDINGS = words(STORE, option("--map", MAPS), option("--map-file", PATHS), option("--detectors", CODES),
    option("--jobs", ("0", "-1", "x", "1", "")), JSON_FLAG)
RANGE = st.just(()) | st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)).map(lambda pair: ("--range", *pair))
NO_STEPS = st.sampled_from(("0", "-1", "nan", "x", "", "1e9", "9" * 5000, "-9223372036854775809")).map(lambda value: f"--steps={value}")

LINES: dict[str, st.SearchStrategy[tuple[str, ...]]] = {
    "runs": words("runs", STORE, JSON_FLAG),
    "incidents": words("incidents", STORE, JSON_FLAG, "--", PATH),
    "replay": words("replay", RECORDINGS, option("--label", PATHS), option("--preset", PATHS), st.sampled_from(((), ("--sweep",))), "--",
    PATH),
    "calibrate": words("calibrate", RECORDINGS, option("--false-alarms", NUMBERS), option("--out", PATHS), "--runs", PATH),
    "audit": words("audit", option("--held-out", PATHS), RANGE, option("--batch-size", NUMBERS),
    option("--budget", ("0", "-1", "nan", "x", "0.1", "1e-400")), option("--limit", ("0", "-1", "x", "5", "9" * 400)), SEED, JSON_FLAG,
        "--", PATH),
    "score": words("score", RANGE, option("--samples", NUMBERS), SEED, FEATURES, option("--cache", PATHS), JSON_FLAG, "--", PATH, PATH),
    "drift": words("drift", STORE, FEATURES, SEED, option("--level", NUMBERS), option("--limit", NUMBERS), option("--model", PATHS),
    option("--reference", PATHS), option("--run", PATHS), st.sampled_from(((), ("--accept",))), JSON_FLAG,
                   option("--report", PATHS), PATH.map(lambda path: f"--baseline={path}"), PATH.map(lambda path: f"--fresh={path}")),
    "drift-every": words("drift", st.sampled_from(TIMES).map(lambda time: f"--every={time}"), "--baseline=nothing", "--fresh=nothing",
    option("--level", NUMBERS)),
    "demo": words("demo", NO_STEPS, STORE, SEED, PORT, JSON_FLAG, option("--fault", CODES), option("--loss", CODES)),
    "drill": words("drill", NO_STEPS, STORE, SEED, PORT, JSON_FLAG, st.sampled_from((("exploding-gradient",), ("x",), (), ("--list",)))),
    "train": words("train", st.lists(st.sampled_from(("--config", "--config=", "--steps=0", "--steps=x", "--model.width=-1",
    "--data.source=x", "--nothing", "--model", "--trainer=3", "--seed_everything=-1", "--print_config", "--resume", "--help", *PATHS)),
    max_size=4), "--steps=0"),
    "dashboard": words("dashboard", STORE, option("--port", NUMBERS), option("--address", PATHS)),
    "render": words("render", PATH.map(lambda path: f"--output={path}"), st.just(("--check",)), option("--runbook-base", PATHS)),
    "other": words(st.sampled_from((*PATHS, "--version", "--help", "runs")), st.sampled_from(("--nothing", "-h", "--", "x", "--store"))),
}  # fmt: skip


def valid(number: int) -> Case:
    """Return a command whose result is known."""
    rows, expected = rows_of(5)
    del rows
    table, steps = valid_csv(number)
    if number % 2:
        return Case(VALID, (number, ("replay", "run.csv", "--json", "--label=healthy")), ["run", max(steps) - min(steps) + 1])
    del table
    return Case(VALID, (number, ("runs", "--store", "runs", "--json")), expected["run"][:3])


class CommandLines(Target):
    """A command line, in a folder with a little of everything."""

    name = "command-lines"
    allows_lines = True

    def prepare(self) -> None:
        import lightning  # noqa: F401

        from ganwatch import cli, trainer  # noqa: F401
        from ganwatch.evaluation import score  # noqa: F401

        template()

    def cases(self) -> Cases:
        odd = st.one_of(*LINES.values()).map(lambda words_: Case(ODD, (1, words_)))
        return Cases(st.integers(0, 2**20).map(valid), odd)

    def read(self, case: Case, folder: Path) -> Any:
        number, line = case.value
        _furnish(folder, number)
        before = Path.cwd()
        os.chdir(folder)
        try:
            with patch.object(os, "execve", _refuse), patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder), "HOME": str(folder)}):
                code, text = run_command(*line)
        finally:
            os.chdir(before)
        if case.kind != VALID:
            return None
        assert code == 0
        if line[0] == "runs":
            [one] = json.loads(text)
            return [one["id"], one["name"], one["state"]]
        [one] = json.loads(text)["runs"]
        return [one["name"], one["steps"]]


def _refuse(*_: Any) -> None:
    raise UserError("the server would start")


FURNITURE: dict[str, Callable[[], bytes]] = {
    "real.npy": lambda: header("'<f4'", "(60, 2)") + np.random.default_rng(0).normal(size=(60, 2)).astype("<f4").tobytes(),
    "other.npy": lambda: header("'<f4'", "(60, 2)") + np.random.default_rng(1).normal(size=(60, 2)).astype("<f4").tobytes(),
    "images.npy": lambda: header("'|u1'", "(50, 8, 8)") + np.random.default_rng(1).integers(0, 256, (50, 8, 8)).astype("u1").tobytes(),
    "preset.toml": lambda: preset({"GW502": {"max_share": 0.25}}),
    "broken.ckpt": lambda: b"PK\x05\x06" + bytes(18),
    "broken.pt2": lambda: b"\x80\x02.",
}


def _furnish(folder: Path, number: int) -> None:
    for name, make in FURNITURE.items():
        (folder / name).write_bytes(make())
    (folder / "run.csv").write_bytes(valid_csv(number)[0])
    (folder / "runs").mkdir()
    write(folder / "runs", rows_of(5)[0])
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")


TARGETS = [CommandLines()]
