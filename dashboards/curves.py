"""The debug screen: every signal through time, incidents marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import streamlit as st

from ganwatch.core.signals import Signal, catalogue, family
from ganwatch.store import queries
from ganwatch.store.database import Store

from .charts import WIDE, Curve, Span, curve_chart, spans, wants_log
from .state import choose_run, link, live_run, open_shown_store, run_header
from .words import literal, number

POINTS = 400
"""Points of a curve; a longer one shows the smallest and largest value of each stretch."""
FIRST = ("losses", "gradients", "discriminator", "diversity", "quality")
LAYERS, LOGGED, OTHER = "layers", "logged", "other"
WHERE_MEASURED = {LOGGED, "evaluation", "conditioning", "groups", "measures", "drift"}
"""Shown at first too, where a run has them."""
MOST_LABELS = 3
"""Last values that fit beside a title."""
WINDOWS = {"All": None, "Last 1,000": 1_000, "Last 200": 200}


def page() -> None:
    """Curves of the chosen run."""
    record = choose_run()
    if record is None:
        return
    live_run(_header, record)
    measured = {_group(name) for name in queries.series_names(open_shown_store(), record.id)}
    offered = [group for group in _groups() if group in measured or group in FIRST]
    at_first = [group for group in offered if group in {*FIRST, *WHERE_MEASURED}]
    chosen = st.pills("Signals", offered, selection_mode="multi", default=at_first, format_func=str.capitalize, key="curves_groups")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        window = st.segmented_control("Steps", list(WINDOWS), default="All", required=True, key="curves_steps")
        meaning = f"Logarithmic where a positive signal covers more than a factor of {WIDE:.0f}."
        log = st.toggle("Log scales", value=True, key="curves_log", help=meaning)
    live_run(_body, record, tuple(chosen), WINDOWS[window or "All"], log)


def _header(record: queries.RunRecord) -> None:
    run_header(record)
    for incident in queries.incidents(open_shown_store(), record.id, open_only=True):
        if incident.cause is None:
            label = f":red[**{incident.code} {incident.title}**] since step {incident.onset:,}"
            link("incidents", label, run=record.id, incident=incident.id)


def _groups() -> list[str]:
    """Headings, the most asked for first."""
    known = dict.fromkeys(signal.group for signal in catalogue().values() if signal.group != LAYERS)
    return [*FIRST, *(group for group in known if group not in FIRST), OTHER]


def _body(record: queries.RunRecord, groups: Sequence[str], window: int | None, log: bool) -> None:
    store, run = open_shown_store(), record.id
    if record.last_step is None:
        st.info("No step was recorded yet. Curves appear with the first ones.", icon=":material/hourglass_empty:")
        return
    steps = (max(1, record.last_step - window + 1) if window else 1, max(record.last_step, 2))
    marked = spans(queries.incidents(store, run))
    families: dict[str, list[str]] = defaultdict(list)
    for name in queries.series_names(store, run):
        of = name.partition("/")[0]
        families[name if of == LOGGED else of].append(name)  # what a loop logs has a scale of its own
    order = [*catalogue(), *families]
    for group in _groups():
        shown = sorted((name for name in families if _group(name) == group), key=order.index)
        if group not in groups or not shown:
            continue
        st.subheader(group.capitalize(), anchor=False)
        for start in range(0, len(shown), 2):
            for column, name in zip(st.columns(min(2, len(shown)), gap="medium"), shown[start : start + 2], strict=False):
                with column:
                    curves = {series.partition("/")[2]: _read(store, run, series, steps) for series in families[name]}
                    _draw(family(name), name, curves, steps, marked, log=log)
    layers = [name for name in families if _group(name) == LAYERS]
    if layers:
        with st.expander("Layer by layer"):
            for name in layers:
                _layers(store, run, families[name], steps, marked, log=log)


def _layers(
    store: Store, run: str, series: Sequence[str], steps: tuple[int, int], marked: Sequence[Span], *, log: bool
) -> None:
    """One chart a network, as layers are many."""
    networks: dict[str, list[str]] = defaultdict(list)
    for one in series:
        networks[one.partition("/")[2].partition(".")[0]].append(one)
    for column, (network, members) in zip(st.columns(max(2, len(networks)), gap="medium"), networks.items(), strict=False):
        with column:
            curves = {one.partition("/")[2].removeprefix(f"{network}."): _read(store, run, one, steps) for one in members}
            name = f"{series[0].partition('/')[0]}/{network}"
            _draw(family(name), name, curves, steps, marked, log=log)


def _read(store: Store, run: str, series: str, steps: tuple[int, int]) -> Curve:
    return queries.series(store, run, series, start=steps[0], end=steps[1], max_points=POINTS)


def _draw(
    signal: Signal | None, name: str, curves: Mapping[str, Curve], steps: tuple[int, int], marked: Sequence[Span], *, log: bool
) -> None:
    present = {label: curve for label, curve in curves.items() if len(curve[0])}
    last = [f"{label} {number(float(values[-1]), signal.unit if signal else '')}".strip() for label, (_, values) in present.items()]
    now = f" :small[:gray[now {literal(', '.join(last))}]]" if 0 < len(last) <= MOST_LABELS else ""
    st.markdown(f"**{literal(name)}**{now}", help=signal.help if signal else None)
    if not present:
        st.caption("Not measured in these steps.")
        return
    scaled = log and wants_log(signal, present)
    chart = curve_chart(present, marked, steps=steps, log=scaled, unit=signal.unit if signal else "")
    st.vega_lite_chart(chart.data, chart.spec, width="stretch", theme=None)


def _group(name: str) -> str:
    signal = family(name)
    return signal.group if signal else OTHER
