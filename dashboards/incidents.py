"""Screen of incidents: causes and their consequences, evidence, samples and remedies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath

import streamlit as st

from ganwatch.core.package_data import packaged_folder
from ganwatch.core.readings import is_finite
from ganwatch.core.signals import find_signal
from ganwatch.store import queries
from ganwatch.store.database import Store

from .causal_tree import causal_tree
from .charts import curve_chart, incident_spans, needs_log_scale
from .contact_sheets import show_contact_sheet, show_strip
from .current_store import malformed_records, open_current_store
from .escaping import MAX_NAME, code_span, escape_markdown, escape_name, escape_prose, plain_text
from .formatting import format_number, incident_name, incident_state_text, show_incident_badges
from .refresh import draw_while_active
from .run_selection import has_ended, select_run, show_run_header

CONTEXT_STEPS = 200
"""Number of steps displayed before the onset and after the opening."""
INDENTS = ("", "↳ ", "\u2003↳ ", "\u2003\u2003↳ ")
"""Beginning of an incident's name in the tree, by its depth."""
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
    with detail, malformed_records("This incident"):
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
        format_func=lambda one: f"{INDENTS[min(depth[one], len(INDENTS) - 1)]}{escape_name(incident_name(by_id[one]))}",
        captions=[f"{escape_name(incident_state_text(one, ended=ended))}, onset {one.onset:,}" for one in by_id.values()],
        key=key,
    )
    return by_id[selected or next(iter(by_id))]


def _show(store: Store, incident: queries.IncidentRecord, known: Sequence[queries.IncidentRecord], *, ended: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(escape_name(incident_name(incident)), anchor=False, width="content")
        show_incident_badges(incident, ended=ended)
    cause = next((incident_name(one) for one in known if one.id == incident.cause), None)
    if cause:
        st.markdown(f":material/subdirectory_arrow_right: Explained by **{escape_name(cause)}**: look there first.")
    elif incident.cause:
        st.markdown(f":material/subdirectory_arrow_right: Explained by an incident that is not recorded ({code_span(incident.cause)}).")
    elif incident.search:
        st.caption(escape_prose(incident.search))
    if incident.recurrences:
        st.markdown(f":material/replay: Came back {incident.recurrences:,} times after its end.")
    symptoms = [f"**{escape_name(incident_name(one))}**" for one in known if one.cause == incident.id]
    if symptoms:
        st.markdown(f":material/account_tree: Explains {', '.join(symptoms)}.")
    if incident.superseded:
        st.caption("A later attempt repeated these steps and did not report it.")
    _evidence(store, incident)
    _samples(store, incident)
    causes, remedies = st.columns(2, gap="medium", border=True)
    causes.markdown(f"**Likely causes**\n\n{escape_prose(incident.likely_causes or 'None are recorded.')}")
    advice = incident.evidence.advice if incident.evidence is not None else ""
    first = f"First, {escape_prose(advice)}.\n\n" if advice else ""
    remedies.markdown(f"**What to try**\n\n{first}{escape_prose(incident.remedies or 'Nothing is recorded.')}")
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
        (evidence.signal or "unknown", format_number(evidence.value, unit), signal.help if signal else "Series of the evidence."),
        *([("threshold", format_number(evidence.threshold, unit), f"Origin of the threshold: {evidence.origin}")] if has_threshold else []),
        ("onset", f"{incident.onset:,}", "First step of the evidence."),
        ("opened", f"{incident.fired or incident.opened:,}", "Step at which the incident was reported."),
        ("resolved", "-" if incident.resolved is None else f"{incident.resolved:,}", "Step at which the incident was resolved."),
    )
    for column, (label, value, meaning) in zip(st.columns([1.5, 1, 1, 1, 1]), facts, strict=False):
        column.metric(escape_name(label), escape_name(value), help=escape_markdown(meaning))
    origin = f"Threshold from {escape_name(evidence.origin)}" if has_threshold else "Not a finite number: no threshold is needed"
    st.caption(f"{origin}; evidence of {evidence.window:,} {'step' if evidence.window == 1 else 'steps'}.")
    last = incident.resolved or incident.seen or incident.opened
    steps = (max(1, incident.onset - CONTEXT_STEPS), max(last, incident.opened) + CONTEXT_STEPS)
    reached = queries.run(store, incident.run).last_step or steps[1]
    steps = (steps[0], max(min(steps[1], reached), steps[0] + 1))
    at, values = queries.series(store, incident.run, evidence.signal, start=steps[0], end=steps[1], max_points=600)
    if len(at):
        curves = {plain_text(evidence.signal.partition("/")[2], MAX_NAME): (at, values)}
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
        with st.expander(f"{len(others):,} more pinned {'sheet' if len(others) == 1 else 'sheets'}", icon=":material/push_pin:"):
            show_strip(others, width=MAX_SHEET_WIDTH)


def _history(store: Store, incident: queries.IncidentRecord) -> None:
    rows = [
        {
            "when": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.recorded)),
            "attempt": f"{one.attempt:,}",
            "step": f"{one.step:,}",
            "state": escape_name({"firing": "open"}.get(str(one.state), str(one.state))),
            "value": escape_name(format_number(one.verdict.value)) if one.verdict else "none",
            "threshold": escape_name(format_number(one.verdict.threshold)) if one.verdict and is_finite(one.verdict.value) else "none",
        }
        for one in queries.evidence(store, incident.run, incident.id)
    ]
    st.table(rows, border="horizontal", hide_index=True)


def read_runbook(incident: queries.IncidentRecord) -> str:
    """Return the page of an incident's runbook, one heading level down and without its title."""
    name = PurePosixPath(incident.runbook or f"{incident.code}.md").name
    try:
        text = (packaged_folder("alerts") / "runbooks" / name).read_text("utf-8")
    except (OSError, ValueError):
        return f"There is no runbook {code_span(name)} in this installation."
    lines = [line for line in text.splitlines() if not line.startswith(("<!--", "# "))]
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in lines)
