"""Screens that redraw themselves while a run trains."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import streamlit as st

from ganwatch.store import queries

from .current_store import REFRESH_SECONDS, open_current_store, with_error_messages
from .run_selection import is_active


def draw_periodically(body: Callable[..., None]) -> None:
    """Draw a part of a screen, and again every few seconds."""
    st.fragment(with_error_messages(body), run_every=REFRESH_SECONDS)()


def draw_while_active(body: Callable[..., None], record: queries.RunRecord, *arguments: Any) -> None:
    """Draw a part of a run's screen, and again every few seconds until the run has ended."""
    active = is_active(record)

    @functools.wraps(body)
    def part() -> None:
        now = queries.run(open_current_store(), record.id)
        body(now, *arguments)
        if active and not is_active(now):
            st.rerun()

    st.fragment(with_error_messages(part), run_every=REFRESH_SECONDS if active else None)()
