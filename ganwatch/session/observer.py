"""One watched training: connects recorder, gallery and monitor. Every front end uses it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ganwatch.capture.attribution.activity_clock import Activity
from ganwatch.capture.attribution.parameter_ownership import list_members
from ganwatch.capture.gatherer import Gatherer
from ganwatch.capture.loop_facts import LoopFacts
from ganwatch.capture.options import NO_OPTIONS, Options
from ganwatch.capture.recorder import Recorder
from ganwatch.capture.step import StepView
from ganwatch.capture.taps import patches
from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.detector import Detector
from ganwatch.core.guard import Guard
from ganwatch.core.incidents import Incident
from ganwatch.core.monitor import OBSERVER_EVERY, Monitor
from ganwatch.core.outcome import Outcome
from ganwatch.core.pace import Pace
from ganwatch.core.probe import Probe
from ganwatch.core.readings import Run, SampleImages
from ganwatch.core.sink import Sink
from ganwatch.distributed.exchange import RankExchange
from ganwatch.distributed.rank_detection import is_distributed
from ganwatch.evaluation.context import EvaluationContext
from ganwatch.evaluation.discriminator_scorer import DiscriminatorScorer
from ganwatch.evaluation.gallery import Gallery
from ganwatch.evaluation.generator_sampler import GeneratorSampler

log = logging.getLogger("ganwatch")

SETUP = "set-up: "
"""Beginning of the names of problems that the loop has, rather than a probe."""


class Observer:
    """Watches a training until ``close``; never raises after construction. Only rank 0 has a run, a gallery and sinks.

    Parameters
    ----------
    networks : mapping of str to nn.Module
        ``{"g": generator, "d": discriminator}``.
    run : Run or None
        None if the run starts with the first step.
    start_run : callable, optional
        Called with the first step if ``run`` is None. It returns the run and the incidents of earlier attempts at it.
    probes, detectors, sinks : sequences
    reported : sequence of Incident
        Incidents that earlier attempts at this run have reported.
    state : mapping or None
        From ``state_dict`` of an earlier attempt.
    options : Options
        Facts about the training that the user has given.

    Attributes
    ----------
    guard : Guard
        Keeps errors of every part from the loop, and counts them.
    ranks : RankExchange
    on_real_batch, on_fake_batch : callables
        Take a real batch that is about to be used, and the seconds that the loop waited for it; see ``Recorder.on_real_batch``.

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
        start_run: Callable[[StepView], tuple[Run, Sequence[Incident]]] | None = None,
        probes: Sequence[Probe],
        detectors: Sequence[Detector],
        sinks: Sequence[Sink],
        reported: Sequence[Incident] = (),
        state: Mapping[str, Any] | None = None,
        options: Options = NO_OPTIONS,
    ) -> None:
        self._run, self._start_run = run, start_run
        self.ranks = RankExchange(Gatherer(), self._on_step_values)
        self.guard = Guard()
        self._monitor = Monitor(detectors=detectors, sinks=sinks, gatherer=self.ranks, guard=self.guard)
        self.sampler = GeneratorSampler(list_members(networks["g"])[0], options.sample)
        self.quality_sampler = self.sampler if options.ema is None else GeneratorSampler(options.ema, options.sample)
        self.scorer = DiscriminatorScorer(list_members(networks["d"])[0], options)
        self.gallery = Gallery(self.sampler, self._monitor.samples, options)
        self._was_nonfinite = False
        self._pace = Pace()
        advancing = [probe for probe in probes if type(probe).advance is not Probe.advance]
        self._between_steps: list[tuple[str, Callable[[], None]]] = [(f"probe {probe.name}", probe.advance) for probe in advancing]
        self._announced_clock = Activity.GENERATOR_UPDATES
        self._recorder = Recorder(
            networks,
            probes=probes,
            on_step=self._on_step,
            on_flush=self._on_flush,
            guard=self.guard,
            is_sampled=self.gallery.needs_calls,
            options=options,
            pace=self._pace,
        )
        self.on_real_batch, self.on_fake_batch = self._recorder.on_real_batch, self._recorder.on_fake_batch
        self.count_tap_failures()
        context = EvaluationContext(self.quality_sampler, self.scorer, options.heldout)
        for probe in probes:
            self.guard(f"probe {probe.name}", partial(probe.attach, context))
        if state is not None:
            self.guard("saved state", lambda: self.load_state_dict(state))
        self._monitor.listeners.append(self._on_incident)
        if run is not None:
            self._monitor.start(run, reported)

    @property
    def run(self) -> Run:
        """The run, known from the first step on at the latest."""
        if self._run is None:
            raise RuntimeError("the run has not started")
        return self._run

    @property
    def has_run(self) -> bool:
        """True once the run has started; on rank 0 only."""
        return self._run is not None

    @property
    def is_open(self) -> bool:
        """True until ``close``."""
        return self._recorder.is_open

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return self._recorder.index

    @property
    def own_time(self) -> float:
        """Seconds that ganwatch has taken in the training thread, without those of its taps."""
        return self._recorder.own_time.seconds

    @property
    def clock(self) -> Activity:
        """Activity of the loop that gives the steps."""
        return self._recorder.clock.source

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """The watched networks, by role."""
        return self._recorder.networks

    @property
    def loop_facts(self) -> LoopFacts:
        """Facts about the loop as a whole."""
        self._recorder.stream.drain()
        return self._recorder.loop_facts

    @property
    def optimizers(self) -> Mapping[str, Optimizer]:
        """Optimizers of the networks that have stepped, by network."""
        return self._recorder.ownership.named_optimizers()

    @property
    def probes(self) -> Sequence[Probe]:
        """The probes."""
        return self._recorder.probes

    @property
    def detectors(self) -> Sequence[Detector]:
        """The detectors."""
        return self._monitor.detectors

    @property
    def sinks(self) -> Sequence[Sink]:
        """The sinks."""
        return self._monitor.sinks

    @property
    def incidents(self) -> Sequence[Incident]:
        """Every incident so far, in order."""
        return self._monitor.incidents.history

    @property
    def firing(self) -> Sequence[Incident]:
        """Incidents that are firing."""
        return self._monitor.incidents.firing

    @property
    def latest(self) -> Mapping[str, float]:
        """The latest reading of each series."""
        return self._monitor.latest

    @property
    def problems(self) -> Mapping[str, str]:
        """Reasons for which probes do not measure, by their names."""
        return self._monitor.problems

    def set_setup_problems(self, problems: Mapping[str, str]) -> None:
        """Set what is wrong with the set-up now, by name; the outcome of the run says so."""
        others = {name: line for name, line in self._monitor.problems.items() if not name.startswith(SETUP)}
        self._monitor.problems = others | {f"{SETUP}{name}": line for name, line in problems.items()}

    def outcome(self) -> Outcome:
        """Return what is known about the run so far."""
        return self._monitor.outcome()

    def not_applicable(self) -> Mapping[str, str]:
        """Return by code what a detector needs that does not apply to this run."""
        return self._monitor.not_applicable()

    def add_listener(self, listener: Callable[[Incident], None]) -> None:
        """Call a function with every incident that opens or changes."""
        self._monitor.listeners.append(listener)

    def call_every(self, optimizer_steps: int, function: Callable[[], None]) -> None:
        """Call a function after every so many steps of optimizers."""
        self._recorder.periodic_check = optimizer_steps, function

    def call_between_steps(self, name: str, function: Callable[[], None]) -> None:
        """Call a function whenever steps have been evaluated; ``name`` stands for it in errors."""
        self._between_steps.append((name, function))

    def attach_taps(self) -> None:
        """Go on to watch the loop."""
        self._recorder.attach_taps()

    def detach_taps(self) -> None:
        """Stop watching the loop, until ``attach_taps``."""
        self._recorder.detach_taps()

    def log(self, name: Any, value: Any) -> None:
        """Take a reading of the loop's own."""
        self.guard("log", lambda: self._recorder.log(name, value))

    def add_readings(self, readings: Mapping[str, float]) -> None:
        """Add readings that another part took between two steps, by series."""
        self._recorder.add_readings(readings)

    def add_drift(self, verdict: Mapping[str, Any]) -> None:
        """Send the verdict of a drift check, as plain types, to every sink."""
        self._monitor.drift(verdict)

    def add_checkpoint(self, checkpoint: SavedCheckpoint) -> None:
        """Send a checkpoint with the verdict on it to every sink."""
        self._monitor.checkpoint(checkpoint)

    def _on_step(self, step: StepView) -> None:
        self._recorder.stream.is_paused = True
        try:
            if not self.ranks.has_connected:
                self.guard("ranks", self._join_ranks)
            if self._run is None and self._start_run is not None:
                self.guard("start", lambda: self._start(step))
            if step.index == 1:
                self.guard("start", self._add_dataset_size)
            self._announce_clock(step)
            if step.index % OBSERVER_EVERY == 0:
                self.count_tap_failures()
            if self.ranks.rank == 0 and self.gallery.needs_calls(step.index):
                self.guard("gallery", lambda: self.gallery.on_step(step))
            self._monitor.process_step(step)
        finally:
            self._recorder.stream.is_paused = False

    def _on_flush(self) -> None:
        self._monitor.send_readings()
        if self._between_steps:
            self._recorder.stream.is_paused = True
            try:
                for name, function in self._between_steps:
                    self.guard(name, function)
            finally:
                self._recorder.stream.is_paused = False

    def count_tap_failures(self) -> None:
        """Add what the taps on torch could not do to the errors of the run."""
        self.guard.errors |= patches.failures()  # the larger of two counts

    def _announce_clock(self, step: StepView) -> None:
        """Log once that steps follow another activity of the loop than before."""
        if step.clock is self._announced_clock or self.ranks.rank:
            return
        self._announced_clock = step.clock
        if step.clock is Activity.GENERATOR_UPDATES:
            log.warning("from step %d on, steps follow the updates of the generator again", step.index)
        else:
            since = step.last_updates.get("g", 0)
            missing = f"has had no update since step {since}" if since else "has had no update yet"
            log.warning("the generator %s: from step %d on, steps follow the %s", missing, step.index, step.clock)

    def _join_ranks(self) -> None:
        self.ranks.connect()
        for sampler in (self.sampler, self.quality_sampler):
            sampler.is_allowed = self.ranks.size == 1 or not any(map(is_distributed, sampler.modules))
        self.quality_sampler.is_allowed &= self.ranks.rank == 0
        self.scorer.is_allowed = self.ranks.size == 1 or not is_distributed(self.scorer.discriminator)

    def _start(self, step: StepView) -> None:
        start_run, self._start_run = self._start_run, None
        assert start_run is not None
        if self.ranks.rank:  # the rank is known by now at the latest
            sinks, self._monitor.sinks = self._monitor.sinks, []
            for sink in sinks:
                sink.close()
            return
        self._run, reported = start_run(step)
        self._monitor.start(self._run, reported)

    def _add_dataset_size(self) -> None:
        """Add the number of training samples as a reading."""
        size = None if self._run is None else self._run.provenance.get("dataset_size")
        if size is not None:
            self.add_readings({"dataset_size": float(size)})

    def _on_step_values(self, step: int, values: dict[str, float]) -> None:
        self.guard("completion", partial(self._check_real_batch, step, values))
        if self.ranks.size == 1:  # ranks must look at the same steps
            is_disturbed = bool(self._monitor.incidents.active)
            self.guard("pace", partial(self._pace.update, step, values, is_disturbed=is_disturbed))

    def _check_real_batch(self, step: int, values: dict[str, float]) -> None:
        """Measure non-finite values of the real batch when a loss stops being finite, if no probe measured that batch."""
        is_nonfinite = any(not math.isfinite(values.get(f"loss/{role}", 0.0)) for role in self._recorder.networks)
        if is_nonfinite and not self._was_nonfinite and "data_nonfinite/real" not in values:
            share = self._recorder.batch_origin.nonfinite_share("real", step)
            if share is not None:
                values["data_nonfinite/real"] = share
        self._was_nonfinite = is_nonfinite

    def _on_incident(self, incident: Incident) -> None:
        """Send images that are evidence of an incident that has just fired."""
        if not incident.has_just_fired:
            return
        images: list[SampleImages] = [*(self.guard("gallery", partial(self.gallery.evidence, incident)) or [])]
        for probe in self._recorder.probes:
            take_samples = partial(probe.incident_samples, incident.code, incident.seen, incident.id)
            taken = self.guard(f"probe {probe.name}", take_samples)
            if taken is not None and all(taken.kind != one.kind for one in images):  # one of both tiers of quality is enough
                images.append(taken)
        for one in images:
            self._monitor.samples(one)

    def state_dict(self) -> dict[str, Any]:
        """State of the watch, in plain types only: a resumed run continues the same record without a second alarm."""
        return {
            "run": self._run.id if self._run is not None else None,
            "recorder": self._recorder.state_dict(),
            "monitor": self._monitor.state_dict(),
            "pace": self._pace.state_dict(),
            "gallery": self.gallery.state_dict(),
            "probes": {probe.name: state for probe in self._recorder.probes if (state := probe.state_dict())},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self._recorder.load_state_dict(state["recorder"])
        self._monitor.load_state_dict(state["monitor"])
        if "pace" in state:  # an earlier version saved none
            self._pace.load_state_dict(state["pace"])
        self.gallery.load_state_dict(state["gallery"])
        for probe in self._recorder.probes:
            if probe.name in state["probes"]:
                probe.load_state_dict(state["probes"][probe.name])

    def _read_end(self) -> None:
        """Take what probes measure at the end of the training."""
        self._recorder.stream.is_paused = True
        try:
            for probe in self._recorder.probes if self.has_run else ():
                self.add_readings(self.guard(f"probe {probe.name}", partial(probe.read_end, self.steps)) or {})
        finally:
            self._recorder.stream.is_paused = False

    def close(self, state: str = "finished") -> None:
        """Remove all hooks, pass the last readings on, let ``Monitor.finish`` end every sink. A second call does nothing.

        Front ends call ``session.run_end.end_run``, which also writes the last line of the log.
        """
        if self._recorder.close():
            if state != "finished":
                self.ranks.timeout = 0.0
            if state != "failed":
                self._read_end()
            if (last := self._recorder.build_final_step()) is not None:
                self._monitor.process_step(last)
            self.count_tap_failures()
            self._monitor.finish(state)
            self.guard("ranks", self.ranks.close)
