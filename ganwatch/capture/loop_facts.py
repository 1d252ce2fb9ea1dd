"""Facts about a training loop as a whole, for people rather than for probes."""

from __future__ import annotations

import weakref
from collections import Counter, deque
from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from ganwatch.capture.attribution import loss_family
from ganwatch.capture.attribution.batch_origin import storage_address
from ganwatch.capture.attribution.update_attribution import OptimizerStep
from ganwatch.capture.step import Call, find_tensors

MAX_EVIDENCE = 4
"""Sampled steps that are kept as evidence of the loss."""
EVIDENCE_INTERVAL = 8
"""Sampled steps between two that replace the oldest evidence, once there is enough."""


class LoopFacts:
    """Facts about a loop.

    Attributes
    ----------
    steps : int
        Steps of all optimizers so far.
    updates : Counter of str
        Updates so far, by role.
    auxiliary_updates : Counter of str
        Updates so far that only regularise or serve a third network, by role.
    skipped_updates : Counter of str
        Updates so far that a scaler skipped, by role.
    joint_steps : int
        Steps of optimizers that trained both networks at once.
    steps_without_gradient : Counter of str
        Steps of a network's optimizer without any gradient since its last update, by role.
    lookalike_steps : Counter of str
        Steps of optimizers with parameters of the same shapes as a network's, but other ones, since its last update, by role.
    samples_without_call : Counter of str
        Latest sampled steps in a row with updates and without a call of a network, by role.
    d_phase_origins, g_phase_origins : Counter of str
        Origins of the discriminator's batches at the last sampled step, in its own phase and in the generator's.
    calls : Counter of str
        Recorded calls so far, by role.
    is_swapped : bool
        True if the network given as discriminator feeds the one given as generator.
    d_reconstructs : bool
        True if the discriminator returns its input, as an auto-encoder does.
    """

    def __init__(self) -> None:
        self.steps = self.joint_steps = 0
        self.updates: Counter[str] = Counter()
        self.auxiliary_updates: Counter[str] = Counter()
        self.skipped_updates: Counter[str] = Counter()
        self.steps_without_gradient: Counter[str] = Counter()
        self.lookalike_steps: Counter[str] = Counter()
        self.samples_without_call: Counter[str] = Counter()
        self.d_phase_origins: Counter[str] = Counter()
        self.g_phase_origins: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._calls_before: Counter[str] = Counter()
        self._d_samples = 0
        """Sampled steps with a call of D's own phase."""
        self._evidence: deque[list[Call]] = deque(maxlen=MAX_EVIDENCE)
        self.is_swapped = self.d_reconstructs = False
        self._d_outputs: list[weakref.ref[Tensor]] = []

    @property
    def has_known_fakes(self) -> bool:
        """True if some batch at the last sampled step was known to be fake."""
        return bool(self.d_phase_origins["fake"] or self.g_phase_origins["fake"])

    @property
    def needs_evidence(self) -> bool:
        """True if the next sampled step is to be kept as evidence of the loss."""
        return len(self._evidence) < MAX_EVIDENCE or self._d_samples % EVIDENCE_INTERVAL == 0

    def add_optimizer_step(self, done: OptimizerStep) -> None:
        """Add a step of an optimizer."""
        self.steps += 1
        if done.is_skipped:
            self.skipped_updates.update(done.attempted)
            return
        self.joint_steps += len(done.applied) > 1 and all(one.kind.is_main for one in done.applied)
        for one in done.applied:
            role = one.owned.role
            self.updates[role] += 1
            if not one.kind.is_main:
                self.auxiliary_updates[role] += 1
            if self.steps_without_gradient or self.lookalike_steps:
                self.steps_without_gradient[role] = self.lookalike_steps[role] = 0
        if len(done.owned) > len(done.applied):
            self.steps_without_gradient.update({one.role for one in done.owned}.difference(one.owned.role for one in done.applied))
        for role in done.similar_roles:
            self.lookalike_steps[role] += 1

    def add_generator_call(self, call: Call) -> None:
        """Add a call of the generator."""
        self.calls["g"] += 1
        # only outputs that are alive count: freed memory is used again
        d_outputs = {storage_address(output) for ref in self._d_outputs if (output := ref()) is not None}
        self.is_swapped |= any(storage_address(x) in d_outputs for x in call.inputs)

    def add_discriminator_calls(self, calls: Sequence[Call], output: Any) -> None:
        """Add a forward call of the discriminator: its records, one per origin, and its output."""
        self._d_outputs = [weakref.ref(x) for x in find_tensors(output)]
        for call in calls:
            self.d_reconstructs = call.inputs[0].shape == call.output.shape and call.output[0].numel() > 1

    def add_sampled_step(self, calls: Sequence[Call], updated: Collection[str]) -> None:
        """Add the calls of a sampled step, and the networks that were updated in it."""
        self._count_samples_without_call(updated)
        d_calls = [call for call in calls if call.network == "d"]
        d_phase = Counter(call.origin for call in d_calls if not call.in_g_phase)
        if not d_phase:
            return
        self.d_phase_origins, self.g_phase_origins = d_phase, Counter(call.origin for call in d_calls if call.in_g_phase)
        evidence = loss_family.select_evidence(d_calls) if self.needs_evidence else []
        self._d_samples += 1
        if evidence:
            self._evidence.append(evidence)

    def _count_samples_without_call(self, updated: Collection[str]) -> None:
        for role in ("g", "d"):
            if self.calls[role] > self._calls_before[role]:
                self.samples_without_call[role] = 0
            elif role in updated:
                self.samples_without_call[role] += 1
        self._calls_before = self.calls.copy()

    def loss_family(self) -> loss_family.LossFamily:
        """Infer the discriminator's loss from the latest evidence."""
        return loss_family.infer_loss_family(self._evidence)
