"""Trains every fault of wiring and its look-alikes on every world, and prints what was found.

    python tests/wiring/main.py --seeds 5 --log FILE [--only NAME …]

``--log`` has a line for each training; those that it holds already are not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from wiring.judging import Result, find_cases, judge


def main() -> None:
    """Parse arguments, train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of cases or codes")
    parser.add_argument("--show", action="store_true", help="print each training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = args.log.read_text().splitlines() if args.log.exists() else []
    results = {tuple(line["key"]): Result(**line["result"]) for line in map(json.loads, lines)}
    cases = {name: case for name, case in find_cases().items() if not args.only or name in args.only or case.code in args.only}
    for name, case in cases.items():
        for key in [(name, world, seed) for world in case.worlds for seed in range(args.seeds)]:
            if key not in results:
                results[key] = judge(case, *key[1:])
                with args.log.open("a") as log:
                    log.write(json.dumps({"key": key, "result": asdict(results[key])}) + "\n")
            if args.show:
                print(*key, results[key].text, "" if results[key].is_right else "WRONG", flush=True)
    by_case = defaultdict(list)
    for (name, _, _), result in results.items():
        if name in cases:
            by_case[name].append(result)
    print(f"{'case':<28} {'root':<6} {'right':>7}  {'median delay':>12}  {'within':>6}")
    for name, of_case in by_case.items():
        delays = sorted(result.delay for result in of_case if result.delay is not None)
        right = f"{sum(result.is_right for result in of_case)}/{len(of_case)}"
        code, within = cases[name].code, cases[name].within
        print(f"{name:<28} {code or 'none':<6} {right:>7}  {delays[len(delays) // 2] if delays else '':>12}  {within if code else '':>6}")


if __name__ == "__main__":
    main()
