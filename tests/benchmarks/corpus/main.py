"""The corpus: real trainings, healthy and failing, recorded with a truth that no detector sees.

python tests/benchmarks/corpus/main.py run       # trains what is not recorded yet; may be stopped and started at any time
python tests/benchmarks/corpus/main.py pack      # from there to the files of the repository
python tests/benchmarks/corpus/main.py table     # today's detectors on the files of the repository
python tests/benchmarks/corpus/main.py check     # trains a sample anew and compares truth and incidents with the record
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import random
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context, parent_process
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpus.design import WORLDS, Plan, corpus
from corpus.label import label
from corpus.published import publish
from corpus.report import report

from ganwatch.calibration.judged import Judged, judge
from ganwatch.core.errors import UserError
from ganwatch.recordings import Recording, read_recordings, write_recordings
from ganwatch.recordings.parquet import count_recordings
from ganwatch.session.defaults import default_detectors

RECORDED = Path(__file__).parent / "recorded"
"""The files of the repository, one a part and world."""


def one(plan: Plan, folder: Path) -> str:
    """Train and record one run in this process, unless another has done so by now."""
    path = folder / f"{plan.name}.parquet"
    if path.exists():
        return f"{plan.name}: there already"
    try:
        recording = anew(plan)
    except Exception as error:
        raise RuntimeError(f"{plan.name} failed: {error}") from error
    write_recordings(path, [recording])
    return f"{plan.name}: {recording.facts['label']}, {recording.facts['seconds']:.0f} s"


def end_with_parent() -> None:
    """A worker whose parent was killed would train on, beside those of a new start."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def asked(args: argparse.Namespace) -> list[Plan]:
    """The runs of the part and the world that were named."""
    found = [plan for plan in corpus() if args.part in {None, plan.part} and args.world in {None, plan.world}]
    if not found:
        raise UserError(f"argument --world: the corpus has no runs there, got {args.world}")
    return found


def run(args: argparse.Namespace) -> int:
    """Train what is missing."""
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = asked(args)
    todo = [plan for plan in chosen if not (args.out / f"{plan.name}.parquet").exists()]
    todo = random.Random(0).sample(todo, len(todo))[: args.limit]  # so that a part of it is a corpus too
    print(f"{len(chosen)} runs, {len(todo)} to train", flush=True)
    started = time.time()
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), end_with_parent) as pool:
        futures = [pool.submit(one, plan, args.out) for plan in todo]
        failed = 0
        for done, future in enumerate(as_completed(futures), 1):
            left = (time.time() - started) / done * (len(todo) - done)
            failed += future.exception() is not None
            print(f"{done}/{len(todo)} {future.exception() or future.result()}; {left / 60:.0f} min left", flush=True)
    return 1 if failed else 0


def pack(args: argparse.Namespace) -> int:
    """Write one file a part and world, in the order of the design, labelled by today's rule."""
    args.packed.mkdir(parents=True, exist_ok=True)
    there = [plan for plan in asked(args) if (args.out / f"{plan.name}.parquet").exists()]
    if not there:
        raise UserError(f"argument --out: a folder with runs that `main.py run` has trained is needed, got {args.out}")
    for (part, world), plans in itertools.groupby(sorted(there, key=lambda plan: (plan.part, plan.world)), lambda p: (p.part, p.world)):
        path = args.packed / f"{part}-{world}.parquet"
        names = [plan.name for plan in plans]
        if path.exists() and (held := count_recordings(path)) > len(names):
            raise UserError(f"{path} holds {held} runs, which {len(names)} would replace: train the rest, or say another folder, --packed")
        write_recordings(path, (labelled(args.out / f"{name}.parquet") for name in names))
        print(f"{path.name}: {len(names)} runs, {path.stat().st_size / 2**20:.1f} MiB")
    return 0


def labelled(path: Path) -> Recording:
    """The run of a file, with its label."""
    (recording,) = read_recordings(path)
    return replace(recording, facts=recording.facts | label(recording.facts))


def table(args: argparse.Namespace) -> int:
    """Judge every run of a part: the final one, or where none of it is recorded yet, the one that thresholds were chosen on."""
    started = time.perf_counter()
    for part in [args.part] if args.part else ["final", "tuning"]:
        if paths := sorted(args.packed.glob(f"{part}-{args.world or '*'}.parquet")):
            found = report(paths, args.jobs)
            print(f"{part} part\n\n{found}\n\n{time.perf_counter() - started:.0f} s")
            if args.publish:
                publish(found)
            return 0
    print(f"no recorded runs in {args.packed}: `main.py run` trains them, `main.py pack` packs them", file=sys.stderr)
    return 1


def check(args: argparse.Namespace) -> int:
    """Train a sample anew; 1 where truth or incidents differ."""
    recorded = {plan.name: plan for plan in asked(args)}
    there = [run for path in sorted(args.packed.glob("*.parquet")) for run in read_recordings(path) if run.name in recorded]
    chosen = random.Random(args.seed).sample(there, min(args.limit or 20, len(there)))
    if not there:
        raise UserError(f"argument --packed: a folder of packed runs is needed, got {args.packed}")
    differ = 0
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for old, new in zip(chosen, pool.map(anew, [recorded[run.name] for run in chosen]), strict=True):
            same = old.facts["truth"] == new.facts["truth"] and _incidents(old) == _incidents(new)
            differ += not same
            print(f"{old.name}: {'agrees' if same else 'DIFFERS'}", flush=True)
    print(f"{len(chosen) - differ} of {len(chosen)} agree in truth and incidents")
    return 1 if differ else 0


def anew(plan: Plan) -> Recording:
    """One run, trained without a word."""
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    logging.getLogger("ganwatch").setLevel(logging.CRITICAL)
    from corpus.generate import generate

    return generate(plan)


def _incidents(recording: Recording) -> Judged:
    return judge(recording, default_detectors())


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def main() -> int:
    """Parse and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = {"run": run, "pack": pack, "table": table, "check": check}
    parser.add_argument("action", choices=actions)
    parser.add_argument("--out", type=Path, default=Path("runs/corpus"))
    parser.add_argument("--part", choices=("tuning", "final"))
    parser.add_argument("--world", choices=WORLDS)
    parser.add_argument("--limit", type=positive, help="runs at most")
    parser.add_argument("--jobs", type=positive, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the sample that is checked")
    parser.add_argument("--packed", type=Path, default=RECORDED, help="folder of the packed files (default: %(default)s)")
    parser.add_argument("--publish", action="store_true", help="write the tables of the final part into docs/how-often-it-is-right.md")
    args = parser.parse_args()
    if args.publish and (args.part, args.world) != ("final", None):
        parser.error("argument --publish: what is published is the whole final part, say --part final")
    try:
        return actions[args.action](args)
    except (UserError, FileExistsError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
