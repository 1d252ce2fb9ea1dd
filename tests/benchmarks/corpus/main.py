"""The corpus: real trainings, healthy and failing, recorded with a truth that no detector sees.

python tests/benchmarks/corpus/main.py run       # train the runs that are not recorded yet; may be stopped and started at any time
python tests/benchmarks/corpus/main.py pack      # pack the recorded runs into the files of the repository
python tests/benchmarks/corpus/main.py table     # replay the files of the repository with today's detectors
python tests/benchmarks/corpus/main.py left-out  # judge the wild part by settings fitted without the cause, loss, network or world
python tests/benchmarks/corpus/main.py check     # train a sample again and compare truth and incidents with the record

`run`, `pack` and `table` take `--part wild`: plain loops of many shapes, in `wild`. Without it they leave the wild part out.
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

from corpus.design import WORLDS, corpus
from corpus.design import Plan as CommonPlan
from corpus.label import label
from corpus.left_out import judge_left_out
from corpus.published import publish, publish_left_out
from corpus.report import report
from corpus.wild.plan import WildPlan
from corpus.wild.suited import FAMILIES

from ganwatch.calibration.replayed_runs import ReplayedRun, replay_run
from ganwatch.core.errors import UserError
from ganwatch.recordings import Recording, read_recordings, write_recordings
from ganwatch.session.defaults import default_detectors

RECORDED = Path(__file__).parent / "recorded"
"""Folder of the files of the repository, one per part and world."""
PARTS = {None: ("final", "tuning"), "wild": ("wild-final", "wild-tuning", "wild-fresh")}
"""Parts that an argument stands for, in the order in which they are looked for; any other part stands for itself."""

Plan = CommonPlan | WildPlan


def record(plan: Plan, folder: Path) -> str:
    """Train and record one run in this process, unless its file exists."""
    path = folder / f"{plan.name}.parquet"
    if path.exists():
        return f"{plan.name}: exists already"
    try:
        recording = train(plan)
    except Exception as error:
        raise RuntimeError(f"{plan.name} failed: {error}") from error
    write_recordings(path, [recording])
    return f"{plan.name}: {recording.facts['label']}, {recording.facts['seconds']:.0f} s"


def end_with_parent() -> None:
    """End this worker when its parent is killed, because it would train on next to the workers of a new start."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def select_plans(args: argparse.Namespace) -> list[Plan]:
    """Return the runs of the part, the world and the cause of the arguments; those of the wild part only if it is asked for."""
    every: list[Plan] = list(corpus())
    if args.part and args.part.startswith("wild"):
        from corpus.wild.design import wild

        every = list(wild())
    parts = PARTS.get(args.part, (args.part,))
    plans = [plan for plan in every if plan.part in parts and args.world in {None, plan.world} and args.cause in {None, plan.cause}]
    if not plans:
        raise UserError(f"arguments --world and --cause: the corpus has no such runs, got {args.world} and {args.cause}")
    return plans


def run(args: argparse.Namespace) -> int:
    """Train the runs without a file."""
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = select_plans(args)
    packed = {one.name for path in args.packed.glob("*.parquet") for one in read_recordings(path)} if args.missing else set()
    todo = [plan for plan in chosen if plan.name not in packed and not (args.out / f"{plan.name}.parquet").exists()]
    todo = random.Random(0).sample(todo, len(todo))[: args.limit]  # in random order, so that a part of them is a corpus too
    print(f"{len(chosen)} runs, {len(todo)} to train", flush=True)
    started = time.time()
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), end_with_parent) as pool:
        futures = [pool.submit(record, plan, args.out) for plan in todo]
        failed = 0
        for done, future in enumerate(as_completed(futures), 1):
            left = (time.time() - started) / done * (len(todo) - done)
            failed += future.exception() is not None
            print(f"{done}/{len(todo)} {future.exception() or future.result()}; {left / 60:.0f} min left", flush=True)
    return 1 if failed else 0


def pack(args: argparse.Namespace) -> int:
    """Write one file per part and world, in the order of the design, labelled by today's rule; runs that are not in ``--out`` stay."""
    args.packed.mkdir(parents=True, exist_ok=True)
    plans = sorted(select_plans(args), key=lambda plan: (plan.part, plan.world))
    if not any((args.out / f"{plan.name}.parquet").exists() for plan in plans):
        raise UserError(f"argument --out must be a folder with runs of `main.py run`, got {args.out}")
    for (part, world), group in itertools.groupby(plans, lambda plan: (plan.part, plan.world)):
        path = args.packed / f"{part}-{world}.parquet"
        kept = {one.name: one for one in read_recordings(path)} if path.exists() else {}
        new = {plan.name for plan in group if (args.out / f"{plan.name}.parquet").exists()}
        names = [plan.name for plan in plans if plan.name in new | kept.keys()]
        if new:
            runs = (read_labelled(args.out / f"{name}.parquet") if name in new else label_again(kept[name]) for name in names)
            write_recordings(path, runs)
            print(f"{path.name}: {len(names)} runs, {len(new)} of them new, {path.stat().st_size / 2**20:.1f} MiB")
    return 0


