"""Records the demo, healthy and with each of its faults, with a truth that no detector sees: the files of ``tests/recorded``.

python tests/benchmarks/record_demo.py --out tests/recorded      # trains the missing runs, two at a time, one thread each
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from ganwatch.trainer.faults import FAULTS

sys.path.insert(0, str(Path(__file__).parent))

LOSSES = ("least-squares", "wgan-gp")
"""Losses of healthy runs."""


def record(case: str, seed: int, out: Path) -> str:
    """Train one case in this process."""
    import torch
    from truth import MIN_HEALTHY_DIGITS, Truth

    from ganwatch.recordings import Recording, write_recordings
    from ganwatch.sinks.memory import MemorySink
    from ganwatch.trainer.demo import demo, summary

    torch.set_num_threads(1)
    memory, truth = MemorySink(), Truth()
    fault = case if case in FAULTS else None
    watch, _ = demo(fault, loss=None if fault else case, seed=seed, store=None, sinks=[memory], callbacks=[truth], progress=False)
    failing = not truth.rows or truth.rows[-1][1] < MIN_HEALTHY_DIGITS
    facts = {
        "case": case,
        "seed": seed,
        "label": "undetermined" if failing is (fault is None) else fault or "healthy",
        "codes": [FAULTS[fault].code] if fault else [],
        "truth": truth.rows,
        "summary": summary(watch),
    }
    path = out / f"{case}-{seed}.parquet"
    write_recordings(path, [Recording(path.stem, memory.steps, facts)])
    return path.stem


def main() -> int:
    """Record the missing runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    todo = [case for case in (*FAULTS, *LOSSES) if not (args.out / f"{case}-{args.seed}.parquet").exists()]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(record, case, args.seed, args.out) for case in todo]):
            print(done.result(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
