"""Curves with marked incidents, as Vega-Lite specifications. Needs no running screen.

The charts are drawn again every few seconds. Altair would build the same ones, but takes several times as long, because it checks every
chart against its schema.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ganwatch.core.detector import Severity
from ganwatch.core.signals import Signal
from ganwatch.store.queries import IncidentRecord

from .escaping import MAX_NAME, plain_text

Curve = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
COLOURS = {"g": "#2b6cb0", "fake": "#2b6cb0", "d": "#dd7a1f", "real": "#2f8f6b"}
OTHER_COLOURS = ("#2b6cb0", "#dd7a1f", "#2f8f6b", "#8a5fb0", "#b0485c", "#5f6f7f", "#b39321", "#3aa0b8", "#7a9a2e", "#a3683f")
SEVERITIES = {Severity.PAGE: "#c53030", Severity.TICKET: "#b7791f"}
HEIGHT = 210
PADDING = {"left": 0, "top": 2, "right": 4, "bottom": 2}
CONFIG = {
    "font": "Source Sans, sans-serif",
    "view": {"stroke": None},
    "axis": {"labelColor": "#52606d", "labelFontSize": 11, "gridColor": "#f1f4f7", "domainColor": "#cbd3db", "tickColor": "#cbd3db",
             "titleColor": "#52606d", "titleFontSize": 11, "titleFontWeight": "normal", "titlePadding": 4},
    "legend": {"labelColor": "#1f2933"},
}
NAME_WIDTH = 190
"""Width of an incident's name, in pixels. A longer one is cut off."""
UNNAMED_UNITS = {"", "value"}
"""Units that add nothing to the name of the signal."""
STEP_TITLE = "step"
"""Title of the horizontal axis. It is displayed only if every layer has the same one."""
MAX_DOTTED_READINGS = 12
"""Number of readings up to which each one of a curve is drawn as a dot, because one reading makes no line."""
LOG_SCALE_RATIO = 30.0
"""Ratio of the largest to the smallest value beyond which the scale is logarithmic."""


class Chart(NamedTuple):
    """Arguments of ``st.vega_lite_chart``: readings in columns ``step``, ``value``, ``series``, and a specification."""

    data: pd.DataFrame
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """An incident on the step axis. ``end`` is None if it is not resolved."""

    code: str
    title: str
    start: int
    end: int | None
    colour: str


def incident_spans(incidents: Sequence[IncidentRecord]) -> list[Span]:
    """Return the spans of incidents from onset to resolution, without those that a later attempt superseded."""
    return [
        Span(plain_text(one.code, MAX_NAME), plain_text(one.title, MAX_NAME), one.onset, one.resolved, SEVERITIES[one.severity])
        for one in incidents
        if not one.superseded
    ]


def needs_log_scale(signal: Signal | None, curves: Mapping[str, Curve]) -> bool:
    """Return True if a logarithmic scale reads better: a positive quantity covers more than a factor of 30."""
    if signal is not None and (signal.low < 0 or signal.high <= 1):
        return False
    values = np.concatenate([values[np.isfinite(values)] for _, values in curves.values()] or [np.empty(0)])
    return bool(values.size and values.min() > 0 and values.max() > LOG_SCALE_RATIO * values.min())


