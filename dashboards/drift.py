"""Fresh real data against the baseline: the last verdict of each run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ganwatch.store.audits import DRIFT_CHECKED, AuditRecord, latest

from .state import open_shown_store
from .words import Colour, age, literal, number

COLOURS: dict[str, Colour] = {"unchanged": "green", "insufficient_data": "gray", "generator_regressed": "red", "both": "red"}
MOVED = 8
"""Columns that are named."""


def fresh_data(names: Mapping[str, str]) -> None:
    """A card for each run, of those by id, whose real data were checked."""
    checked = [(name, last) for run, last in latest(open_shown_store(), DRIFT_CHECKED).items() if (name := names.get(run))]
    if not checked:
        return
    st.header("Fresh data", anchor=False)
    for name, last in checked:
        _card(name, last)


def _card(run: str, last: AuditRecord) -> None:
    found: Mapping[str, Any] = last.detail
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(found["verdict"].replace("_", " "), color=COLOURS.get(found["verdict"], "orange"))
            st.markdown(f"**{literal(found['advice'])}** in {literal(run)}", width="stretch")
        if found["moved"]:
            more = f" and {len(found['moved']) - MOVED} more" * (len(found["moved"]) > MOVED)
            st.markdown(f"moved: {literal(', '.join(found['moved'][:MOVED]) + more)}")
        facts = [f"{age(time.time() - last.created)} ago"]
        if found["world"]:
            low, high = number(found["world"]["low"]), number(found["world"]["high"])
            facts.insert(0, f"fresh data at an effect of {number(found['world']['effect'])} ({low} to {high}) from the baseline")
        if found.get("report"):
            facts.append(f"report: {literal(found['report'])}")
        st.caption(" · ".join(facts))
