"""Progress of a GAN training with its main signals and open incidents."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

import lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ganwatch.core.clean_text import terminal_text
from ganwatch.core.names import name_failure

if TYPE_CHECKING:
    from ganwatch.session.lightning import GanWatch

SIGNAL_LABELS = {"loss/g": "loss G", "loss/d": "loss D", "d_auc": "AUC", "pairwise_ratio": "diversity", "energy_distance": "distance"}
"""Displayed signals with their labels."""
STEPS_PER_REDRAW = 10
"""Number of steps between two redraws of the bar."""
LINES_PER_RUN = 10
"""Number of lines that are printed over a run without a terminal."""


class SignalBar(lightning.Callback):
    """Progress in steps of the generator, with the main signals and the open incidents.

    Parameters
    ----------
    watch : GanWatch
        Callback that gives the step count and the latest readings.
    steps : int
        Planned number of steps.
    file : text stream or None
        Output, by default standard error. A terminal gets a bar, any other output a line at every tenth of the steps.
    """

    def __init__(self, watch: GanWatch, steps: int, file: TextIO | None = None) -> None:
        self.watch, self.steps = watch, steps
        is_terminal = (file or sys.stderr).isatty()
        console = Console(file=file, stderr=True, force_terminal=None if is_terminal else False)
        self._live = console.is_interactive
        self._console = console
        self._bar = Progress(
            TextColumn("step", markup=False),
            MofNCompleteColumn(),
            BarColumn(20),
            TimeRemainingColumn(),
            TextColumn("{task.fields[signals]}", markup=False),
            console=console,
        )
        self._task = self._bar.add_task("", total=steps, signals="")
        self._drawn_step = 0

    def on_train_start(self, *_: Any) -> None:
        """Start the bar at the current step, which a checkpoint may have set."""
        self._drawn_step = self._step
        if self._drawn_step:
            self._console.print(f"resumed at step {self._drawn_step}", markup=False, highlight=False)
            self._bar.reset(self._task, completed=self._drawn_step)
        if self._live:
            self._bar.start()

    def on_train_batch_end(self, *_: Any) -> None:
        """Redraw after enough steps."""
        stride = STEPS_PER_REDRAW if self._live else max(self.steps // LINES_PER_RUN, 1)
        if self._step // stride > self._drawn_step // stride:
            self._draw()

    @property
    def _step(self) -> int:
        return self.watch.observer.steps if self.watch.observer is not None else 0

    def _draw(self) -> None:
        if self.watch.observer is None or self._step == self._drawn_step:
            return
        self._drawn_step = step = self._step
        latest = self.watch.observer.latest
        text = "  ".join(f"{label} {latest[name]:.3g}" for name, label in SIGNAL_LABELS.items() if name in latest)
        text += "".join(f"  [{name_failure(incident.title, incident.code)}]" for incident in self.watch.observer.firing)
        if self._live:
            self._bar.update(self._task, completed=step, signals=text)
        else:
            self._console.print(terminal_text(f"step {step}/{self.steps}  {text}".rstrip()), markup=False, highlight=False, soft_wrap=True)

    def on_train_end(self, *_: Any) -> None:
        """Draw the last state and leave it on the screen."""
        self._end()

    def on_exception(self, *_: Any) -> None:
        """Draw the last state and give the terminal back."""
        self._end()

    def _end(self) -> None:
        self._draw()
        if self._live:
            self._bar.stop()
