"""Curves with incidents marked on them, as Altair charts. Needs no running screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import numpy.typing as npt
import pandas as pd

from ganwatch.contracts import Severity
from ganwatch.signals import Signal
from ganwatch.store.queries import IncidentRecord

Curve = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
COLOURS = {"g": "#2b6cb0", "fake": "#2b6cb0", "d": "#dd7a1f", "real": "#2f8f6b"}
OTHERS = ("#2b6cb0", "#dd7a1f", "#2f8f6b", "#8a5fb0", "#b0485c", "#5f6f7f", "#b39321", "#3aa0b8", "#7a9a2e", "#a3683f")
SEVERITIES = {Severity.PAGE: "#c53030", Severity.TICKET: "#b7791f"}
HEIGHT = 210
WIDE = 30.0
"""Ratio of the largest to the smallest value from which a logarithmic scale reads better."""


@dataclass(frozen=True, slots=True)
class Span:
    """An incident on the step axis; ``end`` is None while it is open."""

    code: str
    title: str
    start: int
    end: int | None
    colour: str


def spans(incidents: Sequence[IncidentRecord]) -> list[Span]:
    """Where incidents lie, from onset to resolution; what a later attempt superseded is left out."""
    return [
        Span(one.code, one.title, one.onset, one.resolved, SEVERITIES[one.severity]) for one in incidents if not one.superseded
    ]


def wants_log(signal: Signal | None, curves: Mapping[str, Curve]) -> bool:
    """Whether a logarithmic scale reads better: a positive quantity that covers more than a factor of 30."""
    if signal is not None and (signal.low < 0 or signal.high <= 1):
        return False
    values = np.concatenate([values[np.isfinite(values)] for _, values in curves.values()] or [np.empty(0)])
    return bool(values.size and values.min() > 0 and values.max() > WIDE * values.min())


def curve_chart(
    curves: Mapping[str, Curve],
    marked: Sequence[Span] = (),
    *,
    steps: tuple[int, int],
    log: bool = False,
    height: int = HEIGHT,
    threshold: float | None = None,
    unit: str = "",
) -> alt.LayerChart:
    """The curves of one family of signals.

    Parameters
    ----------
    curves : mapping of str to (steps, values)
        By label; the empty label stands for a family without one.
    marked : sequence of Span
        Incidents.
    steps : (int, int)
        First and last step of the axis.
    log : bool
        Logarithmic value axis.
    height : int, pixels
    threshold : float or None
        A horizontal line.
    unit : str
        ``bytes`` are written with a power of ten as a letter.

    Returns
    -------
    altair.LayerChart
        Non-finite readings are ticks at the upper edge, as they have no height.
    """
    frame = pd.concat([pd.DataFrame({"step": at, "value": values, "series": label}) for label, (at, values) in curves.items()])
    finite = frame[np.isfinite(frame["value"])]
    labels = list(curves)
    colours = [COLOURS.get(label, OTHERS[place % len(OTHERS)]) for place, label in enumerate(labels)]
    legend = alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=2.5, offset=4, padding=0)
    colour = alt.Color("series:N", scale=alt.Scale(domain=labels, range=colours), legend=legend if labels != [""] else None)
    across = alt.Axis(format=",d", tickCount=6, grid=False)
    x = alt.X("step:Q", scale=alt.Scale(domain=list(steps), nice=False, clamp=True), title=None, axis=across)
    up = alt.Scale(type="log" if log else "linear", zero=False)
    y = alt.Y("value:Q", scale=up, title=None, axis=_value_axis(finite["value"], log=log, unit=unit))
    at, who = alt.Tooltip("step:Q", format=",d"), [alt.Tooltip("series:N")] * (labels != [""])
    tips = [at, alt.Tooltip("value:Q", format=".4g"), *who]
    layers: list[alt.Chart] = _marks(marked, steps)
    layers.append(alt.Chart(finite).mark_line(strokeWidth=1.6, clip=True).encode(x=x, y=y, color=colour))
    layers.append(alt.Chart(finite).mark_point(size=60, opacity=0).encode(x=x, y=y, tooltip=tips))
    broken = frame[~np.isfinite(frame["value"])].assign(text=lambda rows: rows["value"].astype(str))
    if len(broken):
        tip = [at, alt.Tooltip("text:N", title="value"), *who]
        layers.append(alt.Chart(broken).mark_tick(color="#c53030", thickness=2, size=6).encode(x=x, y=alt.value(3), tooltip=tip))
    if threshold is not None and np.isfinite(threshold) and (not log or threshold > 0):
        bound = pd.DataFrame({"value": [threshold]})
        tip = [alt.Tooltip("value:Q", title="threshold", format=".4g")]
        layers.append(alt.Chart(bound).mark_rule(strokeDash=[5, 4], color="#52606d").encode(y=y, tooltip=tip))
    axes = {"labelColor": "#52606d", "labelFontSize": 11, "gridColor": "#e8ecf0", "domainColor": "#cbd3db", "tickColor": "#cbd3db"}
    config = {"font": "Source Sans, sans-serif", "view": {"stroke": None}, "axis": axes, "legend": {"labelColor": "#1f2933"}}
    padding = {"left": 0, "top": 2, "right": 4, "bottom": 2}
    return alt.LayerChart(layer=layers, height=height, padding=padding, background="transparent", config=config)


def _value_axis(values: pd.Series[float], *, log: bool, unit: str) -> alt.Axis:
    """About five values; powers of ten on a logarithmic scale."""
    if not log:
        return alt.Axis(tickCount=5, format=".3~s" if unit == "bytes" else ".4~g")
    low, high = (math.floor(math.log10(bound)) for bound in (values.min(), values.max()))
    stride = 1 + (high + 1 - low) // 6
    return alt.Axis(values=[10.0**power for power in range(low, high + 2, stride)], format=".4~g")


def _marks(marked: Sequence[Span], steps: tuple[int, int]) -> list[alt.Chart]:
    """For each incident a band from onset to resolution, a line at the onset, and its code, one below the other."""
    first, last = steps
    layers: list[alt.Chart] = []
    shown = [span for span in marked if span.start <= last and (span.end is None or span.end >= first)]
    for place, span in enumerate(shown):
        row = {
            "from": max(span.start, first),
            "to": last if span.end is None else min(span.end, last),
            "code": span.code,
            "incident": f"{span.code} {span.title}",
            "onset": span.start,
            "until": "open" if span.end is None else f"step {span.end:,}",
        }
        tips = [alt.Tooltip("incident:N"), alt.Tooltip("onset:Q", format=",d"), alt.Tooltip("until:N")]
        base = alt.Chart(pd.DataFrame([row])).encode(x=alt.X("from:Q"), tooltip=tips)
        code = base.mark_text(align="left", baseline="top", dx=3, fontSize=10, fontWeight=600, color=span.colour)
        layers += [
            base.mark_rect(opacity=0.08, color=span.colour).encode(x2="to:Q"),
            base.mark_rule(strokeWidth=1.5, opacity=0.8, color=span.colour),
            code.encode(y=alt.value(8 + 11 * place), text="code:N"),
        ]
    return layers
