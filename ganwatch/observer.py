"""One watched training: recorder, gallery and monitor put together. Both front ends stand on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ganwatch.capture.gallery import Gallery
from ganwatch.capture.gatherer import Gatherer
from ganwatch.capture.recorder import Recorder
from ganwatch.capture.step import Step
from ganwatch.contracts import Detector, Incident, Probe, Sink, State
from ganwatch.monitor import Monitor
from ganwatch.records import Run


class Observer:
    """Watches until ``close``; never raises after construction.

    Parameters
    ----------
    networks : mapping of str to nn.Module
        ``{"g": generator, "d": discriminator}``.
    run : Run
    probes, detectors, sinks : sequences
    reported : sequence of Incident
        What earlier attempts at this run have reported.
    state : mapping or None
        From ``state_dict`` of an earlier attempt.

    Raises
    ------
    ValueError
        A network has no parameters, or both share some.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        run: Run,
        probes: Sequence[Probe],
        detectors: Sequence[Detector],
        sinks: Sequence[Sink],
        reported: Sequence[Incident] = (),
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.run = run
        self.monitor = Monitor(probes=probes, detectors=detectors, sinks=sinks, gatherer=Gatherer(), attempt=run.attempt)
        self.gallery = Gallery(networks["g"], self.monitor.samples)
        self.recorder = Recorder(networks, probes=probes, on_step=self._on_step, guard=self.monitor.guard)
        self._step: Step | None = None
        if state is not None:
            self.monitor.guard("saved state", lambda: self.load_state_dict(state))
        self.monitor.listeners.append(self._on_incident)
        self.monitor.start(run, reported)

    def arrived(self, batch: Any, waited: float) -> None:
        """Real data is about to be used, after that many seconds of waiting for it."""
        self.monitor.guard("capture", lambda: self.recorder.arrived(batch, waited))

    def _on_step(self, step: Step) -> None:
        self._step = step
        self.recorder.paused = True
        try:
            self.monitor.guard("gallery", lambda: self.gallery.observe(step))
            self.monitor.observe(step)
        finally:
            self.recorder.paused = False
            self._step = None

    def _on_incident(self, incident: Incident) -> None:
        if incident.state is State.FIRING and incident.fired == incident.seen:
            self.gallery.pin(incident.id, self._step)

    def state_dict(self) -> dict[str, Any]:
        """Plain types only: what a resumed run needs to go on in the same record, without a second alarm."""
        return {
            "run": self.run.id,
            "index": self.recorder.index,
            "monitor": self.monitor.state_dict(),
            "gallery": self.gallery.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.recorder.restart(state["index"])
        self.monitor.load_state_dict(state["monitor"])
        self.gallery.load_state_dict(state["gallery"])

    def close(self, state: str = "finished") -> None:
        """Leave no hook behind, write everything, end the background threads. May be called twice."""
        if self.recorder.close():
            self.monitor.finish(state)
