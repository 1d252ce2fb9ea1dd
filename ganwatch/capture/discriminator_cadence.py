"""Adapts the sampled steps to a discriminator that is updated less often than the generator."""

from __future__ import annotations

from ganwatch.capture.step import Step

MAX_CADENCE = 20
"""Longest cadence of the default probes, in steps."""
MAX_LEAD = 4
"""Most steps before a sampled one whose calls are recorded too."""
MAX_SAMPLES_WITHOUT_UPDATE = 6
"""Sampled steps in a row without an update of the discriminator, though it is updated in between, after which other steps are sampled."""
MAX_CALL_AGE = 20
"""Most steps for which a discriminator's calls stay in the record, if the steps that follow have none."""


class DiscriminatorCadence:
    """Tracks in which steps the discriminator is called and updated.

    Attributes
    ----------
    lead : int
        Number of steps before each sampled one whose calls are recorded too, because the discriminator is not called in every step.
    shift : int
        Number of steps by which sampled steps precede the multiples of the cadences.
    """

    def __init__(self) -> None:
        self.lead = self.shift = 0
        self._steps_without_call = self._max_steps_without_call = 0
        self._samples_without_update = 0
        self._last_update = 0

    def add_step(self, step: Step, *, has_call: bool | None, samples_updates: bool) -> None:
        """Add a finished step.

        Parameters
        ----------
        step : Step
        has_call : bool or None
            True if the discriminator was called in its own phase; None if calls were not recorded.
        samples_updates : bool
            True if some probe sampled updates.
        """
        if has_call:
            self._max_steps_without_call = max(self._max_steps_without_call, self._steps_without_call)
            self._steps_without_call = 0
            self.lead = self._max_steps_without_call if self._max_steps_without_call <= MAX_LEAD else 0
        elif has_call is not None:
            self._steps_without_call = min(self._steps_without_call + 1, MAX_CALL_AGE)
        is_updated = step.counts["updates_performed/d"] > 0
        if is_updated:
            self._last_update = step.index
        if samples_updates:
            self._samples_without_update = 0 if is_updated else self._samples_without_update + 1
        if self._samples_without_update >= MAX_SAMPLES_WITHOUT_UPDATE and self._last_update > 0:
            self.shift = -self._last_update % MAX_CADENCE  # so that this update was at a multiple of all default cadences
            self._samples_without_update = 0
