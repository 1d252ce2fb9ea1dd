"""Seeded trainings under observation, and every reading that they gave when they were recorded.

``python tests/regression/live_loops.py record`` writes ``live_readings.parquet`` anew; ``compare`` trains again and reports what differs,
with ``--exact`` bit for bit, which holds on the processor that recorded them.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import math
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "session" / "loops"))

import torch
from loop_table import LOOPS
from optimizer_loops import LongPhasesLoop
from plain_loop import Loop

import ganwatch
from ganwatch.core.readings import Readings
from ganwatch.probes.quality import Quality
from ganwatch.recordings import Recording, read_recordings, write_recordings
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink

TESTS = Path(__file__).parents[1]
RECORDED = Path(__file__).with_name("live_readings.parquet")
TIMED = {"step_time", "data_time", "observer_time", "process_memory", "gpu_memory"}
"""Families that depend on the clock or the machine."""
LOOP_NAMES = (
    "bce", "least squares", "hinge", "wasserstein", "softplus", "inverted", "relativistic", "G first", "three critic steps", "together",
    "together, two judged as one", "several backwards", "fakes with their graph", "both losses first", "waves", "tables",
    "gradient penalty", "rescaled reals", "no loader", "soft labels", "noisy fakes, both flipped", "patches", "dict", "clipped",
    "lazy penalty", "a third optimizer of both", "path length", "scaler", "scaler, fused", "in parts", "optimizer of G and a third network",
    "one call with two inputs, four lists", "closures", "labels beside pixels", "translation", "pool mixed by sample", "bidirectional",
    "alternating", "accumulated", "EMA", "optimizers replaced", "encoder trained through both", "a third network within", "cycle",
)  # fmt: skip
"""Loops of ``tests/session/loops``."""
Rows = Mapping[int, Mapping[str, float]]


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kept(sink: MemorySink, leave_out: set[str] = TIMED) -> Rows:
    rows = {each.step: {name: x for name, x in each.values.items() if name.partition("/")[0] not in leave_out} for each in sink.steps}
    return {step: values for step, values in rows.items() if values}


def plain_loop(name: str) -> Rows:
    """A loop of ``tests/session/loops``, sampled in every step, its quality measured whenever that is possible."""
    loop, sink = LOOPS[name](), MemorySink()
    ticks = itertools.count()
    probes = default_probes(Quality(samples=64, reals=64, share=1.0, interval=20, clock=lambda: float(next(ticks))))
    for probe in probes:
        probe.every = 1
    heldout = torch.rand(64, *loop.data.shape[1:]) * 2 - 1
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], probes=probes, audit_seconds=0.0, heldout=heldout):
        loop.run()
    return kept(sink)


def at_usual_steps() -> Rows:
    """Two hundred steps, sampled as usual."""
    loop, sink = Loop(), MemorySink()
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0):
        loop.run(200)
    return kept(sink, TIMED | {signal.partition("/")[0] for signal in Quality.signals})


def in_turn() -> Rows:
    loop, sink = LongPhasesLoop(), MemorySink()
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0):
        loop.run()
    return kept(sink, TIMED | {signal.partition("/")[0] for signal in Quality.signals})


def lightning_module(style: str) -> Rows:
    import lightning
    from torch.utils.data import DataLoader

    styles = imported(TESTS / "session" / "lightning" / "conftest.py")
    lightning.seed_everything(5, verbose=False)
    module, sink = styles.STYLES[style](), MemorySink()
    names: dict[str, Any] = {"generator": "model.G", "discriminator": "model.D"} if style == "labelled" else {}
    callback = ganwatch.GanWatch(**names, store=None, sinks=[sink], audit_seconds=0.0)
    loader = DataLoader(styles.digits(), 16, shuffle=True, drop_last=True)
    with tempfile.TemporaryDirectory() as folder, styles.silence_lightning():
        how = {"accelerator": "cpu", "enable_checkpointing": False, "default_root_dir": folder, "max_epochs": 6}
        trainer = lightning.Trainer(**styles.QUIET_TRAINER | how, callbacks=[callback])
        trainer.fit(module, loader)
    return kept(sink, TIMED | {signal.partition("/")[0] for signal in Quality.signals})


def demonstration(fault: str | None, steps: int) -> Rows:
    from ganwatch.trainer.demo import demo

    sink = MemorySink()
    demo(fault, seed=3, steps=steps, store=None, sinks=[sink], progress=False)
    return kept(sink, TIMED | {signal.partition("/")[0] for signal in Quality.signals})


def two_ranks(mode: str) -> Rows:
    from ganwatch.store import queries
    from ganwatch.store.database import open_store

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            str(TESTS / "distributed" / "training.py"), "main", folder, mode,
        ]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        subprocess.run(command, env=environment, capture_output=True, check=True, timeout=240)
        rows: dict[int, dict[str, float]] = {}
        leave_out = TIMED | {signal.partition("/")[0] for signal in Quality.signals}
        with open_store(str(Path(folder) / mode / "runs0")) as store:
            [run] = queries.runs(store)
            for name in queries.series_names(store, run.id):
                if name.partition("/")[0] not in leave_out:
                    for step, value in zip(*queries.series(store, run.id, name), strict=True):
                        rows.setdefault(int(step), {})[name] = float(value)
    return dict(sorted(rows.items()))


RUNS: dict[str, Callable[[], Rows]] = {
    **{name: partial(plain_loop, name) for name in LOOP_NAMES},
    "at usual steps": at_usual_steps,
    "in turn": in_turn,
    **{f"lightning, {style}": partial(lightning_module, style) for style in ("documented", "together", "patches", "labelled")},
    "demo": partial(demonstration, None, 60),
    "demo, range-mismatch": partial(demonstration, "range-mismatch", 60),
    "two ranks": partial(two_ranks, "plain"),
    "two ranks, fabric": partial(two_ranks, "fabric"),
}


def recorded() -> dict[str, Rows]:
    return {run.name: {each.step: each.values for each in run.readings} for run in read_recordings(RECORDED)}


NEIGHBOUR_SHARES = {"precision", "recall", "density", "coverage", "memorisation", "copy_share"}
"""Series that count neighbours, of which rounding may decide a few."""
NEIGHBOUR_TOLERANCE = 0.02
"""Difference of two of their values, at the most."""


def differences(before: Rows, now: Rows, *, relative: float, absolute: float) -> list[str]:
    """Return a line for each step or series that is on one side only, and for each value beyond the tolerance."""
    found = [f"step {step}: only {'before' if step in before else 'now'}" for step in sorted(before.keys() ^ now.keys())]
    for step in sorted(before.keys() & now.keys()):
        one, other = before[step], now[step]
        found += [f"step {step}, {name}: only {'before' if name in one else 'now'}" for name in sorted(one.keys() ^ other.keys())]
        for name in sorted(one.keys() & other.keys()):
            a, b = one[name], other[name]
            near = max(absolute, NEIGHBOUR_TOLERANCE) if absolute and name in NEIGHBOUR_SHARES else absolute
            same = (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=relative, abs_tol=near)
            if not same:
                found.append(f"step {step}, {name}: {a!r} before, {b!r} now")
    return found


def _to_recording(name: str, rows: Rows) -> Recording:
    return Recording(name, [Readings(step, rows[step]) for step in sorted(rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("--exact", action="store_true", help="bit for bit")
    parser.add_argument("--only", help="a run's name")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "record":
        write_recordings(RECORDED, [_to_recording(name, run()) for name, run in RUNS.items()])
        return 0
    before, failed = recorded(), 0
    tolerance = {"relative": 0.0, "absolute": 0.0} if arguments.exact else {"relative": 1e-3, "absolute": 1e-6}
    for name, run in RUNS.items():
        if arguments.only in {None, name}:
            found = differences(before[name], run(), **tolerance)
            failed += bool(found)
            print(f"{name}: {'the same' if not found else f'{len(found)} differ: {found[:8]}'}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
