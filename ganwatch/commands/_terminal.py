"""Text, tables and progress on the terminal, drawn by rich; in a pipe or file, plain text of any width."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar
from weakref import WeakKeyDictionary

from ganwatch.core.clean_text import terminal_text

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, TaskID
    from rich.table import Table

    from ganwatch.data.sample_format import SampleStream

PIPE_WIDTH = 1_000_000
"""Width of a pipe in columns, so that no cell is wrapped or cut there."""

T = TypeVar("T")


def print_text(*lines: str, file: TextIO | None = None) -> None:
    """Print lines, each through ``terminal_text``: a line break within one is spelled out."""
    print("\n".join(map(terminal_text, lines)), file=file, flush=True)


def format_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format rows below a head as plain text, in columns as wide as their longest cell.

    >>> print(format_table(["RUN", "STEP"], [["a", 12], ["long-id", 3]]))
    RUN      STEP
    a        12
    long-id  3
    """
    from rich.console import Console

    output = io.StringIO()
    Console(file=output, force_terminal=False, force_jupyter=False, width=PIPE_WIDTH).print(_build_table(head, rows))
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def print_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows below a head: fitted to the width of a terminal, or as ``format_table`` in a pipe."""
    if sys.stdout.isatty():
        _console(sys.stdout).print(_build_table(head, rows))
    else:
        print(format_table(head, rows), flush=True)


def _build_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in head:
        table.add_column(Text(terminal_text(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(terminal_text(cell)) for cell in row))
    return table


def _console(stream: TextIO) -> Console:
    """Return a console that never sends escape codes to a pipe, whatever the environment says."""
    from rich.console import Console

    return Console(file=stream, force_terminal=None if stream.isatty() else False, force_jupyter=False, markup=False, highlight=False)


def _progress(*columns: ProgressColumn) -> Progress:
    from rich.progress import Progress

    return Progress(*columns, console=_console(sys.stderr), redirect_stdout=False, redirect_stderr=False)


def count_items(items: Iterable[T], noun: str) -> Iterator[T]:
    """Yield the items; on a terminal, count them on standard error."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.progress import SpinnerColumn, TextColumn

    with _progress(SpinnerColumn(), TextColumn(f"{{task.completed:,.0f}} {noun}", markup=False)) as progress:
        task = progress.add_task("", total=None)
        for item in items:
            progress.advance(task)
            yield item


class SampleProgress:
    """Progress of reading samples, on standard error: a bar per side on a terminal, else a line per quarter.

    It is called with a side and the number of samples that were added. Use it as a context manager: leaving restores the terminal.
    """

    def __init__(self) -> None:
        self._read: WeakKeyDictionary[SampleStream, int] = WeakKeyDictionary()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def __call__(self, side: SampleStream, count: int) -> None:
        """Add ``count`` samples of a side; skipped samples count as done."""
        is_new = side not in self._read
        before = self._read.get(side, 0)
        self._read[side] = before + count
        done, total = before + count + side.report()["skipped"], side.sample_size
        if sys.stderr.isatty():
            self._draw(side.argument, done, total, restart=is_new)
        elif 4 * done // total > 4 * before // total:
            print_text(f"{side.argument} {done:,}/{total:,} samples", file=sys.stderr)

    def _draw(self, name: str, done: int, total: int, *, restart: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        if restart:
            self.stop()
            name_column = TextColumn("{task.description}", markup=False)
            self._bar = _progress(name_column, BarColumn(24), MofNCompleteColumn(), TextColumn("samples"), TimeRemainingColumn())
            self._task = self._bar.add_task(terminal_text(name), total=total)
            self._bar.start()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)
        if done >= total:
            self.stop()

    def stop(self) -> None:
        """Leave the bar as it is and give the terminal back."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None
