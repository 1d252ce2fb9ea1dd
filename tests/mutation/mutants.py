"""Changes one line of the code that decides at a time and runs the nearest tests, to see whether they notice.

``python tests/mutation/mutants.py`` samples a hundred changes with a fixed seed, in a copy of the tree, two at a time;
``--only ganwatch/core/incidents.py`` samples from one file, ``--named`` tries those alone that tests once failed to notice.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[2]
CONTRACT = "tests/detectors/test_contracts.py::test_every_detector_keeps_the_rules"
TARGETS = {
    "ganwatch/detectors/*.py": (
        "tests/detectors/test_rules.py", "tests/detectors/test_thresholds.py", CONTRACT, "tests/detectors/test_recorded.py",
        "tests/regression/test_corpus_incidents.py",
    ),
    "ganwatch/core/incident*.py": (
        "tests/core/test_incidents.py", "tests/core/test_monitor.py", "tests/regression/test_corpus_incidents.py",
    ),
    "ganwatch/core/diagnosis.py": ("tests/core/test_incidents.py", "tests/regression/test_corpus_incidents.py"),
    "ganwatch/core/onsets.py": ("tests/core/test_onsets.py", "tests/regression/test_corpus_incidents.py"),
    "ganwatch/core/diversity_rules.py": ("tests/detectors/test_rules.py", "tests/detectors/test_thresholds.py"),
    "ganwatch/core/own_best.py": ("tests/detectors/test_rules.py", "tests/detectors/test_thresholds.py"),
    "ganwatch/drift/verdict.py": ("tests/drift/test_verdict.py",),
    "ganwatch/distributed/merging.py": ("tests/distributed/test_merging.py",),
    "ganwatch/probes/quality*.py": ("tests/probes/test_quality.py", "tests/probes/test_growing.py", "tests/probes/test_heldout.py"),
    "ganwatch/evaluation/gallery.py": ("tests/evaluation/test_gallery.py",),
    "ganwatch/evaluation/resolution.py": ("tests/probes/test_growing.py", "tests/probes/test_quality.py"),
}  # fmt: skip
"""Files that decide, and the tests nearest to them."""
NAMED = (
    ("ganwatch/evaluation/gallery.py", "REAL_GRID_INTERVAL = 8", "REAL_GRID_INTERVAL = 3"),
    ("ganwatch/detectors/range_mismatch.py", "return 0.9 < self._largest_fake", "return 0.2 < self._largest_fake"),
    ("ganwatch/core/diversity_rules.py", "min(levels.vendi, 1.0)", "levels.vendi"),
    ("ganwatch/core/diversity_rules.py", "min(levels.pairwise, 1.0)", "levels.pairwise"),
    ("ganwatch/drift/verdict.py", "share = level / 2 if", "share = level if"),
    ("ganwatch/distributed/merging.py", "max(_without_nan(values))", "max(values)"),
    ("ganwatch/evaluation/resolution.py", "READS_PER_CONFIRMATION = 2", "READS_PER_CONFIRMATION = 1"),
)
"""Changes that no test noticed once: file, text of the line, text in its place."""
MIN_KILLED_SHARE = 0.85
TIMEOUT = 600
"""Seconds after which a run of the tests counts as failed: the change made it endless."""
COMPARISONS = {
    ast.Lt: ("<", ">="), ast.LtE: ("<=", ">"), ast.Gt: (">", "<="), ast.GtE: (">=", "<"), ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="),
}  # fmt: skip
BOUNDARIES = {ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")}
"""Changes of a comparison between whole numbers. A measured number never equals its threshold, so other comparisons are negated."""
COUNTED = re.compile(r"step|count|length|\blen\b|index|size|number|confirmations|patience")
"""Names of whole numbers."""
OPERATIONS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
LEFT_OUT = {"demo", "provenance", "__repr__"}
"""Functions that decide nothing."""
NOT_DECIDING = {"tunable"}
"""Class attributes that decide nothing about a run: ranges in which ``calibrate`` searches."""


@dataclass(frozen=True)
class Mutant:
    """One line of a file in other words."""

    path: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before.strip()}  ->  {self.after.strip()}"


def mutants(path: Path) -> list[Mutant]:
    """Every one-line change of a file: of comparisons, arithmetic, numbers, logic, ``min``, ``max``, ``any`` and ``all``."""
    source = path.read_text()
    lines = source.splitlines()
    name = str(path.relative_to(ROOT))
    found: list[Mutant] = []
    for node in _deciding(ast.parse(source)):
        if node.lineno != node.end_lineno:
            continue
        line = lines[node.lineno - 1].encode()  # columns are those of bytes
        for start, end, text in _changes(node, line):
            after = (line[:start] + text.encode() + line[end:]).decode()
            found.append(Mutant(name, node.lineno, lines[node.lineno - 1], after))
    return sorted(set(found), key=lambda mutant: (mutant.line, mutant.after))


def _deciding(node: ast.AST) -> Iterator[ast.expr]:
    """Expressions of a tree, without those of messages, annotations and functions that decide nothing."""
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or field in {"annotation", "returns", "decorator_list"}:
                continue
            if isinstance(child, ast.JoinedStr | ast.Raise) or getattr(child, "name", "") in LEFT_OUT or _is_not_deciding(child):
                continue
            if isinstance(child, ast.expr):
                yield child
            yield from _deciding(child)


def _is_not_deciding(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id in NOT_DECIDING for target in node.targets)


def _changes(node: ast.expr, line: bytes) -> Iterator[tuple[int, int, str]]:
    """Start, end and new text of each change of an expression within its line."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in COMPARISONS:
            table = BOUNDARIES if type(operator) in BOUNDARIES and _compares_whole_numbers(node) else COMPARISONS
            yield _between(left, right, line, *table[type(operator)])
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATIONS:
            yield _between(left, right, line, *OPERATIONS[type(operator)])
        case ast.BoolOp(op=ast.And(), values=[left, right, *_]):
            yield _between(left, right, line, "and", "or")
        case ast.BoolOp(op=ast.Or(), values=[left, right, *_]):
            yield _between(left, right, line, "or", "and")
        case ast.UnaryOp(op=ast.Not()):
            yield node.col_offset, node.col_offset + len("not "), ""
        case ast.Call(func=ast.Name(id=function)) if function in FUNCTIONS:
            yield node.col_offset, node.col_offset + len(function), FUNCTIONS[function]
        case ast.Constant(value=bool(value)):
            yield node.col_offset, _end(node), str(not value)
        case ast.Constant(value=int(value)):
            yield node.col_offset, _end(node), str(value + 1)
        case ast.Constant(value=float(value)):
            yield node.col_offset, _end(node), repr(value * 2 if value else 1.0)


