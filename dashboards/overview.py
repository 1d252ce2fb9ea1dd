"""The on-call screen: what is open, which runs train, which have gone silent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import streamlit as st

from ganwatch.core.detector import Severity
from ganwatch.store import queries

from .drift import fresh_data
from .state import has_ended, is_silent, link, live, no_runs, open_shown_store
from .words import age, comparison, incident_badges, literal, open_count, state_badge

PER_PAGE = 12
CARDS = 6
"""Open incidents that are shown in full."""
WIDTHS = (3.6, 1.1, 0.9, 1.2, 1.6, 1.7)


def page() -> None:
    """Overview, refreshed by itself."""
    st.title("Overview", anchor=False)
    live(_body)


def _body() -> None:
    store = open_shown_store()
    runs = queries.runs(store)
    if not runs:
        no_runs()
        return
    silent = {record.id for record in runs if is_silent(record)}
    names = {record.id: record.name for record in runs}
    over = {record.id for record in runs if has_ended(record)}
    found = queries.incidents(store, open_only=True)
    found.sort(key=lambda one: (one.cause is not None, one.severity is not Severity.PAGE, -one.updated))
    current, left = ([one for one in found if (one.run in over) is ended] for ended in (False, True))
    training = sum(record.state == "running" for record in runs) - len(silent)
    pages = sum(one.severity is Severity.PAGE for one in current)
    figures = (
        ("Training now", training, "Runs that write to this store."),
        ("Gone silent", len(silent), "Runs that have not ended and have written nothing for two minutes."),
        ("Open, wakes someone", pages, "Incidents of runs that train, severity page: somebody has to look now."),
        ("Open, for the queue", len(current) - pages, "Incidents of runs that train, severity ticket: they wait for the next look."),
    )
    for column, (label, value, meaning) in zip(st.columns(4), figures, strict=True):
        column.metric(label, value, border=True, help=meaning)
    st.header("Open incidents", anchor=False)
    if not current:
        st.success("Nothing is open in a run that trains.", icon=":material/check_circle:")
    _cards(current, names, ended=False)
    if left:
        st.header("Open at the end of a run", anchor=False)
        _cards(left, names, ended=True)
    fresh_data(names)
    st.header("Runs", anchor=False)
    _table(runs, silent)


def _cards(found: Sequence[queries.IncidentRecord], names: Mapping[str, str], *, ended: bool) -> None:
    for incident in found[:CARDS]:
        _card(incident, names.get(incident.run, incident.run), ended=ended)
    if len(found) > CARDS:
        st.caption(f"{len(found) - CARDS} more are listed with their runs.")


def _card(incident: queries.IncidentRecord, run: str, *, ended: bool) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            incident_badges(incident, ended=ended)
            st.markdown(f"**{incident.code} {incident.title}** in {literal(run)}", width="stretch")
            link("incidents", "Evidence", run=incident.run, incident=incident.id, icon=":material/arrow_forward:")
        evidence = incident.evidence
        facts = [f"onset at step {incident.onset:,}", f"opened at step {incident.opened:,}", f"{age(time.time() - incident.updated)} ago"]
        if incident.cause:
            facts.append(f"explained by {incident.cause}")
        if evidence:
            st.markdown(literal(evidence.explanation))
            facts.insert(0, f"{literal(comparison(evidence))} ({literal(evidence.origin)})")
        st.caption(" · ".join(facts))


def _table(runs: Sequence[queries.RunRecord], silent: set[str]) -> None:
    count = -(-len(runs) // PER_PAGE)
    chosen = st.pagination(count, key="runs_page") if count > 1 else 1
    with st.container(border=True, gap="small"):
        for column, label in zip(st.columns(WIDTHS), ("Run", "State", "Last step", "Last record", "Started", "Incidents"), strict=True):
            column.caption(label)
        for record in runs[(chosen - 1) * PER_PAGE : chosen * PER_PAGE]:
            _row(record, silent=record.id in silent)


def _row(record: queries.RunRecord, *, silent: bool) -> None:
    name, state, step, last, started, incidents = st.columns(WIDTHS, vertical_alignment="center")
    with name:
        link("curves", f"{literal(record.name)} · {record.id[:8]}", run=record.id)
    with state:
        state_badge(record.state, silent=silent)
    step.markdown("-" if record.last_step is None else f"{record.last_step:,}")
    last.markdown(f"{age(time.time() - record.heartbeat)} ago")
    started.markdown(time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started)))
    with incidents:
        if record.open_incidents:
            ended = has_ended(record)
            count = open_count(record.open_incidents, ended=ended)
            link("incidents", count if ended else f":red[**{count}**]", run=record.id)
        else:
            st.markdown("none open")
