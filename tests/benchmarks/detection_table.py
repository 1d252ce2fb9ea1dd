"""The table of detections in the README: real trainings, judged by a truth that no detector sees.

    python tests/benchmarks/detection_table.py run --out runs/table          # resumable; two at a time, one thread each
    python tests/benchmarks/detection_table.py show --out runs/table         # replays what was recorded and prints the table

``--seeds START`` moves all seeds, so that tuning and the published table never share one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FAULT_SEEDS = 10
HEALTHY_SEEDS = 20
LOSSES = ("non-saturating", "hinge", "least-squares", "wgan-gp")
FAULTS = (
    "mode-collapse",
    "discriminator-domination",
    "vanishing-gradient",
    "exploding-gradient",
    "non-finite",
    "range-mismatch",
)


def cases(start: int, faults: int, healthy: int) -> list[tuple[str, int]]:
    """Every (case, seed), cheap breadth first."""
    rows = [(fault, start + seed) for seed in range(faults) for fault in FAULTS]
    return rows + [(loss, start + seed) for seed in range(healthy) for loss in LOSSES]


def one(case: str, seed: int, out: Path) -> None:
    """Train one case in this process and record it."""
    import torch

    from ganwatch.replay import save_recording
    from ganwatch.sinks.memory import MemorySink
    from ganwatch.trainer.demo import demo, summary
    from ganwatch.trainer.faults import FAULTS as KNOWN
    from truth import Truth

    torch.set_num_threads(1)
    memory, truth = MemorySink(), Truth()
    fault = case if case in KNOWN else None
    started = time.time()
    watch, _ = demo(fault, loss=None if fault else case, seed=seed, store=None, sinks=[memory], callbacks=[truth], progress=False, threads=1)
    facts = {"case": case, "seed": seed, "truth": truth.rows, "seconds": time.time() - started, "summary": summary(watch)}
    save_recording(out / f"{case}-{seed}.npz", memory.steps, facts)


def run(args: argparse.Namespace) -> int:
    """Train what is not recorded yet."""
    args.out.mkdir(parents=True, exist_ok=True)
    todo = [(case, seed) for case, seed in cases(args.seeds, args.faults, args.healthy) if not (args.out / f"{case}-{seed}.npz").exists()]
    done = 0

    def start(row: tuple[str, int]) -> None:
        nonlocal done
        case, seed = row
        finished = subprocess.run([sys.executable, __file__, "one", case, str(seed), "--out", str(args.out)], check=False)
        done += 1
        print(f"{time.strftime('%H:%M:%S')} {done}/{len(todo)} {case} seed {seed} exit {finished.returncode}", flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(start, todo))
    return show(args)


def show(args: argparse.Namespace) -> int:
    """Replay and print."""
    from ganwatch.presets import default_detectors
    from ganwatch.replay import load_recording, replay
    from ganwatch.trainer.faults import FAULTS as KNOWN
    from truth import HEALTHY_KINDS

    table: dict[str, list[dict[str, object]]] = {}
    for path in sorted(args.out.glob("*.npz")):
        readings, facts = load_recording(path)
        incidents = replay(readings, default_detectors())
        roots = [incident for incident in incidents if incident.cause is None]
        kinds = facts["truth"][-1][1] if facts["truth"] else 0
        row = {
            "seed": facts["seed"],
            "first": roots[0].code if roots else None,
            "opened": roots[0].fired if roots else None,
            "incidents": [(i.code, i.onset, i.fired, i.resolved, i.cause) for i in incidents],
            "kinds": kinds,
            "steps": facts["summary"]["steps"],
        }
        table.setdefault(facts["case"], []).append(row)
    for case in [*FAULTS, *LOSSES]:
        rows = table.get(case, [])
        if not rows:
            continue
        if case in KNOWN:
            right = sum(row["first"] == KNOWN[case].code for row in rows)
            delays = sorted(int(str(row["opened"])) for row in rows if row["first"] == KNOWN[case].code)
            median = delays[len(delays) // 2] if delays else None
            failing = sum(int(str(row["kinds"])) < HEALTHY_KINDS for row in rows)
            print(f"{case:26s} {KNOWN[case].code} first in {right}/{len(rows)}, median step {median}, failing by truth {failing}/{len(rows)}")
        else:
            truly = [row for row in rows if int(str(row["kinds"])) >= HEALTHY_KINDS]
            flagged = sum(bool(row["incidents"]) for row in truly)
            print(f"healthy {case:18s} flagged {flagged}/{len(truly)}; not healthy by truth: {len(rows) - len(truly)}")
        if args.verbose:
            for row in rows:
                print("   ", json.dumps(row))
    return 0


def main() -> int:
    """Parse and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "show", "one"))
    parser.add_argument("case", nargs="?")
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/table"))
    parser.add_argument("--seeds", type=int, default=1000, help="first seed (the published table: 1000)")
    parser.add_argument("--faults", type=int, default=FAULT_SEEDS)
    parser.add_argument("--healthy", type=int, default=HEALTHY_SEEDS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    if args.action == "one":
        one(args.case, args.seed, args.out)
        return 0
    return run(args) if args.action == "run" else show(args)


if __name__ == "__main__":
    sys.exit(main())
