"""Navigation between the screens, and the style of the page."""

from __future__ import annotations

import streamlit as st
from PIL import Image, ImageDraw

from . import curves, gallery, incidents, overview, provenance
from .current_store import store_name, with_error_messages
from .escaping import code_span
from .links import HOME, PAGES

STYLE = """
<style>
[data-testid="stImage"] img { image-rendering: pixelated; border-radius: 0; }
[data-testid="stMainBlockContainer"] { padding: 2.6rem 3rem 3rem; max-width: 1480px; }
[data-testid="stSidebarHeader"]::before { content: "ganwatch"; font-weight: 700; font-size: 1.2rem; color: #2b6cb0; }
[data-testid="stMetricLabel"] p { color: #52606d; }
[data-testid="stMetricValue"] { font-size: 1.45rem; }
[data-testid="stTable"] table { width: 100%; }
[data-testid="stTable"] td * { display: block; max-width: none !important; white-space: normal; }
[data-testid="stTable"] td:not(:first-child) * { overflow-wrap: anywhere !important; }
[data-testid="stPageLink"] p { white-space: normal; }
[data-testid="stSidebarUserContent"] { padding-left: 0; padding-right: 0; }
[data-testid="stSidebar"] [data-testid="stSelectbox"] input { font-size: 0.74rem; padding-left: 0.5rem; text-overflow: ellipsis; }
h1 { font-size: 1.75rem !important; } h2 { font-size: 1.3rem !important; } h3 { font-size: 1.05rem !important; }
</style>
"""


def main() -> None:
    """Draw the screen that the address names."""
    st.set_page_config(page_title="ganwatch", page_icon=_icon(), layout="wide", initial_sidebar_state=260)
    st.html(STYLE)
    screens = {
        HOME: (overview.page, "Overview", ":material/monitor_heart:"),
        "curves": (curves.page, "Curves", ":material/show_chart:"),
        "incidents": (incidents.page, "Incidents", ":material/warning:"),
        "gallery": (gallery.page, "Gallery", ":material/grid_view:"),
        "provenance": (provenance.page, "Provenance", ":material/fact_check:"),
    }
    pages = {
        path: st.Page(with_error_messages(body), title=title, icon=icon, url_path=path, default=path == HOME)
        for path, (body, title, icon) in screens.items()
    }
    st.session_state[PAGES] = pages
    selected = st.navigation(list(pages.values()))
    selected.run()
    st.sidebar.caption(f"Store: {code_span(store_name())}")


def _icon() -> Image.Image:
    """Draw an eye. An icon by name would be fetched from the network."""
    icon = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    draw = ImageDraw.Draw(icon)
    draw.ellipse((2, 14, 62, 50), fill="#2b6cb0")
    draw.ellipse((18, 18, 46, 46), fill="white")
    draw.ellipse((25, 25, 39, 39), fill="#1f2933")
    return icon
