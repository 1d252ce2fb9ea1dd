"""The end of a run: every front end ends its run here, and nowhere else.

``Observer.close`` removes the hooks and passes on the last readings. ``Monitor.finish`` evaluates what is left and calls ``finish`` and
``close`` of every sink; ``SqlSink.finish`` writes the state and the time of the end to the store (the row: ``store/writer.py``). The last
line of the log comes then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganwatch.core.announce import announce

if TYPE_CHECKING:
    from ganwatch.session.observer import Observer


def end_run(observer: Observer, state: str) -> None:
    """Write the end of a run to every sink, then one line to the log. A second call does nothing.

    Parameters
    ----------
    observer : Observer
        Closed by this.
    state : {"finished", "failed", "stopped"}
    """
    if not observer.is_open:
        return
    observer.close(state)
    if observer.has_run:
        announce("ganwatch: %s", end_line(observer, state))


def end_line(observer: Observer, state: str) -> str:
    """Describe an ended run: how it ended, after how many steps, what is known about it, and what the sinks lost."""
    lost = "".join(f"; sink {sink.name} lost {losses}" for sink in observer.sinks if (losses := sink.describe_losses()))
    return f"run {observer.run.id} {state} after {observer.steps} steps, {observer.outcome().describe()}{lost}"
