"""The selected run: its choice in the sidebar, its state and its header."""

from __future__ import annotations

import time

import streamlit as st

from ganwatch.store import queries
from ganwatch.store.database import StoreMissingError

from .current_store import REFRESH_SECONDS, open_current_store, store_name, with_error_messages
from .escaping import MAX_NAME, code_span, escape_name, plain_text
from .formatting import format_duration, open_count_text, show_badge, show_state_badge

_SELECTED, _WIDGET = "ganwatch_run", "ganwatch_run_widget"


def run_label(record: queries.RunRecord) -> str:
    """Return the label of a run in the list of runs. It begins with the id, because names need not be unique."""
    return plain_text(f"{record.id[:6]} {record.name}", MAX_NAME)


def has_ended(record: queries.RunRecord) -> bool:
    """Return True if a run has reported its end."""
    return record.state != "running"


def is_silent(record: queries.RunRecord) -> bool:
    """Return True if a run is marked as running and has written nothing for too long."""
    return record.state == "running" and queries.heartbeat(open_current_store(), record.id).silent


def is_active(record: queries.RunRecord) -> bool:
    """Return True if a run will write more records."""
    return record.state == "running" and not is_silent(record)


def known_runs() -> list[queries.RunRecord]:
    """Return all runs, newest first. There are none before a training has created the store."""
    try:
        return queries.runs(open_current_store())
    except StoreMissingError:
        return []


def show_empty_store() -> None:
    """Say what to do with an empty store."""
    st.info("**No runs yet.** A training with this store appears here after its first step.", icon=":material/info:")
    st.markdown("Watch your own Lightning module with one line …")
    st.code(f'Trainer(callbacks=[GanWatch(store="{store_name()}")])', language="python")
    st.markdown("… or train on real digits, two minutes on two cores:")
    st.code(f"ganwatch demo --store {store_name()}", language="bash")


def select_run() -> queries.RunRecord | None:
    """Return the run that the address or the sidebar names. If there is none, display advice and return None."""
    known = known_runs()
    if not known:
        st.fragment(with_error_messages(_wait_for_runs), run_every=REFRESH_SECONDS)()
        return None
    by_id = {record.id: record for record in known}
    selected = st.query_params.get("run") or st.session_state.get(_SELECTED) or known[0].id
    if selected not in by_id:
        st.warning(f"**The store has no run {code_span(selected)}.** The newest run is displayed.", icon=":material/info:")
        selected = known[0].id
    st.session_state[_WIDGET] = selected
    st.sidebar.selectbox("Run", list(by_id), format_func=lambda one: run_label(by_id[one]), key=_WIDGET, on_change=_copy_to_address)
    st.session_state[_SELECTED] = st.query_params["run"] = selected
    return by_id[selected]


def _wait_for_runs() -> None:
    show_empty_store()
    if known_runs():
        st.rerun()


def _copy_to_address() -> None:
    st.query_params.from_dict({"run": st.session_state[_WIDGET]})


def show_run_header(record: queries.RunRecord) -> None:
    """Draw name, state and age of a run."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(escape_name(record.name), anchor=False, width="content")
        show_state_badge(record.state, silent=is_silent(record))
        if record.open_incidents:
            ended = has_ended(record)
            show_badge(f"incidents: {open_count_text(record.open_incidents, ended=ended)}", "gray" if ended else "red")
    attempts = f" · attempt {record.attempts:,}" if record.attempts > 1 else ""
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started))
    step = "no step yet" if record.last_step is None else f"step {record.last_step:,}"
    last_record = format_duration(time.time() - record.heartbeat)
    st.caption(f"run {code_span(record.id)} · {step} · started {started} · last record {last_record} ago{attempts}")
