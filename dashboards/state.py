"""What every screen shares: the store, the chosen run, refreshing while a run trains, errors in words."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import streamlit as st
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from ganwatch.core.errors import UserError
from ganwatch.store import queries
from ganwatch.store.database import DEFAULT, Store, open_store

from .words import age, literal, open_count, state_badge

HOME = "overview"
PAGES = "ganwatch_pages"
REFRESH = 4.0
"""Seconds between two looks at a store that is being written."""
_CHOSEN, _WIDGET = "ganwatch_run", "ganwatch_run_widget"


def store_url() -> str:
    """Which store is shown."""
    return os.environ.get("GANWATCH_STORE", DEFAULT)


def shown_store() -> str:
    """The store as people may see it, without a password."""
    url = store_url()
    return make_url(url).render_as_string(hide_password=True) if "://" in url else url


def open_shown_store() -> Store:
    """The store, opened once for all viewers."""
    return _open(store_url())


@st.cache_resource(show_spinner=False)
def _open(url: str) -> Store:
    return open_store(url, create=False)


def guarded(body: Callable[..., None]) -> Callable[..., None]:
    """The same screen, with a sentence where the store cannot be read."""

    @functools.wraps(body)
    def screen(*arguments: Any) -> None:
        try:
            body(*arguments)
        except UserError as error:
            st.warning(f"**This cannot be shown.** {literal(error)}", icon=":material/info:")
            st.caption("`ganwatch dashboard --store STORE` names another store.")
        except SQLAlchemyError as error:
            _open.clear()
            reason = str(error).splitlines()[0]
            st.warning(f"**The store `{shown_store()}` cannot be read at the moment.** {literal(reason)}", icon=":material/info:")

    return screen


def live(body: Callable[..., None]) -> None:
    """Draw a part of a screen, and again every few seconds."""
    st.fragment(guarded(body), run_every=REFRESH)()


def live_run(body: Callable[..., None], record: queries.RunRecord, *arguments: Any) -> None:
    """Draw a part of a run's screen, and again every few seconds until the run is over."""
    active = is_active(record)

    @functools.wraps(body)
    def part() -> None:
        now = queries.run(open_shown_store(), record.id)
        body(now, *arguments)
        if active and not is_active(now):
            st.rerun()

    st.fragment(guarded(part), run_every=REFRESH if active else None)()


def link(page: str, label: str, *, run: str, icon: str | None = None, **parameters: str) -> None:
    """A link to another screen of a run."""
    pages = st.session_state.get(PAGES, {})
    if page in pages:
        st.page_link(pages[page], label=label, icon=icon, query_params={"run": run} | parameters)


def run_name(record: queries.RunRecord) -> str:
    """A run as it is chosen, what tells it apart first."""
    return f"{record.id[:6]} {record.name}"


def has_ended(record: queries.RunRecord) -> bool:
    """Whether a run has said that it is over."""
    return record.state != "running"


def no_runs() -> None:
    """What to do with an empty store."""
    st.info("**No runs yet.** A training with this store shows up here by itself, from its first step on.", icon=":material/info:")
    st.markdown("Watch your own Lightning module with one line …")
    st.code(f'Trainer(callbacks=[GanWatch(store="{shown_store()}")])', language="python")
    st.markdown("… or train on real digits, two minutes on two cores:")
    st.code(f"ganwatch demo --store {shown_store()}", language="bash")


def choose_run() -> queries.RunRecord | None:
    """The run that the address or the sidebar names; None, with advice on the screen, where there is none."""
    known = queries.runs(open_shown_store())
    if not known:
        no_runs()
        return None
    by_id = {record.id: record for record in known}
    wanted = st.query_params.get("run") or st.session_state.get(_CHOSEN) or known[0].id
    if wanted not in by_id:
        st.warning(f"**The store has no run `{wanted}`.** The newest one is shown.", icon=":material/info:")
        wanted = known[0].id
    st.session_state[_WIDGET] = wanted
    st.sidebar.selectbox("Run", list(by_id), format_func=lambda one: run_name(by_id[one]), key=_WIDGET, on_change=_remember)
    st.session_state[_CHOSEN] = st.query_params["run"] = wanted
    return by_id[wanted]


def _remember() -> None:
    st.query_params.from_dict({"run": st.session_state[_WIDGET]})


def is_silent(record: queries.RunRecord) -> bool:
    """Whether a run claims to train and has written nothing for too long."""
    return record.state == "running" and queries.heartbeat(open_shown_store(), record.id).silent


def is_active(record: queries.RunRecord) -> bool:
    """Whether more is to be expected of a run."""
    return record.state == "running" and not is_silent(record)


def run_header(record: queries.RunRecord) -> None:
    """Name, state and age of a run."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(literal(record.name), anchor=False, width="content")
        state_badge(record.state, silent=is_silent(record))
        if record.open_incidents:
            ended = has_ended(record)
            st.badge(f"incidents: {open_count(record.open_incidents, ended=ended)}", color="gray" if ended else "red")
    attempts = f" · attempt {record.attempts}" if record.attempts > 1 else ""
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started))
    step = "no step yet" if record.last_step is None else f"step {record.last_step:,}"
    st.caption(f"run `{record.id}` · {step} · started {started} · last record {age(time.time() - record.heartbeat)} ago{attempts}")