def _compares_whole_numbers(node: ast.Compare) -> bool:
    whole = [isinstance(side, ast.Constant) and isinstance(side.value, int) for side in (node.left, *node.comparators)]
    return any(whole) or all(COUNTED.search(ast.unparse(side)) for side in (node.left, *node.comparators))


def _end(node: ast.expr) -> int:
    assert node.end_col_offset is not None
    return node.end_col_offset


def _between(left: ast.expr, right: ast.expr, line: bytes, old: str, new: str) -> tuple[int, int, str]:
    start = _end(left) + line[_end(left) : right.col_offset].index(old.encode())
    return start, start + len(old), new


def tests_of(path: str) -> tuple[str, ...]:
    """Tests nearest to a file; of the contract that of its own detector, by its code."""
    tests = next(tests for pattern, tests in TARGETS.items() if Path(path).match(pattern))
    code = re.search(r'^    code = "(GW\d+)"$', (ROOT / path).read_text(), re.MULTILINE)
    return tuple(f"{CONTRACT}[{code[1]}]" if test == CONTRACT and code else test for test in tests)


class Tree:
    """A copy of the package beside links to all else, in which a file can be changed and tests run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "ganwatch", folder / "ganwatch", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("tests", "alerts", "dashboards", "examples", "docs", "README.md", "CONTRIBUTING.md", "pyproject.toml"):
            (folder / name).symlink_to(ROOT / name)

    def notices(self, mutant: Mutant | None, tests: Sequence[str]) -> bool:
        """Return True if a test fails with the change; without one, if they fail by themselves."""
        if mutant is None:
            return self._fail(tests)
        file = self.folder / mutant.path
        original = file.read_text()
        lines = original.splitlines(keepends=True)
        lines[mutant.line - 1] = mutant.after + "\n"
        file.write_text("".join(lines))
        try:
            return any(self._fail([test]) for test in tests)
        finally:
            file.write_text(original)

    def _fail(self, tests: Sequence[str]) -> bool:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests]
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return True
        if done.returncode not in {0, 1, 2}:  # no tests, or a wrong call
            raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode != 0


def sample(count: int, seed: int, only: str | None = None) -> list[Mutant]:
    """Mutants drawn at random from all of them."""
    files = [path for pattern in TARGETS for path in sorted(ROOT.glob(pattern)) if only is None or str(path.relative_to(ROOT)) == only]
    every = [mutant for path in files for mutant in mutants(path)]
    return random.Random(seed).sample(every, min(count, len(every)))


def named() -> list[Mutant]:
    """The changes of ``NAMED``.

    Raises
    ------
    ValueError
        A line of them is not there any more.
    """
    found = []
    for path, before, after in NAMED:
        places = [(number, line) for number, line in enumerate((ROOT / path).read_text().splitlines(), 1) if before in line]
        if len(places) != 1:
            raise ValueError(f"{path} must have one line with {before!r}, got {len(places)}")
        [(number, line)] = places
        found.append(Mutant(path, number, line, line.replace(before, after)))
    return found


def survivors(changes: Sequence[Mutant]) -> list[Mutant]:
    """The changes that no test notices; reports each as it is known.

    Raises
    ------
    RuntimeError
        The tests fail without a change.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for name in ("a", "b"):
            trees.put(Tree(Path(folder) / name))

        def survives(mutant: Mutant | None, tests: Sequence[str]) -> bool:
            tree = trees.get()
            try:
                lives = not tree.notices(mutant, tests)
            finally:
                trees.put(tree)
            if mutant is not None:
                print("SURVIVED" if lives else "killed", mutant, flush=True)
            return lives

        every = {test for mutant in changes for test in tests_of(mutant.path)}
        if not all(pool.map(lambda test: survives(None, [test]), sorted(every))):
            raise RuntimeError("the tests must pass before anything is changed")
        alive = list(pool.map(lambda mutant: survives(mutant, tests_of(mutant.path)), changes))
    return [mutant for mutant, lives in zip(changes, alive, strict=True) if lives]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="a file, relative to the checkout")
    parser.add_argument("--named", action="store_true", help="those that tests once failed to notice")
    arguments = parser.parse_args()
    changes = named() if arguments.named else sample(arguments.count, arguments.seed, arguments.only)
    alive = survivors(changes)
    print(f"{len(changes) - len(alive)} of {len(changes)} changes are noticed")
    return int(bool(alive) if arguments.named else len(alive) > (1 - MIN_KILLED_SHARE) * len(changes))


if __name__ == "__main__":
    sys.exit(main())
