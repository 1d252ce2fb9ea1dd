"""The table of detections in the README: real trainings, judged by a truth that no detector sees.

    python tests/benchmarks/detection_table.py run --out runs/table          # resumable; two at a time, one thread each
    python tests/benchmarks/detection_table.py show --out runs/table         # replays what was recorded and prints the table
    python tests/benchmarks/detection_table.py show --out runs/table --publish   # and writes it into the README

``--seeds START`` moves all seeds, so that tuning and the published table never share one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

FAULT_SEEDS = 10
HEALTHY_SEEDS = 20
RESULTS = Path(__file__).with_suffix(".json")
README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- table -->", "<!-- /table -->"
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
    """Every (case, seed), breadth first."""
    rows = [(case, start + seed) for seed in range(max(faults, healthy)) for case in FAULTS if seed < faults]
    return sorted(rows + [(loss, start + seed) for seed in range(healthy) for loss in LOSSES], key=lambda row: row[1])


def one(case: str, seed: int, out: Path) -> str:
    """Train one case in this process and record it."""
    import torch
    from truth import HEALTHY_KINDS, Truth

    from ganwatch.recordings import Recording, write_recordings
    from ganwatch.sinks.memory import MemorySink
    from ganwatch.trainer.demo import demo, summary
    from ganwatch.trainer.faults import FAULTS as KNOWN

    torch.set_num_threads(1)
    memory, truth = MemorySink(), Truth()
    fault = case if case in KNOWN else None
    started = time.time()
    watch, _ = demo(fault, loss=None if fault else case, seed=seed, store=None, sinks=[memory], callbacks=[truth], progress=False)
    failing = not truth.rows or truth.rows[-1][1] < HEALTHY_KINDS
    facts = {
        "case": case,
        "seed": seed,
        "label": "undetermined" if failing is (fault is None) else fault or "healthy",
        "codes": [KNOWN[fault].code] if fault else [],
        "truth": truth.rows,
        "seconds": time.time() - started,
        "summary": summary(watch),
    }
    write_recordings(out / f"{case}-{seed}.parquet", [Recording(f"{case}-{seed}", memory.steps, facts)])
    return f"{case} seed {seed}: {time.time() - started:.0f} s"


def run(args: argparse.Namespace) -> int:
    """Train what is not recorded yet; can be stopped and started again at any time."""
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = cases(args.seeds, args.faults, args.healthy)
    todo = [(case, seed) for case, seed in wanted if not (args.out / f"{case}-{seed}.parquet").exists()]
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(one, case, seed, args.out) for case, seed in todo]
        for done, future in enumerate(as_completed(futures), 1):
            print(f"{done}/{len(todo)} {future.result()}", flush=True)
    return show(args)


def judged(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Case to one row per seed: the incidents that the detectors of today open on what was recorded, and the truth."""
    from ganwatch.presets import default_detectors
    from ganwatch.recordings import read_recordings
    from ganwatch.replay import replay

    table: dict[str, list[dict[str, Any]]] = {}
    for recording in chain.from_iterable(map(read_recordings, sorted(out.glob("*.parquet")))):
        facts = recording.facts
        incidents = replay(recording.readings, default_detectors())
        roots = [incident for incident in incidents if incident.cause is None]
        row = {
            "seed": facts["seed"],
            "first": roots[0].code if roots else None,
            "fired": roots[0].fired if roots else None,
            "incidents": [[i.code, i.onset, i.fired, i.resolved, i.cause] for i in incidents],
            "kinds": facts["truth"][-1][1] if facts["truth"] else 0,
            "steps": facts["summary"]["steps"],
        }
        table.setdefault(facts["case"], []).append(row)
    return table


def markdown(table: dict[str, list[dict[str, Any]]]) -> str:
    """The table of the README."""
    from truth import HEALTHY_KINDS

    from ganwatch.trainer.faults import FAULTS as KNOWN

    lines = ["| run | explained by the right code | median step of the alarm | failing by truth |", "|---|---|---|---|"]
    right_of_all = count_of_all = 0
    for case in FAULTS:
        rows = table.get(case, [])
        right = [row for row in rows if row["first"] == KNOWN[case].code]
        right_of_all, count_of_all = right_of_all + len(right), count_of_all + len(rows)
        fired = sorted(row["fired"] for row in right)
        failing = sum(row["kinds"] < HEALTHY_KINDS for row in rows)
        median = fired[len(fired) // 2] if fired else "-"
        lines.append(f"| `{case}` | {KNOWN[case].code}: {len(right)} of {len(rows)} | {median} | {failing} of {len(rows)} |")
    lines += [f"| all faults | {right_of_all} of {count_of_all} | | |", "", "| healthy run | flagged | steps watched |", "|---|---|---|"]
    flagged_of_all = healthy_of_all = 0
    for case in LOSSES:
        rows = [row for row in table.get(case, []) if row["kinds"] >= HEALTHY_KINDS]
        left_out = len(table.get(case, [])) - len(rows)
        flagged = sum(bool(row["incidents"]) for row in rows)
        flagged_of_all, healthy_of_all = flagged_of_all + flagged, healthy_of_all + len(rows)
        note = f" ({left_out} more failed by truth)" if left_out else ""
        lines.append(f"| {case} | {flagged} of {len(rows)}{note} | {sum(row['steps'] for row in rows):,} |")
    lines.append(f"| all losses | {flagged_of_all} of {healthy_of_all} | |")
    return "\n".join(lines)


def show(args: argparse.Namespace) -> int:
    """Replay and print."""
    table = judged(args.out)
    print(markdown(table))
    if args.publish:
        RESULTS.write_text(json.dumps(table, indent=None, separators=(",", ":")).replace("}],", "}],\n") + "\n")
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(before + BEGIN + "\n" + markdown(table) + "\n" + END + rest.partition(END)[2])
    if args.verbose:
        for case, rows in table.items():
            for row in rows:
                print(case, json.dumps(row))
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
    parser.add_argument("--verbose", action="store_true", help="print every run")
    parser.add_argument("--publish", action="store_true", help="write the table into the README and its rows beside this file")
    args = parser.parse_args()
    if args.action == "one":
        print(one(args.case, args.seed, args.out))
        return 0
    return run(args) if args.action == "run" else show(args)


if __name__ == "__main__":
    sys.exit(main())
