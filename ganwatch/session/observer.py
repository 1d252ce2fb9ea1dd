"""One watched training: recorder, gallery and monitor put together. Both front ends stand on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from ganwatch.capture.attribution.parameter_ownership import members
from ganwatch.capture.gatherer import Gatherer
from ganwatch.capture.options import NOTHING_SAID, Options
from ganwatch.capture.recorder import Recorder
from ganwatch.capture.step import Step
from ganwatch.core.detector import Detector
from ganwatch.core.incidents import Incident, State
from ganwatch.core.monitor import Monitor
from ganwatch.core.probe import Probe
from ganwatch.core.readings import Run
from ganwatch.core.sink import Sink
from ganwatch.distributed.ranks import Ranks, communicates
from ganwatch.evaluation.discriminator_scorer import DiscriminatorScorer
from ganwatch.evaluation.gallery import Gallery
from ganwatch.evaluation.generator_sampler import EvaluationContext, GeneratorSampler


class Observer:
    """Watches until ``close``; never raises after construction. Of several ranks only rank 0 has a run, a gallery and sinks.

    Parameters
    ----------
    networks : mapping of str to nn.Module
        ``{"g": generator, "d": discriminator}``.
    run : Run or None
        None where it begins with the first step.
    begin : callable, optional
        Gives the run then, from that step, and what earlier attempts at it have reported.
    probes, detectors, sinks : sequences
    reported : sequence of Incident
        What earlier attempts at this run have reported.
    state : mapping or None
        From ``state_dict`` of an earlier attempt.
    options : Options
        What the user has said about the training.

    Raises
    ------
    ValueError
        A network has no parameters, or both share some.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        run: Run | None = None,
        begin: Callable[[Step], tuple[Run, Sequence[Incident]]] | None = None,
        probes: Sequence[Probe],
        detectors: Sequence[Detector],
        sinks: Sequence[Sink],
        reported: Sequence[Incident] = (),
        state: Mapping[str, Any] | None = None,
        options: Options = NOTHING_SAID,
    ) -> None:
        self._run, self._begin = run, begin
        self.ranks = Ranks(Gatherer(), self._complete)
        self.monitor = Monitor(detectors=detectors, sinks=sinks, gatherer=self.ranks)
        self.sampler = GeneratorSampler(members(networks["g"])[0], options.sample)
        self.averaged = self.sampler if options.ema is None else GeneratorSampler(options.ema, options.sample)
        self.scorer = DiscriminatorScorer(members(networks["d"])[0], options)
        self.gallery = Gallery(self.sampler, self.monitor.samples, options)
        self._traced = False
        self.recorder = Recorder(
            networks,
            probes=probes,
            on_step=self._on_step,
            on_flush=self.monitor.send,
            guard=self.monitor.guard,
            looks=self.gallery.looks,
            options=options,
        )
        context = EvaluationContext(self.averaged, self.scorer, options.heldout)
        for probe in probes:
            self.monitor.guard(f"probe {probe.name}", partial(probe.attach, context))
        if state is not None:
            self.monitor.guard("saved state", lambda: self.load_state_dict(state))
        self.monitor.listeners.append(self._on_incident)
        if run is not None:
            self.monitor.start(run, reported)

    @property
    def run(self) -> Run:
        """The run; there is one from the first step on at the latest."""
        if self._run is None:
            raise RuntimeError("the run has not begun")
        return self._run

    @property
    def open(self) -> bool:
        """Whether it is still watching."""
        return self.recorder.open

    def on_real_batch(self, batch: Any, waited: float) -> None:
        """Real data is about to be used, after that many seconds of waiting for it."""
        self.recorder.on_real_batch(batch, waited)

    def on_fake_batch(self, batch: Any) -> None:
        """Generated data is about to be used."""
        self.recorder.on_fake_batch(batch)

    def log(self, name: Any, value: Any) -> None:
        """A reading of the loop's own."""
        self.monitor.guard("log", lambda: self.recorder.log(name, value))

    def add_readings(self, readings: Mapping[str, float]) -> None:
        """Readings by series that somebody else has taken between two steps."""
        self.recorder.add_readings(readings)

    def _on_step(self, step: Step) -> None:
        self.recorder.paused = True
        try:
            if not self.ranks.joined:
                self.monitor.guard("ranks", self._join)
            if self._run is None and self._begin is not None:
                self.monitor.guard("start", lambda: self._start(step))
            if self.ranks.rank == 0 and self.gallery.looks(step.index):
                self.monitor.guard("gallery", lambda: self.gallery.observe(step))
            self.monitor.observe(step)
        finally:
            self.recorder.paused = False

    def _join(self) -> None:
        self.ranks.join()
        for sampler in (self.sampler, self.averaged):
            sampler.allowed = self.ranks.size == 1 or not any(map(communicates, sampler.parts))
        self.averaged.allowed &= self.ranks.rank == 0
        self.scorer.allowed = self.ranks.size == 1 or not communicates(self.scorer.discriminator)

    def _start(self, step: Step) -> None:
        begin, self._begin = self._begin, None
        assert begin is not None
        if self.ranks.rank:  # known by now at the latest
            sinks, self.monitor.sinks = self.monitor.sinks, []
            for sink in sinks:
                sink.close()
            return
        self._run, reported = begin(step)
        self.monitor.start(self._run, reported)

    def _complete(self, step: int, values: dict[str, float]) -> None:
        self.monitor.guard("completion", partial(self._trace_to_data, step, values))

    def _trace_to_data(self, step: int, values: dict[str, float]) -> None:
        """Where losses cease to be finite, look whether the real batch brought it, at a step at which nobody measured the batch."""
        bad = any(not math.isfinite(values.get(f"loss/{role}", 0.0)) for role in self.recorder.networks)
        if bad and not self._traced and "data_nonfinite/real" not in values:
            share = self.recorder.batch_origin.nonfinite("real", step)
            if share is not None:
                values["data_nonfinite/real"] = share
        self._traced = bad

    def _on_incident(self, incident: Incident) -> None:
        if incident.state is State.FIRING and incident.fired == incident.seen:
            self.gallery.pin(incident.id)
            for probe in self.recorder.probes:
                samples = self.monitor.guard(f"probe {probe.name}", partial(probe.pinned, incident.code, incident.seen, incident.id))
                if samples is not None:
                    self.monitor.samples(samples)

    def state_dict(self) -> dict[str, Any]:
        """Plain types only: what a resumed run needs to go on in the same record, without a second alarm."""
        self.monitor.guard("capture", self.recorder.flush)
        return {
            "run": self._run.id if self._run is not None else None,
            "index": self.recorder.index,
            "remembering": self.recorder.remembering,
            "shift": self.recorder.shift,
            "phases": self.recorder.updates.update_kinds.state_dict(),
            "monitor": self.monitor.state_dict(),
            "gallery": self.gallery.state_dict(),
            "probes": {probe.name: state for probe in self.recorder.probes if (state := probe.state_dict())},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.recorder.shift = state["shift"]
        self.recorder.restart(state["index"])
        self.recorder.remembering = state["remembering"]
        self.recorder.updates.update_kinds.load_state_dict(state["phases"])
        self.monitor.load_state_dict(state["monitor"])
        self.gallery.load_state_dict(state["gallery"])
        for probe in self.recorder.probes:
            if probe.name in state["probes"]:
                probe.load_state_dict(state["probes"][probe.name])

    def close(self, state: str = "finished") -> None:
        """Leave no hook behind, write everything, end the background threads. May be called twice."""
        if self.recorder.close():
            if state != "finished":
                self.ranks.patience = 0.0
            if (last := self.recorder.said_since()) is not None:
                self.monitor.observe(last)
            self.monitor.finish(state)
            self.monitor.guard("ranks", self.ranks.close)
