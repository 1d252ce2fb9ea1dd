"""Links from one screen to another."""

from __future__ import annotations

import streamlit as st

HOME = "overview"
PAGES = "ganwatch_pages"
"""Key of the pages by path in the state of the browser session."""


def show_link(page: str, label: str, *, run: str, icon: str | None = None, **parameters: str) -> None:
    """Draw a link to another screen of a run."""
    pages = st.session_state.get(PAGES, {})
    if page in pages:
        st.page_link(pages[page], label=label, icon=icon, query_params={"run": run} | parameters)
