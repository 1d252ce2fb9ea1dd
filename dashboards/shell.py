"""Navigation, the choice of a run, and what is shown when the store cannot be read."""

from __future__ import annotations

import streamlit as st

from . import curves, gallery, incidents, overview, provenance
from .state import HOME, PAGES, guarded, shown_store

STYLE = """
<style>
[data-testid="stImage"] img { image-rendering: pixelated; }
[data-testid="stMainBlockContainer"] { padding-top: 2.6rem; padding-bottom: 3rem; max-width: 1480px; }
[data-testid="stMetricLabel"] p { color: #52606d; }
h1 { font-size: 1.75rem !important; } h2 { font-size: 1.3rem !important; } h3 { font-size: 1.05rem !important; }
</style>
"""


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="ganwatch", page_icon=":material/visibility:", layout="wide")
    st.html(STYLE)
    screens = {
        HOME: (overview.page, "Overview", ":material/monitor_heart:"),
        "curves": (curves.page, "Curves", ":material/show_chart:"),
        "incidents": (incidents.page, "Incidents", ":material/warning:"),
        "gallery": (gallery.page, "Gallery", ":material/grid_view:"),
        "provenance": (provenance.page, "Provenance", ":material/fact_check:"),
    }
    pages = {
        path: st.Page(guarded(body), title=title, icon=icon, url_path=path, default=path == HOME) for path, (body, title, icon) in screens.items()
    }
    st.session_state[PAGES] = pages
    chosen = st.navigation(list(pages.values()))
    chosen.run()
    st.sidebar.caption(f"Store: `{shown_store()}`")
