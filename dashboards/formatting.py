"""Formats numbers, durations and states, the same on every screen."""

from __future__ import annotations

import math
from typing import Literal

import streamlit as st

from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.incidents import Incident, State
from ganwatch.core.signals import find_signal

from .escaping import MAX_NAME, escape_name, plain_text

Colour = Literal["red", "orange", "blue", "green", "gray"]
STATES: dict[str, Colour] = {"running": "blue", "finished": "green", "failed": "red", "stopped": "gray", "silent": "orange"}
SEVERITIES = {Severity.PAGE: "wakes someone", Severity.TICKET: "for the queue"}
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_number(value: float | None, unit: str = "") -> str:
    """Format a value with four significant digits.

    >>> [format_number(value) for value in (0.00012346, 12345.6, float("nan"), None)]
    ['0.0001235', '12,346', 'NaN', '-']
    >>> format_number(3 * 2**20, "bytes"), format_number(0.5, "seconds")
    ('3.0 MiB', '0.5 s')
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if unit == "bytes":
        power = min(int(math.log2(max(abs(value), 1)) // 10), len(_BINARY_UNITS) - 1)
        return f"{value / 1024**power:.1f} {_BINARY_UNITS[power]}"
    whole = value == 0 or 10_000 <= abs(value) < 10_000_000  # four digits, but no exponent before ten millions
    text = f"{value:,.0f}" if whole else f"{value:.4g}"
    return f"{text} s" if unit == "seconds" else text


def format_duration(seconds: float) -> str:
    """Format a duration in its largest unit.

    >>> format_duration(0.4), format_duration(75), format_duration(7200), format_duration(200_000)
    ('0 s', '1 min', '2 h', '2 d')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def format_comparison(verdict: Verdict) -> str:
    """Format a value and its threshold.

    >>> format_comparison(Verdict(0.08, 0.35, "vendi_ratio", 100, "real data", "Few modes."))
    'vendi_ratio 0.08, below 0.35'
    """
    unit = signal.unit if (signal := find_signal(verdict.signal)) else ""
    if not math.isfinite(verdict.value):
        return f"{verdict.signal} {format_number(verdict.value)}"
    side = "below" if verdict.value < verdict.threshold else "above" if verdict.value > verdict.threshold else "at"
    return f"{verdict.signal} {format_number(verdict.value, unit)}, {side} {format_number(verdict.threshold, unit)}"


def incident_state_text(incident: Incident, *, ended: bool) -> str:
    """Return the state of an incident, with "open at the end" if it was open when its run ended.

    >>> late = Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 20, 30)
    >>> incident_state_text(late, ended=False), incident_state_text(late, ended=True)
    ('open', 'open at the end')
    """
    if getattr(incident, "superseded", False):
        return "superseded"
    return {"firing": "open at the end" if ended else "open"}.get(str(incident.state), str(incident.state))


def open_count_text(count: int, *, ended: bool) -> str:
    """Return the number of open incidents as a text.

    >>> open_count_text(2, ended=False), open_count_text(1, ended=True), open_count_text(0, ended=True)
    ('2 open', '1 open at the end', 'none open')
    """
    return f"{count or 'none'} open{' at the end' * bool(ended and count)}"


def severity_colour(severity: Severity) -> Colour:
    """Return red for a page and orange for a ticket."""
    return "red" if severity is Severity.PAGE else "orange"


def incident_name(incident: Incident) -> str:
    """Return code and title, which always stand together, as plain text.

    >>> incident_name(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 20, 30))
    'GW101 mode collapse'
    """
    return plain_text(f"{incident.code} {incident.title}", MAX_NAME)


def show_badge(label: str, colour: Colour) -> None:
    """Draw a label on a coloured ground. ``st.badge`` would escape brackets a second time."""
    st.markdown(f":{colour}-badge[{escape_name(label)}]", width="content")


def show_state_badge(state: str, *, silent: bool = False) -> None:
    """Draw the state of a run."""
    label = "silent" if silent else state
    show_badge(label, STATES.get(label, "gray"))


def show_incident_badges(incident: Incident, *, ended: bool) -> None:
    """Draw severity and state of an incident, in grey if nobody can act on it any more."""
    is_open = incident.state is State.FIRING and not (ended or getattr(incident, "superseded", False))
    show_badge(SEVERITIES[incident.severity], severity_colour(incident.severity) if is_open else "gray")
    colour: Colour = "red" if is_open else "green" if incident.state is State.RESOLVED else "gray"
    show_badge(incident_state_text(incident, ended=ended), colour)