def curve_chart(
    curves: Mapping[str, Curve],
    marked: Sequence[Span] = (),
    *,
    steps: tuple[int, int],
    log: bool = False,
    height: int = HEIGHT,
    threshold: float | None = None,
    unit: str = "",
) -> Chart:
    """Build the chart of one family of signals.

    Parameters
    ----------
    curves : mapping of str to (steps, values)
        Curves by label. The label is empty for a family without labels.
    marked : sequence of Span
        Incidents to mark.
    steps : (int, int)
        First and last step of the axis.
    log : bool
        True for a logarithmic value axis.
    height : int, pixels
    threshold : float or None
        Value of a horizontal line.
    unit : str
        Title of the value axis if it adds something. ``bytes`` are written with the letter of a power of ten.

    Returns
    -------
    Chart
        Non-finite readings are ticks at the upper edge, because they have no height.
    """
    frame = pd.DataFrame({
        "step": np.concatenate([at for at, _ in curves.values()]),
        "value": np.concatenate([values for _, values in curves.values()]),
        "series": np.repeat(list(curves), [len(at) for at, _ in curves.values()]),
    })
    is_finite = np.isfinite(frame["value"])
    finite, nonfinite = frame[is_finite], frame[~is_finite]
    labels = list(curves)
    x_axis = {"format": ",d", "tickCount": 6, "grid": False}
    x = _field("step", title=STEP_TITLE, scale={"domain": list(steps), "nice": False, "clamp": True}, axis=x_axis)
    scale = {"type": "log" if log else "linear", "zero": False}
    title = None if unit in UNNAMED_UNITS else unit
    y = _field("value", title=title, scale=scale, axis=_value_axis(finite["value"], log=log, unit=unit))
    colours = [COLOURS.get(label, OTHER_COLOURS[place % len(OTHER_COLOURS)]) for place, label in enumerate(labels)]
    legend = {"orient": "top", "title": None, "symbolType": "stroke", "symbolStrokeWidth": 2.5, "offset": 4, "padding": 0}
    named = labels != [""]
    colour = {"field": "series", "type": "nominal", "scale": {"domain": labels, "range": colours}, "legend": legend if named else None}
    tips = [_tooltip("step", ",d"), _tooltip("value", ".4g"), *([_tooltip("series")] if named else [])]
    line = {"type": "line", "strokeWidth": 1.6, "clip": True, "point": len(finite) <= MAX_DOTTED_READINGS * len(labels) and {"size": 22}}
    layers = [
        *_incident_layers(marked, steps),
        {"mark": line, "encoding": {"x": x, "y": y, "color": colour}},
        {"mark": {"type": "point", "size": 60, "opacity": 0}, "encoding": {"x": x, "y": y, "tooltip": tips}},
    ]
    if len(nonfinite):
        readings = zip(nonfinite["step"].tolist(), nonfinite["value"].tolist(), nonfinite["series"].tolist(), strict=True)
        rows = [{"step": step, "reading": str(value), "series": series} for step, value, series in readings]
        tick = {"type": "tick", "orient": "vertical", "color": "#c53030", "thickness": 2, "size": 6}
        layers.append(_layer(rows, tick, x=x, y={"value": 3}, tooltip=[_tooltip("step", ",d"), _tooltip("reading"), *tips[2:]]))
    if threshold is not None and math.isfinite(threshold) and (not log or threshold > 0):
        rule = {"type": "rule", "strokeDash": [5, 4], "color": "#52606d"}
        layers.append(_layer([{"threshold": threshold}], rule, y=_field("threshold", title=title), tooltip=[_tooltip("threshold", ".4g")]))
    spec = {"layer": layers, "height": height, "padding": PADDING, "background": "transparent", "config": CONFIG}
    return Chart(finite.reset_index(drop=True), spec)


def _value_axis(values: pd.Series[float], *, log: bool, unit: str) -> dict[str, Any]:
    """Return an axis with about five values, or powers of ten on a logarithmic scale."""
    if not log:
        return {"tickCount": 5, "format": ".3~s" if unit == "bytes" else ".4~g"}
    low, high = (math.floor(math.log10(bound)) for bound in (values.min(), values.max()))
    stride = 1 + (high + 1 - low) // 6
    return {"values": [10.0**power for power in range(low, high + 2, stride)], "format": ".4~g"}


def _incident_layers(marked: Sequence[Span], steps: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the layers of each incident: a band from onset to resolution, a line at the onset, and its name, one below the other."""
    first, last = steps
    layers: list[dict[str, Any]] = []
    visible = [span for span in marked if span.start <= last and (span.end is None or span.end >= first)]
    for place, span in enumerate(visible):
        row = {
            "from": max(span.start, first),
            "to": last if span.end is None else min(span.end, last),
            "code": span.code,
            "incident": f"{span.code} {span.title}",
            "onset": span.start,
            "until": "the end" if span.end is None else f"step {span.end:,}",
        }
        start, tips = _field("from", title=STEP_TITLE), [_tooltip("incident"), _tooltip("onset", ",d"), _tooltip("until")]
        side = {"align": "right", "dx": -3} if span.start > (first + last) / 2 else {"align": "left", "dx": 3}
        text = {"type": "text", "baseline": "top", "limit": NAME_WIDTH, "fontSize": 10, "fontWeight": 600, "color": span.colour} | side
        layers += [
            _layer([row], {"type": "rect", "opacity": 0.08, "color": span.colour}, x=start, x2={"field": "to"}, tooltip=tips),
            _layer([row], {"type": "rule", "strokeWidth": 1.5, "opacity": 0.8, "color": span.colour}, x=start, tooltip=tips),
            _layer([row], text, x=start, y={"value": 8 + 11 * place}, text={"field": "incident"}, tooltip=tips),
        ]
    return layers


def _layer(rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
    """Return a layer with its own data."""
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


def _field(name: str, **options: Any) -> dict[str, Any]:
    return {"field": name, "type": "quantitative", "title": None} | options


def _tooltip(name: str, form: str | None = None) -> dict[str, Any]:
    return {"field": name, "type": "quantitative", "format": form} if form else {"field": name, "type": "nominal"}