def read_labelled(path: Path) -> Recording:
    """Read the run of a file and label it."""
    (recording,) = read_recordings(path)
    return label_again(recording)


def label_again(recording: Recording) -> Recording:
    """Return a run with the label by today's rule."""
    rule = label
    if recording.facts.get("part", "").startswith("wild"):
        from corpus.wild.label import label as rule
    return replace(recording, facts=recording.facts | rule(recording.facts))


def table(args: argparse.Namespace) -> int:
    """Replay every run of a part: of the final one, or of the tuning part if none of the final one is recorded, if both are meant."""
    started = time.perf_counter()
    for part in PARTS.get(args.part, (args.part,)):
        if paths := sorted(args.packed.glob(f"{part}-{args.world or '*'}.parquet")):
            results = report(paths, args.jobs)
            print(f"{part} part\n\n{results}\n\n{time.perf_counter() - started:.0f} s")
            if args.publish:
                publish(results)
            return 0
    print(f"no recorded runs in {args.packed}: `main.py run` trains them, `main.py pack` packs them", file=sys.stderr)
    return 1


def left_out(args: argparse.Namespace) -> int:
    """Judge the final wild part, or the tuning one if it is asked for, by settings that were fitted without each group."""
    part = "wild-tuning" if args.part == "wild-tuning" else "wild-final"
    paths = sorted(args.packed.glob(f"{part}-*.parquet"))
    if not paths:
        raise UserError(f"argument --packed must be a folder with packed runs of {part}, got {args.packed}")
    results = judge_left_out(paths, args.jobs)
    print(results)
    if args.publish:
        publish_left_out(results)
    return 0


def check(args: argparse.Namespace) -> int:
    """Train a sample again. Return 1 if truth or incidents differ."""
    plans = {plan.name: plan for plan in select_plans(args)}
    packed = [run for path in sorted(args.packed.glob("*.parquet")) for run in read_recordings(path) if run.name in plans]
    chosen = random.Random(args.seed).sample(packed, min(args.limit or 20, len(packed)))
    if not packed:
        raise UserError(f"argument --packed must be a folder of packed runs, got {args.packed}")
    differ = 0
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for old, new in zip(chosen, pool.map(train, [plans[run.name] for run in chosen]), strict=True):
            same = old.facts["truth"] == new.facts["truth"] and _replay(old) == _replay(new)
            differ += not same
            print(f"{old.name}: {'agrees' if same else 'DIFFERS'}", flush=True)
    print(f"{len(chosen) - differ} of {len(chosen)} agree in truth and incidents")
    return 1 if differ else 0


def train(plan: Plan) -> Recording:
    """Train one run without messages."""
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    logging.getLogger("ganwatch").setLevel(logging.CRITICAL)
    if isinstance(plan, WildPlan):
        from corpus.wild.generate import generate as generate_wild

        return generate_wild(plan)
    from corpus.generate import generate

    return generate(plan)


def _replay(recording: Recording) -> ReplayedRun:
    return replay_run(recording, default_detectors())


def parse_positive(text: str) -> int:
    """Parse a whole number >= 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def main() -> int:
    """Run the action of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = {"run": run, "pack": pack, "table": table, "left-out": left_out, "check": check}
    parser.add_argument("action", choices=actions)
    parser.add_argument("--out", type=Path, default=Path("runs/corpus"))
    parts = ("tuning", "final", "wild", "wild-tuning", "wild-final", "wild-fresh")
    parser.add_argument("--part", choices=parts, help="default: all but the wild ones")
    parser.add_argument("--world", choices=sorted({*WORLDS, *FAMILIES}))
    parser.add_argument("--cause", help="an injection, a cause in the data, or a cause of the wild part")
    parser.add_argument("--limit", type=parse_positive, help="largest number of runs")
    parser.add_argument("--jobs", type=parse_positive, default=2)
    parser.add_argument("--missing", action="store_true", help="train only runs that the packed files lack")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample to check")
    parser.add_argument("--packed", type=Path, default=RECORDED, help="folder of the packed files (default: %(default)s)")
    parser.add_argument("--publish", action="store_true", help="write the tables of the final part into docs/how-often-it-is-right.md")
    args = parser.parse_args()
    publishable = {"table": "final", "left-out": "wild-final"}
    if args.publish and (args.part, args.world, args.cause) != (publishable.get(args.action), None, None):
        parts = " and ".join(f"`{action} --part {part}`" for action, part in publishable.items())
        parser.error(f"argument --publish goes with {parts} and no --world or --cause, because a whole final part is published")
    try:
        return actions[args.action](args)
    except (UserError, FileExistsError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
