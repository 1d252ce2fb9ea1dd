"""Runs a case and compares the incidents with what it must show."""

from __future__ import annotations

from dataclasses import dataclass

from ganwatch.core.discovery import discover
from ganwatch.core.incidents import Incident
from wiring import cases
from wiring.loops import Loop


@dataclass(frozen=True)
class Result:
    """Verdict on one training of a case.

    Attributes
    ----------
    delay : int or None
        Steps from the start of the case to the alarm that was asked for; None if there was none in time.
    is_root : bool
        True if the incident that was asked for is the root of all others that fired.
    wrong : tuple of str
        Ids of incidents that had to stay silent.
    text : str
        All incidents, short.
    """

    delay: int | None
    is_root: bool
    wrong: tuple[str, ...]
    text: str

    @property
    def is_right(self) -> bool:
        """True if the case showed what it must."""
        return self.is_root and not self.wrong


def find_cases() -> dict[str, type[Loop]]:
    """Return every case by name."""
    return {cls.__name__: cls for cls in discover(cases, Loop) if not cls.__name__.startswith("_")}


def judge(case: type[Loop], world: str, seed: int) -> Result:
    """Train a case and judge what was found."""
    incidents = [incident for incident in case(world, seed).run().incidents.values() if incident.fired is not None]
    text = ", ".join(map(describe, incidents)) or "nothing"
    wanted = [incident for incident in incidents if incident.code == case.code]
    if case.code is None:
        wrong = tuple(one.id for one in incidents if not case.silent or one.code in case.silent)
        return Result(None, is_root=True, wrong=wrong, text=text)
    early = tuple(one.id for one in incidents if one.onset < case.start - 20)
    delay = wanted[0].fired - case.start if wanted and wanted[0].fired is not None else None
    is_root = delay is not None and delay <= case.within and all(one.cause == wanted[0].id for one in incidents if one is not wanted[0])
    return Result(delay, is_root, early, text)


def describe(incident: Incident) -> str:
    """Describe an incident: id, step of the alarm, onset, cause.

    >>> from ganwatch.core.incidents import State
    >>> from ganwatch.core.detector import Severity
    >>> describe(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 5, 9, fired=9))
    'GW101-1 at 9 since 5'
    """
    return f"{incident.id} at {incident.fired} since {incident.onset}" + (f" by {incident.cause}" if incident.cause else "")
