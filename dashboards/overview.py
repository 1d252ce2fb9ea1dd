"""Overview: open incidents, runs that train and runs that have gone silent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import streamlit as st

from ganwatch.core.detector import Severity
from ganwatch.store import queries

from .current_store import malformed_records, open_current_store
from .drift import show_drift_checks
from .escaping import escape_markdown, escape_name
from .formatting import format_comparison, format_duration, incident_name, open_count_text, show_incident_badges, show_state_badge
from .links import show_link
from .refresh import draw_periodically
from .run_selection import has_ended, is_silent, known_runs, show_empty_store

PER_PAGE = 12
MAX_CARDS = 6
"""Number of open incidents that are displayed in full."""
COLUMN_WIDTHS = (3.6, 1.1, 0.9, 1.2, 1.6, 1.7)


def page() -> None:
    """Draw the overview, which refreshes itself."""
    st.title("Overview", anchor=False)
    draw_periodically(_body)


def _body() -> None:
    runs = known_runs()
    if not runs:
        show_empty_store()
        return
    store = open_current_store()
    silent = {record.id for record in runs if is_silent(record)}
    names = {record.id: record.name for record in runs}
    over = {record.id for record in runs if has_ended(record)}
    incidents = queries.incidents(store, open_only=True)
    incidents.sort(key=lambda one: (one.cause is not None, one.severity is not Severity.PAGE, -one.updated))
    current, ended_open = ([one for one in incidents if (one.run in over) is ended] for ended in (False, True))
    training = sum(record.state == "running" for record in runs) - len(silent)
    pages = sum(one.severity is Severity.PAGE for one in current)
    figures = (
        ("Training now", training, "Runs that write to this store."),
        ("Gone silent", len(silent), "Runs that have not ended but have written nothing for two minutes."),
        ("Open, wakes someone", pages, "Incidents of runs that train, severity page: somebody has to act now."),
        ("Open, for the queue", len(current) - pages, "Incidents of runs that train, severity ticket: they wait in the queue."),
    )
    for column, (label, value, meaning) in zip(st.columns(4), figures, strict=True):
        column.metric(escape_name(label), value, border=True, help=escape_markdown(meaning))
    st.header("Open incidents", anchor=False)
    if not current:
        st.success("No incident is open in a run that trains.", icon=":material/check_circle:")
    _cards(current, names, ended=False)
    if ended_open:
        st.header("Open at the end of a run", anchor=False)
        _cards(ended_open, names, ended=True)
    show_drift_checks(names)
    st.header("Runs", anchor=False)
    _table(runs, silent)


def _cards(incidents: Sequence[queries.IncidentRecord], names: Mapping[str, str], *, ended: bool) -> None:
    for incident in incidents[:MAX_CARDS]:
        with malformed_records("This incident"):
            _card(incident, names.get(incident.run, incident.run), ended=ended)
    if len(incidents) > MAX_CARDS:
        st.caption(f"{len(incidents) - MAX_CARDS} more open incidents are on the screens of their runs.")


def _card(incident: queries.IncidentRecord, run: str, *, ended: bool) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            show_incident_badges(incident, ended=ended)
            st.markdown(f"**{escape_name(incident_name(incident))}** in {escape_name(run)}", width="stretch")
            show_link("incidents", "Evidence", run=incident.run, incident=incident.id, icon=":material/arrow_forward:")
        evidence = incident.evidence
        age = format_duration(time.time() - incident.updated)
        facts = [f"onset at step {incident.onset:,}", f"opened at step {incident.opened:,}", f"{age} ago"]
        if incident.cause:
            facts.append(f"explained by {escape_name(_cause(incident))}")
        if evidence:
            st.markdown(escape_markdown(evidence.explanation))
            facts.insert(0, f"{escape_name(format_comparison(evidence))} ({escape_name(evidence.origin)})")
        st.caption(" · ".join(facts))


def _cause(incident: queries.IncidentRecord) -> str:
    """Return the name of the incident that explains this one, or its id if it is not in the store."""
    known = {one.id: incident_name(one) for one in queries.incidents(open_current_store(), incident.run)}
    return known.get(incident.cause or "", f"an incident that is not recorded ({incident.cause})")


def _table(runs: Sequence[queries.RunRecord], silent: set[str]) -> None:
    count = -(-len(runs) // PER_PAGE)
    chosen = st.pagination(count, key="runs_page") if count > 1 else 1
    with st.container(border=True, gap="small"):
        labels = ("Run", "State", "Last step", "Last record", "Started", "Incidents")
        for column, label in zip(st.columns(COLUMN_WIDTHS), labels, strict=True):
            column.caption(label)
        for record in runs[(chosen - 1) * PER_PAGE : chosen * PER_PAGE]:
            with malformed_records("This run"):
                _row(record, silent=record.id in silent)


def _row(record: queries.RunRecord, *, silent: bool) -> None:
    name, state, step, last, started, incidents = st.columns(COLUMN_WIDTHS, vertical_alignment="center")
    with name:
        show_link("curves", f"{escape_name(record.name)} · {escape_name(record.id[:8])}", run=record.id)
    with state:
        show_state_badge(record.state, silent=silent)
    step.markdown("-" if record.last_step is None else f"{record.last_step:,}")
    last.markdown(f"{format_duration(time.time() - record.heartbeat)} ago")
    started.markdown(time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started)))
    with incidents:
        if record.open_incidents:
            ended = has_ended(record)
            count = open_count_text(record.open_incidents, ended=ended)
            show_link("incidents", count if ended else f":red[**{count}**]", run=record.id)
        else:
            st.markdown("none open")
