"""Fuzz of everything that ganwatch reads: prints a table of findings, and ends with exit code 1 if there is any.

python tests/fuzz/main.py --inputs 10000
python tests/fuzz/main.py --target npy --inputs 500 --show

Each chunk has a seed and becomes a line of the log; chunks of the log are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from cases import VALID, all_targets

CHUNK = 60
"""Inputs of a chunk."""
SILENCE_SECONDS = 60.0
"""Longest silence of a worker, in which it imports or hangs where no signal ends it."""
MIN_VALID = 0.1
"""Least share of valid inputs."""


class Worker:
    """A process that judges inputs; a new one is started after a crash."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "FUZZ_QUIET": "1"}
        command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._waiting = b""

    def send(self, request: dict[str, Any]) -> None:
        """Send a request."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any] | None:
        """Return the next answer, or None if the process has crashed or hangs."""
        assert self._process.stdout is not None
        while b"\n" not in self._waiting:
            if not select.select([self._process.stdout], [], [], SILENCE_SECONDS)[0]:
                return None
            block = os.read(self._process.stdout.fileno(), 2**16)
            if not block:
                return None
            self._waiting += block
        line, _, self._waiting = self._waiting.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> int:
        """End the process and return its exit code."""
        self._process.kill()
        return self._process.wait()


def run_chunk(worker: Worker, target: str, number: int, count: int) -> tuple[Worker, dict[str, Any]]:
    """Run a chunk, with another worker after a crash, and return the worker to go on with and the line of the log."""
    counts: Counter[str] = Counter()
    findings: list[dict[str, Any]] = []
    peak = slowest = 0.0
    start, case, is_judging = 0, "", False
    worker.send({"target": target, "chunk": number, "count": count, "start": start})
    while (answer := worker.receive()) is None or "done" not in answer:
        if answer is None:
            code = worker.close()
            if not is_judging:
                raise SystemExit(f"the worker ended outside of an input of {target}, exit code {code}: run tests/fuzz/worker.py to see why")
            worker, is_judging = Worker(), False
            counts["inputs"] += 1
            findings.append({"finding": f"crash or hang of the interpreter, exit code {code}", "case": case, "detail": "", "input": start})
            if len(findings) > count:
                break
            worker.send({"target": target, "chunk": number, "count": count, "start": max(start, 1)})
        elif "begins" in answer:
            start, case, is_judging = answer["begins"], answer["case"], True
        else:
            is_judging = False
            counts["inputs"] += 1
            counts["valid"] += answer["kind"] == VALID
            counts["refused"] += answer["outcome"] == "refused"
            peak, slowest = max(peak, answer["memory"] / 2**20), max(slowest, answer["seconds"])
            if answer["finding"]:
                findings.append({"finding": answer["finding"], "case": case, "detail": answer["detail"], "input": start})
    line = {"target": target, "chunk": number, "count": count, **counts, "peak_mb": round(peak), "slowest": round(slowest, 2)}
    return worker, line | {"findings": findings}


def read_log(path: Path | None) -> list[dict[str, Any]]:
    """Return the finished chunks."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path is not None and path.exists() else []


def print_table(lines: list[dict[str, Any]], *, show: bool) -> bool:
    """Print a row a target and every kind of finding. Return True if there is none."""
    print(f"{'TARGET':24}{'INPUTS':>8}{'VALID':>8}{'REFUSED':>9}{'TRACEBACKS':>12}{'HANGS':>7}{'PEAK MB':>9}{'SLOWEST S':>11}")
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    totals: Counter[str] = Counter()
    for target in dict.fromkeys(line["target"] for line in lines):
        own = [line for line in lines if line["target"] == target]
        sums = {name: sum(line.get(name, 0) for line in own) for name in ("inputs", "valid", "refused")}
        found = [one for line in own for one in line["findings"]]
        hangs = sum("hang" in one["finding"] for one in found)
        peak, slowest = max(line["peak_mb"] for line in own), max(line["slowest"] for line in own)
        figures = f"{sums['inputs']:8,}{sums['valid']:8,}{sums['refused']:9,}{len(found) - hangs:12,}{hangs:7,}"
        print(f"{target:24}{figures}{peak:9,}{slowest:11.1f}")
        totals.update(sums | {"tracebacks": len(found) - hangs, "hangs": hangs})
        if sums["valid"] < MIN_VALID * sums["inputs"]:
            found = [*found, {"finding": "fewer than one valid input in ten", "case": "", "detail": ""}]
        for one in found:
            kinds.setdefault((target, one["finding"]), []).append(one)
    print(f"{'all':24}{totals['inputs']:8,}{totals['valid']:8,}{totals['refused']:9,}{totals['tracebacks']:12,}{totals['hangs']:7,}")
    for (target, finding), ones in sorted(kinds.items(), key=lambda pair: (pair[0][0], -len(pair[1]))):
        print(f"{len(ones):5} x {target}: {finding}\n        {ones[0]['case'][:200]}")
        if show:
            print("        " + ones[0]["detail"][-1200:].replace("\n", "\n        "))
    return not kinds


def main() -> int:
    """Run what the log lacks, and print the table of all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, metavar="N", help="inputs of all targets together (default: %(default)s)")
    parser.add_argument("--target", action="append", choices=[*all_targets()], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--log", type=Path, metavar="FILE", help="log of the chunks, which is continued")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="number of the first chunk (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="print the traceback of each kind of finding")
    arguments = parser.parse_args()
    names = arguments.target or [*all_targets()]
    lines = [line for line in read_log(arguments.log) if line["target"] in names]
    done = {(line["target"], line["chunk"]): line for line in lines}
    share = -(-arguments.inputs // len(names))
    worker = Worker()
    try:
        for name in names:
            ran, number = 0, arguments.seed
            while ran < share:
                if (line := done.get((name, number))) is None:
                    worker, line = run_chunk(worker, name, number, min(CHUNK, share - ran))
                    lines.append(line)
                    if arguments.log is not None:
                        with arguments.log.open("a", encoding="utf-8") as log:
                            log.write(json.dumps(line) + "\n")
                ran += max(line.get("inputs", 0), 1)
                number += 1
    finally:
        worker.close()
    return 0 if print_table(lines, show=arguments.show) else 1


if __name__ == "__main__":
    sys.exit(main())
