"""Screen of curves: every signal over the steps, with marked incidents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import streamlit as st

from ganwatch.core.signals import Signal, catalogue, find_signal
from ganwatch.store import queries
from ganwatch.store.database import Store

from .charts import LOG_SCALE_RATIO, Curve, Span, curve_chart, incident_spans, needs_log_scale
from .current_store import open_current_store
from .escaping import MAX_NAME, escape_markdown, escape_name, plain_text
from .formatting import format_number, incident_name
from .links import show_link
from .refresh import draw_while_active
from .run_selection import select_run, show_run_header

MAX_POINTS = 400
"""Number of points per curve. A longer curve shows the smallest and largest value of each section."""
MAIN_GROUPS = ("losses", "gradients", "discriminator", "diversity", "quality")
LAYERS, LOGGED, OTHER = "layers", "logged", "other"
SELECTED_IF_MEASURED = {LOGGED, "online", "evaluation", "conditioning", "groups", "measures", "drift"}
"""Further groups that are selected at first if the run has them."""
MAX_LABELS = 3
"""Number of last values that fit beside a title."""
WINDOWS = {"All": None, "Last 1,000": 1_000, "Last 200": 200}


def page() -> None:
    """Draw the curves of the selected run."""
    record = select_run()
    if record is None:
        return
    draw_while_active(_header, record)
    measured = {_group(name) for name in queries.series_names(open_current_store(), record.id)}
    offered = [group for group in _groups() if group in measured or group in MAIN_GROUPS]
    at_first = [group for group in offered if group in {*MAIN_GROUPS, *SELECTED_IF_MEASURED}]
    chosen = st.pills("Signals", offered, selection_mode="multi", default=at_first, format_func=_heading, key="curves_groups")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        window = st.segmented_control("Steps", list(WINDOWS), default="All", required=True, key="curves_steps")
        meaning = f"Logarithmic if a positive signal covers more than a factor of {LOG_SCALE_RATIO:.0f}."
        log = st.toggle("Log scales", value=True, key="curves_log", help=meaning)
    draw_while_active(_body, record, tuple(chosen), WINDOWS[window or "All"], log)


def _header(record: queries.RunRecord) -> None:
    show_run_header(record)
    for incident in queries.incidents(open_current_store(), record.id, open_only=True):
        if incident.cause is None:
            label = f":red[**{escape_name(incident_name(incident))}**] since step {incident.onset:,}"
            show_link("incidents", label, run=record.id, incident=incident.id)


def _heading(group: str) -> str:
    return escape_name(group.capitalize())


def _groups() -> list[str]:
    """Return the headings, the most important ones first."""
    known = dict.fromkeys(signal.group for signal in catalogue().values() if signal.group != LAYERS)
    return [*MAIN_GROUPS, *(group for group in known if group not in MAIN_GROUPS), OTHER]


def _body(record: queries.RunRecord, groups: Sequence[str], window: int | None, log: bool) -> None:
    store, run = open_current_store(), record.id
    if record.last_step is None:
        st.info("No step is recorded yet. Curves appear after the first steps.", icon=":material/hourglass_empty:")
        return
    steps = (max(1, record.last_step - window + 1) if window else 1, max(record.last_step, 2))
    marked = incident_spans(queries.incidents(store, run))
    families: dict[str, list[str]] = defaultdict(list)
    for name in queries.series_names(store, run):
        family = name.partition("/")[0]
        families[name if family == LOGGED else family].append(name)  # each value that a loop logs has its own scale
    order = [*catalogue(), *families]
    for group in _groups():
        names = sorted((name for name in families if _group(name) == group), key=order.index)
        if group not in groups or not names:
            continue
        st.subheader(_heading(group), anchor=False)
        for start in range(0, len(names), 2):
            for column, name in zip(st.columns(min(2, len(names)), gap="medium"), names[start : start + 2], strict=False):
                with column:
                    curves = {_label(series.partition("/")[2]): _read(store, run, series, steps) for series in families[name]}
                    _draw(find_signal(name), name, curves, steps, marked, log=log)
    layers = [name for name in families if _group(name) == LAYERS]
    if layers:
        with st.expander("Layer by layer"):
            for name in layers:
                _layers(store, run, families[name], steps, marked, log=log)


def _layers(
    store: Store, run: str, series: Sequence[str], steps: tuple[int, int], marked: Sequence[Span], *, log: bool
) -> None:
    """Draw one chart per network, because there are many layers."""
    networks: dict[str, list[str]] = defaultdict(list)
    for one in series:
        networks[one.partition("/")[2].partition(".")[0]].append(one)
    for column, (network, members) in zip(st.columns(max(2, len(networks)), gap="medium"), networks.items(), strict=False):
        with column:
            curves = {_label(one.partition("/")[2].removeprefix(f"{network}.")): _read(store, run, one, steps) for one in members}
            name = f"{series[0].partition('/')[0]}/{network}"
            _draw(find_signal(name), name, curves, steps, marked, log=log)


def _label(label: str) -> str:
    return plain_text(label, MAX_NAME)


def _read(store: Store, run: str, series: str, steps: tuple[int, int]) -> Curve:
    return queries.series(store, run, series, start=steps[0], end=steps[1], max_points=MAX_POINTS)


def _draw(
    signal: Signal | None, name: str, curves: Mapping[str, Curve], steps: tuple[int, int], marked: Sequence[Span], *, log: bool
) -> None:
    present = {label: curve for label, curve in curves.items() if len(curve[0])}
    last = [f"{label} {format_number(float(values[-1]), signal.unit if signal else '')}".strip() for label, (_, values) in present.items()]
    when = _format_age(max((int(at[-1]) for at, _ in present.values()), default=0), steps[1])
    names = ", ".join(last)
    now = f" :small[:gray[{escape_markdown(f'{names} {when}')}]]" if 0 < len(last) <= MAX_LABELS else ""
    st.markdown(f"**{escape_name(name)}**{now}", help=escape_markdown(signal.help) if signal else None)
    if not present:
        st.caption("No readings in these steps.")
        return
    scaled = log and needs_log_scale(signal, present)
    chart = curve_chart(present, marked, steps=steps, log=scaled, unit=signal.unit if signal else "")
    st.vega_lite_chart(chart.data, chart.spec, width="stretch", theme=None)


def _format_age(step: int, now: int) -> str:
    """Return the step of a value, and its age in steps if it is not the last one.

    >>> _format_age(1200, 1200), _format_age(1200, 2000)
    ('at step 1,200', 'at step 1,200, 800 steps ago')
    """
    return f"at step {step:,}" + (f", {now - step:,} steps ago" if now > step else "")


def _group(name: str) -> str:
    signal = find_signal(name)
    return signal.group if signal else OTHER
