"""Screen of incidents: causes and their consequences, evidence, samples and remedies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath

import streamlit as st

from ganwatch.core.errors import UserError
from ganwatch.core.package_data import packaged_folder
from ganwatch.core.readings import is_finite
from ganwatch.core.signals import find_signal
from ganwatch.store import queries
from ganwatch.store.database import Store

from .causal_tree import causal_tree
from .charts import curve_chart, incident_spans, needs_log_scale
from .contact_sheets import show_contact_sheet, show_strip
from .current_store import open_current_store
from .formatting import escape_markdown, format_number, incident_state_text, show_incident_badges
from .refresh import draw_while_active
from .run_selection import has_ended, select_run, show_run_header

CONTEXT_STEPS = 200
"""Number of steps displayed before the onset and after the opening."""
MAX_SHEET_WIDTH = 210
"""Width of a contact sheet, in pixels."""


def page() -> None:
    """Draw the incidents of the selected run."""
    record = select_run()
    if record is not None:
        draw_while_active(_body, record)


def _body(record: queries.RunRecord) -> None:
    store = open_current_store()
    show_run_header(record)
    incidents = queries.incidents(store, record.id)
    if not incidents:
        st.success("No incident in this run.", icon=":material/check_circle:")
        st.caption("The runbooks say what opens an incident. Curves and gallery show the state of the run.")
        return
    tree = causal_tree(incidents)
    listed, detail = st.columns([3, 9], gap="medium")
    ended = has_ended(record)
    with listed:
        selected = _select(tree, ended=ended)
    with detail:
        _show(store, selected, incidents, ended=ended)


def _select(tree: Sequence[tuple[int, queries.IncidentRecord]], *, ended: bool) -> queries.IncidentRecord:
    by_id = {one.id: one for _, one in tree}
    depth = {one.id: depth for depth, one in tree}
    key = f"incident_{tree[0][1].run}"
    linked = st.query_params.get("incident")
    if linked in by_id and st.session_state.get(f"{key}_linked") != linked:
        st.session_state[key] = st.session_state[f"{key}_linked"] = linked
    selected = st.radio(
        "Causes and the incidents that they explain",
        list(by_id),
        format_func=lambda one: "\u2003" * max(depth[one] - 1, 0) + "↳ " * (depth[one] > 0) + f"{by_id[one].code} {by_id[one].title}",
        captions=[f"{incident_state_text(one, ended=ended)}, onset {one.onset:,}" for one in by_id.values()],
        key=key,
    )
    return by_id[selected or next(iter(by_id))]


def _show(store: Store, incident: queries.IncidentRecord, known: Sequence[queries.IncidentRecord], *, ended: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(f"{incident.code} {incident.title}", anchor=False, width="content")
        show_incident_badges(incident, ended=ended)
    titles = {one.id: f"{one.code} {one.title}" for one in known}
    if incident.cause:
        st.markdown(f":material/subdirectory_arrow_right: Explained by **{titles.get(incident.cause, incident.cause)}**: look there first.")
    symptoms = [titles[one.id] for one in known if one.cause == incident.id]
    if symptoms:
        st.markdown(f":material/account_tree: Explains {', '.join(f'**{title}**' for title in symptoms)}.")
    if incident.superseded:
        st.caption("A later attempt repeated these steps and did not report it.")
    _evidence(store, incident)
    _samples(store, incident)
    causes, remedies = st.columns(2, gap="medium", border=True)
    causes.markdown(f"**Likely causes**\n\n{incident.likely_causes or 'None are recorded.'}")
    remedies.markdown(f"**What to try**\n\n{incident.remedies or 'Nothing is recorded.'}")
    with st.expander("Runbook", icon=":material/menu_book:"):
        st.markdown(read_runbook(incident))
    with st.expander("Reports", icon=":material/history:"):
        _history(store, incident)


def _evidence(store: Store, incident: queries.IncidentRecord) -> None:
    evidence = incident.evidence
    if evidence is None:
        st.caption("No evidence is recorded.")
        return
    st.markdown(escape_markdown(evidence.explanation))
    signal = find_signal(evidence.signal)
    unit = signal.unit if signal else ""
    has_threshold = is_finite(evidence.value)
    facts = (
        (evidence.signal, format_number(evidence.value, unit), signal.help if signal else None),
        *([("threshold", format_number(evidence.threshold, unit), f"Origin of the threshold: {evidence.origin}")] if has_threshold else []),
        ("onset", f"{incident.onset:,}", "First step of the evidence."),
        ("opened", f"{incident.fired or incident.opened:,}", "Step at which the incident was reported."),
        ("resolved", "-" if incident.resolved is None else f"{incident.resolved:,}", "Step at which the incident was resolved."),
    )
    for column, (label, value, meaning) in zip(st.columns([1.5, 1, 1, 1, 1]), facts, strict=False):
        column.metric(label, value, help=meaning)
    origin = f"Threshold from {escape_markdown(evidence.origin)}" if has_threshold else "Not a finite number: no threshold is needed"
    st.caption(f"{origin}; evidence of {evidence.window} step{'s' * (evidence.window != 1)}.")
    last = incident.resolved or incident.seen or incident.opened
    steps = (max(1, incident.onset - CONTEXT_STEPS), max(last, incident.opened) + CONTEXT_STEPS)
    reached = queries.run(store, incident.run).last_step or steps[1]
    steps = (steps[0], max(min(steps[1], reached), steps[0] + 1))
    at, values = queries.series(store, incident.run, evidence.signal, start=steps[0], end=steps[1], max_points=600)
    if len(at):
        curves = {evidence.signal.partition("/")[2]: (at, values)}
        log = needs_log_scale(signal, curves)
        bound = evidence.threshold if has_threshold else None
        chart = curve_chart(curves, incident_spans([incident]), steps=steps, log=log, height=170, threshold=bound, unit=unit)
        st.vega_lite_chart(chart.data, chart.spec, width="stretch", theme=None)


def _samples(store: Store, incident: queries.IncidentRecord) -> None:
    evidence = queries.artifacts(store, incident.run, incident=incident.id)
    pinned = [one for one in evidence if one.kind == "pinned"]
    missing = [one for one in evidence if one.kind == "missing"]
    real = queries.artifacts(store, incident.run, "real")
    st.subheader("Samples", anchor=False)
    if not evidence:
        st.caption("No samples are pinned to this incident.")
    before = [one for one in pinned if one.step < incident.onset]
    sheets = []
    if before:
        sheets.append((before[-1], f"before the onset, step {before[-1].step:,}"))
    elif len(pinned) > 1:
        sheets.append((pinned[0], f"earliest pinned, step {pinned[0].step:,}"))
    if pinned and pinned[-1] not in before[-1:]:
        sheets.append((pinned[-1], f"when opened, step {pinned[-1].step:,}"))
    if real:
        nearest = min(real, key=lambda one: abs(one.step - incident.opened))
        sheets.append((nearest, f"real samples, step {nearest.step:,}"))
    sheets += [(one, f"real samples of missing modes, step {one.step:,}") for one in missing]
    with st.container(horizontal=True, gap="medium"):
        for artifact, caption in sheets:
            show_contact_sheet(artifact, caption, width=MAX_SHEET_WIDTH)
    others = [one for one in pinned if one not in [artifact for artifact, _ in sheets]]
    if others:
        with st.expander(f"{len(others)} more pinned sheet{'s' * (len(others) != 1)}", icon=":material/push_pin:"):
            show_strip(others, width=MAX_SHEET_WIDTH)


def _history(store: Store, incident: queries.IncidentRecord) -> None:
    rows = [
        {
            "when": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.recorded)),
            "attempt": str(one.attempt),
            "step": f"{one.step:,}",
            "state": {"firing": "open"}.get(str(one.state), str(one.state)),
            "value": format_number(one.verdict.value) if one.verdict else "none",
            "threshold": format_number(one.verdict.threshold) if one.verdict and is_finite(one.verdict.value) else "none",
        }
        for one in queries.evidence(store, incident.run, incident.id)
    ]
    st.table(rows, border="horizontal", hide_index=True)


def read_runbook(incident: queries.IncidentRecord) -> str:
    """Return the page of an incident's runbook, one heading level down and without its title."""
    name = PurePosixPath(incident.runbook or f"{incident.code}.md").name
    try:
        text = (packaged_folder("alerts") / "runbooks" / name).read_text("utf-8")
    except (OSError, UserError):
        return f"There is no runbook `{name}` in this installation."
    lines = [line for line in text.splitlines() if not line.startswith(("<!--", "# "))]
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in lines)
