"""Incidents of a run: which one explains which, with evidence, samples, and what to do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath

import streamlit as st

from ganwatch.core.errors import UserError
from ganwatch.core.package_data import packaged_folder
from ganwatch.core.readings import finite
from ganwatch.core.signals import family
from ganwatch.store import queries
from ganwatch.store.database import Store

from .charts import curve_chart, spans, wants_log
from .pictures import show_sheet, show_strip
from .state import choose_run, has_ended, live_run, open_shown_store, run_header
from .trees import causal_tree
from .words import incident_badges, incident_state, literal, number

AROUND = 200
"""Steps shown before the onset and after the opening."""
SHEET = 210
"""Pixels that a contact sheet may be wide."""


def page() -> None:
    """Incidents of the chosen run."""
    record = choose_run()
    if record is not None:
        live_run(_body, record)


def _body(record: queries.RunRecord) -> None:
    store = open_shown_store()
    run_header(record)
    found = queries.incidents(store, record.id)
    if not found:
        st.success("No incident in this run.", icon=":material/check_circle:")
        st.caption("What would open one: see the runbooks. Curves and gallery show how the run is doing.")
        return
    tree = causal_tree(found)
    listed, detail = st.columns([3, 9], gap="medium")
    ended = has_ended(record)
    with listed:
        chosen = _choose(tree, ended=ended)
    with detail:
        _show(store, chosen, found, ended=ended)


def _choose(tree: Sequence[tuple[int, queries.IncidentRecord]], *, ended: bool) -> queries.IncidentRecord:
    by_id = {one.id: one for _, one in tree}
    depth = {one.id: depth for depth, one in tree}
    key = f"incident_{tree[0][1].run}"
    wanted = st.query_params.get("incident")
    if wanted in by_id and st.session_state.get(f"{key}_asked") != wanted:
        st.session_state[key] = st.session_state[f"{key}_asked"] = wanted
    picked = st.radio(
        "Causes, and what they explain",
        list(by_id),
        format_func=lambda one: "\u2003" * max(depth[one] - 1, 0) + "↳ " * (depth[one] > 0) + f"{by_id[one].code} {by_id[one].title}",
        captions=[f"{incident_state(one, ended=ended)}, onset {one.onset:,}" for one in by_id.values()],
        key=key,
    )
    return by_id[picked or next(iter(by_id))]


def _show(store: Store, incident: queries.IncidentRecord, known: Sequence[queries.IncidentRecord], *, ended: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(f"{incident.code} {incident.title}", anchor=False, width="content")
        incident_badges(incident, ended=ended)
    titles = {one.id: f"{one.code} {one.title}" for one in known}
    if incident.cause:
        st.markdown(f":material/subdirectory_arrow_right: Explained by **{titles.get(incident.cause, incident.cause)}**: look there first.")
    symptoms = [titles[one.id] for one in known if one.cause == incident.id]
    if symptoms:
        st.markdown(f":material/account_tree: Explains {', '.join(f'**{title}**' for title in symptoms)}.")
    if incident.superseded:
        st.caption("A later attempt went through these steps again without it.")
    _evidence(store, incident)
    _samples(store, incident)
    causes, remedies = st.columns(2, gap="medium", border=True)
    causes.markdown(f"**Likely causes**\n\n{incident.likely_causes or 'None are recorded.'}")
    remedies.markdown(f"**What to try**\n\n{incident.remedies or 'Nothing is recorded.'}")
    with st.expander("Runbook", icon=":material/menu_book:"):
        st.markdown(runbook(incident))
    with st.expander("Reports", icon=":material/history:"):
        _history(store, incident)


def _evidence(store: Store, incident: queries.IncidentRecord) -> None:
    evidence = incident.evidence
    if evidence is None:
        st.caption("No evidence is recorded.")
        return
    st.markdown(literal(evidence.explanation))
    signal = family(evidence.signal)
    unit = signal.unit if signal else ""
    crossed = finite(evidence.value)
    facts = (
        (evidence.signal, number(evidence.value, unit), signal.help if signal else None),
        *([("threshold", number(evidence.threshold, unit), f"Where it comes from: {evidence.origin}")] if crossed else []),
        ("onset", f"{incident.onset:,}", "First step of the evidence."),
        ("opened", f"{incident.fired or incident.opened:,}", "Step at which the incident was reported."),
        ("resolved", "-" if incident.resolved is None else f"{incident.resolved:,}", "Step since which it has been over."),
    )
    for column, (label, value, meaning) in zip(st.columns([1.5, 1, 1, 1, 1]), facts, strict=False):
        column.metric(label, value, help=meaning)
    origin = f"Threshold from {literal(evidence.origin)}" if crossed else "Not a finite number: no threshold is needed"
    st.caption(f"{origin}; evidence of {evidence.window} step{'s' * (evidence.window != 1)}.")
    last = incident.resolved or incident.seen or incident.opened
    steps = (max(1, incident.onset - AROUND), max(last, incident.opened) + AROUND)
    reached = queries.run(store, incident.run).last_step or steps[1]
    steps = (steps[0], max(min(steps[1], reached), steps[0] + 1))
    at, values = queries.series(store, incident.run, evidence.signal, start=steps[0], end=steps[1], max_points=600)
    if len(at):
        curves = {evidence.signal.partition("/")[2]: (at, values)}
        log = wants_log(signal, curves)
        bound = evidence.threshold if crossed else None
        chart = curve_chart(curves, spans([incident]), steps=steps, log=log, height=170, threshold=bound, unit=unit)
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
    shown = []
    if before:
        shown.append((before[-1], f"before the onset, step {before[-1].step:,}"))
    elif len(pinned) > 1:
        shown.append((pinned[0], f"earliest kept, step {pinned[0].step:,}"))
    if pinned and pinned[-1] not in before[-1:]:
        shown.append((pinned[-1], f"when opened, step {pinned[-1].step:,}"))
    if real:
        nearest = min(real, key=lambda one: abs(one.step - incident.opened))
        shown.append((nearest, f"real samples, step {nearest.step:,}"))
    shown += [(one, f"real samples of missing kinds, step {one.step:,}") for one in missing]
    with st.container(horizontal=True, gap="medium"):
        for artifact, caption in shown:
            show_sheet(artifact, caption, width=SHEET)
    others = [one for one in pinned if one not in [artifact for artifact, _ in shown]]
    if others:
        with st.expander(f"{len(others)} more pinned sheet{'s' * (len(others) != 1)}", icon=":material/push_pin:"):
            show_strip(others, width=SHEET)


def _history(store: Store, incident: queries.IncidentRecord) -> None:
    rows = [
        {
            "when": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.recorded)),
            "attempt": str(one.attempt),
            "step": f"{one.step:,}",
            "state": {"firing": "open"}.get(str(one.state), str(one.state)),
            "value": number(one.verdict.value) if one.verdict else "none",
            "threshold": number(one.verdict.threshold) if one.verdict and finite(one.verdict.value) else "none",
        }
        for one in queries.evidence(store, incident.run, incident.id)
    ]
    st.table(rows, border="horizontal", hide_index=True)


def runbook(incident: queries.IncidentRecord) -> str:
    """The page of an incident's runbook, one heading level down and without its title."""
    name = PurePosixPath(incident.runbook or f"{incident.code}.md").name
    try:
        text = (packaged_folder("alerts") / "runbooks" / name).read_text("utf-8")
    except (OSError, UserError):
        return f"There is no runbook `{name}` in this installation."
    lines = [line for line in text.splitlines() if not line.startswith(("<!--", "# "))]
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in lines)
