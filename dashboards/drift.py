"""Drift of real data from the baseline: the last check of each run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ganwatch.store.audit_log import DRIFT_CHECKED, AuditEntry, latest_entries

from .current_store import malformed_records, open_current_store
from .escaping import escape_markdown, escape_name
from .formatting import Colour, format_duration, format_number, show_badge

COLOURS: dict[str, Colour] = {"unchanged": "green", "insufficient_data": "gray", "generator_regressed": "red", "both": "red"}
MAX_COLUMNS = 8
"""Number of columns that are named."""


def show_drift_checks(names: Mapping[str, str]) -> None:
    """Draw a card for each run with a drift check. ``names`` holds the names of runs by id."""
    checked = [(name, last) for run, last in latest_entries(open_current_store(), DRIFT_CHECKED).items() if (name := names.get(run))]
    if not checked:
        return
    st.header("Fresh data", anchor=False)
    for name, last in checked:
        with malformed_records("The last drift check"):
            _card(name, last)


def _card(run: str, last: AuditEntry) -> None:
    check: Mapping[str, Any] = last.detail
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            show_badge(check["verdict"].replace("_", " "), COLOURS.get(check["verdict"], "orange"))
            st.markdown(f"**{escape_markdown(check['advice'])}** in {escape_name(run)}", width="stretch")
        if check["changed_columns"]:
            names = ", ".join(escape_name(name) for name in check["changed_columns"][:MAX_COLUMNS])
            more = len(check["changed_columns"]) - MAX_COLUMNS
            st.markdown(f"changed columns: {names} and {more:,} more" if more > 0 else f"changed columns: {names}")
        facts = [f"{format_duration(time.time() - last.created)} ago"]
        if check["world"]:
            low, high = format_number(check["world"]["low"]), format_number(check["world"]["high"])
            facts.insert(0, f"fresh data at an effect of {format_number(check['world']['effect'])} ({low} to {high}) from the baseline")
        if check.get("report"):
            facts.append(f"report: {escape_markdown(check['report'])}")
        st.caption(" · ".join(facts))
