"""A progress bar that shows what matters while a GAN trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

import lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from ganwatch.session.lightning import GanWatch

SHOWN = {"loss/g": "loss G", "loss/d": "loss D", "d_auc": "AUC", "pairwise_ratio": "diversity", "energy_distance": "distance"}
REFRESH = 10
"""Steps between two redrawings."""


class SignalBar(lightning.Callback):
    """Progress in steps of the generator, with the main signals and the open incidents beside it.

    Parameters
    ----------
    watch : GanWatch
        Whose step count and latest values are shown.
    steps : int
        Planned steps.
    file : text stream or None
        None takes standard error. On a terminal a bar is redrawn; elsewhere a line is printed at every tenth of the way.
    """

    def __init__(self, watch: GanWatch, steps: int, file: TextIO | None = None) -> None:
        self.watch, self.steps = watch, steps
        console = Console(file=file, stderr=True)
        self._live = console.is_terminal
        self._console = console
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(20),
            TimeRemainingColumn(),
            TextColumn("{task.fields[signals]}"),
            console=console,
        )
        self._task = self._bar.add_task("", total=steps, signals="")
        self._shown = 0

    def on_train_start(self, *_: Any) -> None:
        """Begin to draw, at the step that a checkpoint brought."""
        self._shown = self._step
        if self._shown:
            self._console.print(f"resumed at step {self._shown}", markup=False, highlight=False)
            self._bar.reset(self._task, completed=self._shown)
        if self._live:
            self._bar.start()

    def on_train_batch_end(self, *_: Any) -> None:
        """Redraw where enough has happened."""
        stride = REFRESH if self._live else max(self.steps // 10, 1)
        if self._step // stride > self._shown // stride:
            self._draw()

    @property
    def _step(self) -> int:
        return self.watch.observer.recorder.index if self.watch.observer is not None else 0

    def _draw(self) -> None:
        if self.watch.observer is None or self._step == self._shown:
            return
        self._shown = step = self._step
        monitor = self.watch.observer.monitor
        text = "  ".join(f"{label} {monitor.latest[name]:.3g}" for name, label in SHOWN.items() if name in monitor.latest)
        text += "".join(f"  [{incident.code} {incident.title}]" for incident in monitor.incidents.firing)
        if self._live:
            self._bar.update(self._task, completed=step, signals=text)
        else:
            self._console.print(f"step {step}/{self.steps}  {text}".rstrip(), markup=False, highlight=False, soft_wrap=True)

    def on_train_end(self, *_: Any) -> None:
        """Leave the last state on the screen."""
        self._end()

    def on_exception(self, *_: Any) -> None:
        """Give the terminal back."""
        self._end()

    def _end(self) -> None:
        self._draw()
        if self._live:
            self._bar.stop()
