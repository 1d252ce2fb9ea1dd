"""Numbers, ages and states in words, the same on every screen."""

from __future__ import annotations

import math
import re
from typing import Literal

import streamlit as st

from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.incidents import Incident, State
from ganwatch.core.signals import family

Colour = Literal["red", "orange", "blue", "green", "gray"]
STATES: dict[str, Colour] = {"running": "blue", "finished": "green", "failed": "red", "stopped": "gray", "silent": "orange"}
SEVERITIES = {Severity.PAGE: "wakes someone", Severity.TICKET: "for the queue"}
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float | None, unit: str = "") -> str:
    """A value with four significant digits.

    >>> number(0.00012346), number(12345.6), number(float("nan")), number(3 * 2**20, "bytes"), number(0.5, "seconds"), number(None)
    ('0.0001235', '12,346', 'NaN', '3.0 MiB', '0.5 s', '-')
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if unit == "bytes":
        power = min(int(math.log2(max(abs(value), 1)) // 10), len(_BINARY) - 1)
        return f"{value / 1024**power:.1f} {_BINARY[power]}"
    whole = value == 0 or 10_000 <= abs(value) < 10_000_000  # four digits, but no exponent before ten millions
    text = f"{value:,.0f}" if whole else f"{value:.4g}"
    return f"{text} s" if unit == "seconds" else text


def literal(text: object) -> str:
    r"""A text in which Markdown changes nothing.

    >>> print(literal("g_lr*2"))
    g\_lr\*2
    """
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|$:<>~])", r"\\\1", str(text))


def age(seconds: float) -> str:
    """A duration in its largest unit.

    >>> age(0.4), age(75), age(7200), age(200_000)
    ('0 s', '1 min', '2 h', '2 d')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def comparison(verdict: Verdict) -> str:
    """A value against its threshold.

    >>> comparison(Verdict(0.08, 0.35, "vendi_ratio", 100, "real data", "Few kinds."))
    'vendi_ratio 0.08, below 0.35'
    """
    unit = signal.unit if (signal := family(verdict.signal)) else ""
    if not math.isfinite(verdict.value):
        return f"{verdict.signal} {number(verdict.value)}"
    side = "below" if verdict.value < verdict.threshold else "above" if verdict.value > verdict.threshold else "at"
    return f"{verdict.signal} {number(verdict.value, unit)}, {side} {number(verdict.threshold, unit)}"


def incident_state(incident: Incident, *, ended: bool) -> str:
    """Whether an incident is open, or was when its run ended.

    >>> late = Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 20, 30)
    >>> incident_state(late, ended=False), incident_state(late, ended=True)
    ('open', 'open at the end')
    """
    if getattr(incident, "superseded", False):
        return "superseded"
    return {"firing": "open at the end" if ended else "open"}.get(str(incident.state), str(incident.state))


def open_count(count: int, *, ended: bool) -> str:
    """How many incidents are open.

    >>> open_count(2, ended=False), open_count(1, ended=True), open_count(0, ended=True)
    ('2 open', '1 open at the end', 'none open')
    """
    return f"{count or 'none'} open{' at the end' * bool(ended and count)}"


def severity_colour(severity: Severity) -> Colour:
    """Red wakes somebody, orange waits."""
    return "red" if severity is Severity.PAGE else "orange"


def state_badge(state: str, *, silent: bool = False) -> None:
    """State of a run."""
    shown = "silent" if silent else state
    st.badge(shown, color=STATES.get(shown, "gray"))


def incident_badges(incident: Incident, *, ended: bool) -> None:
    """Severity and state of an incident; grey once nobody can act on it any more."""
    is_open = incident.state is State.FIRING and not (ended or getattr(incident, "superseded", False))
    st.badge(SEVERITIES[incident.severity], color=severity_colour(incident.severity) if is_open else "gray")
    colour: Colour = "red" if is_open else "green" if incident.state is State.RESOLVED else "gray"
    st.badge(incident_state(incident, ended=ended), color=colour)
