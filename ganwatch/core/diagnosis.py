"""Declared graph of which failure explains which, between kinds of failures, with conditions in time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from ganwatch.core.detector import Detector, FailureKind
from ganwatch.core.incidents import Incident, State

CAUSAL_WINDOW = 300
"""Steps within which onsets count as simultaneous, so that the causal order decides."""
SUDDEN_STEPS = 80
"""Steps from onset to alarm up to which a loss of diversity or quality is sudden; the window of the fastest rule."""
ONSET_TOLERANCE = 60
"""Steps by which the onset of a cause may follow the alarm of its symptom, because onsets are estimated from a window."""
EXPLAINS_LATE: Mapping[FailureKind, frozenset[FailureKind]] = {
    FailureKind.NUMERICS: frozenset({FailureKind.DATA}),
    FailureKind.BALANCE: frozenset({FailureKind.NUMERICS}),
    FailureKind.DIVERSITY: frozenset({FailureKind.NUMERICS, FailureKind.BALANCE}),
    FailureKind.QUALITY: frozenset({FailureKind.BALANCE, FailureKind.DIVERSITY}),
}
"""Edges against the causal order, from a cause to kinds that it brings about if it goes on: a generator that was lost gives samples out
of range, one that has collapsed is easy to tell from the data. Nothing brings about a fault of wiring, nor a fact."""


class CausalRank(NamedTuple):
    """Place of a detector in the causal order, and what is known of the failure as a cause; see ``Detector`` for the fields."""

    kind: int
    """``FailureKind.order``."""
    priority: int
    is_fact: bool = False
    acts_slowly: bool = False
    onset_delay: int = 0
    explains: tuple[str, ...] = ()
    explained_by: tuple[FailureKind, ...] = tuple(FailureKind)

    @classmethod
    def of(cls, detector: type[Detector] | Detector) -> CausalRank:
        """Return the place of a detector."""
        is_fact = detector.is_fact or detector.kind is FailureKind.WIRING
        return cls(
            detector.kind.order,
            detector.causal_priority,
            is_fact,
            detector.acts_slowly,
            detector.onset_delay,
            tuple(detector.explains),
            tuple(detector.explained_by),
        )

    @property
    def key(self) -> tuple[int, int]:
        """Order among causes; the smaller one explains the larger one."""
        return self.kind, self.priority


KINDS = tuple(FailureKind)


class CausalGraph:
    """Places of the detectors, and from them the causes of incidents.

    Parameters
    ----------
    window : int, steps
        Distance of onsets within which the causal order decides.

    Examples
    --------
    >>> from ganwatch.detectors.mode_collapse import ModeCollapse
    >>> from ganwatch.detectors.range_mismatch import RangeMismatch
    >>> graph = CausalGraph()
    >>> graph.add(ModeCollapse), graph.add(RangeMismatch)
    (None, None)
    >>> graph.may_explain("GW501", "GW101"), graph.may_explain("GW101", "GW501"), graph.may_explain("GW101", "GW101")
    (True, False, False)
    """

    def __init__(self, window: int = CAUSAL_WINDOW) -> None:
        self.window = window
        self.ranks: dict[str, CausalRank] = {}
        """Place of each detector that had an incident, by code."""

    def add(self, detector: type[Detector] | Detector) -> None:
        """Add a detector."""
        if detector.code not in self.ranks:
            self.ranks[detector.code] = CausalRank.of(detector)

    def may_explain(self, cause: str, symptom: str) -> bool:
        """Return True if the detector with one code explains that with the other one at simultaneous onsets."""
        return self.ranks[cause].key < self.ranks[symptom].key

    def explains(self, cause: Incident, symptom: Incident) -> bool:
        """Return True if one incident explains another one: an edge of the graph whose condition in time holds."""
        by, of = self.ranks[cause.code], self.ranks[symptom.code]
        had_ended = cause.resolved is not None and cause.resolved < symptom.onset
        if cause.code == symptom.code or had_ended or KINDS[by.kind] not in of.explained_by:
            return False
        if of.acts_slowly and self._is_sudden(cause):
            return symptom.onset >= cause.onset - ONSET_TOLERANCE
        if by.acts_slowly and self._is_sudden(symptom):
            return False
        if symptom.code in by.explains or cause.code in of.explains:
            delay = by.onset_delay if symptom.code in by.explains else -of.onset_delay
            is_first = (cause.onset - delay, cause.fired or 0) <= (symptom.onset, symptom.fired or 0)
            return is_first if symptom.code in by.explains else not self.explains(symptom, cause)
        is_same = by.key == of.key and (cause.onset, cause.code) < (symptom.onset, symptom.code)
        if self.may_explain(cause.code, symptom.code) or is_same:
            return cause.onset <= self._latest_onset(symptom, by.onset_delay)
        kinds = KINDS[by.kind], KINDS[of.kind]
        is_edge = kinds[0] is kinds[1] or kinds[1] in EXPLAINS_LATE.get(kinds[0], ())
        return is_edge and not of.is_fact and cause.onset + self.window < symptom.onset

    def _is_sudden(self, incident: Incident) -> bool:
        """Return True if the fakes were well shortly before the alarm: a loss of diversity or quality within few steps."""
        has_lost = KINDS[self.ranks[incident.code].kind] in {FailureKind.DIVERSITY, FailureKind.QUALITY}
        return has_lost and incident.fired is not None and incident.fired - incident.onset <= SUDDEN_STEPS

    def _latest_onset(self, symptom: Incident, delay: int) -> int:
        """Return the latest onset of a cause of this symptom."""
        if symptom.fired is None:
            return symptom.onset + self.window
        return max(symptom.onset, min(symptom.onset + self.window, symptom.fired + ONSET_TOLERANCE + delay))  # steps may go back

    def find_roots(self, incidents: Collection[Incident]) -> Iterator[tuple[Incident, str | None]]:
        """Yield each incident with the id of the root of its causes, None if it is a root itself."""
        causes = {symptom.id: self._best_cause(incidents, symptom) for symptom in incidents}
        for incident in incidents:
            chain = [incident]
            while (cause := causes[chain[-1].id]) is not None and cause not in chain:
                chain.append(cause)
            circle = [] if cause is None else chain[chain.index(cause) :]  # each of which would explain the next one
            root = min(circle, key=self._causal_key, default=chain[-1])
            yield incident, None if root is incident else root.id

    def _best_cause(self, incidents: Iterable[Incident], symptom: Incident) -> Incident | None:
        return min((cause for cause in incidents if self.explains(cause, symptom)), key=self._causal_key, default=None)

    def _causal_key(self, incident: Incident) -> tuple[int, int, int, str]:
        return (*self.ranks[incident.code].key, incident.onset, incident.id)

    def is_waiting(self, symptom: Incident, active: Iterable[Incident]) -> bool:
        """Return True if an incident that is pending would explain this one."""
        return any(other.state is State.PENDING and self.may_explain(other.code, symptom.code) for other in active)
