"""The store that the dashboard displays, and error messages if it cannot be read."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st
from sqlalchemy import make_url

from ganwatch.core.errors import UserError
from ganwatch.store.database import DEFAULT_STORE, Store, open_store
from ganwatch.store.rows import UnreadableStoreError

from .escaping import code_span, escape_markdown, escape_name

REFRESH_SECONDS = 4.0
"""Time between two reads of a store that is being written, in seconds."""
MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""Errors that a record of another shape than ganwatch writes brings about."""


def store_url() -> str:
    """Return the URL of the store."""
    return os.environ.get("GANWATCH_STORE", DEFAULT_STORE)


def store_name() -> str:
    """Return the URL of the store without its password."""
    url = store_url()
    return make_url(url).render_as_string(hide_password=True) if "://" in url else url


def open_current_store() -> Store:
    """Return the store, which is opened once for all viewers."""
    return _open(store_url())


@st.cache_resource(show_spinner=False)
def _open(url: str) -> Store:
    return open_store(url, create=False)


def with_error_messages(body: Callable[..., None]) -> Callable[..., None]:
    """Wrap a screen, so that it displays a message if the store cannot be read."""

    @functools.wraps(body)
    def screen(*arguments: Any) -> None:
        try:
            body(*arguments)
        except UnreadableStoreError as error:
            _open.clear()
            what = f"The store {code_span(store_name())} cannot be read at the moment."
            st.warning(f"**{what}** {escape_markdown(error)}", icon=":material/info:")
        except UserError as error:
            st.warning(f"**This screen cannot be displayed.** {escape_markdown(error)}", icon=":material/info:")
            st.caption("`ganwatch dashboard --store STORE` opens another store.")
        except MALFORMED as error:
            _show_malformed("This screen", error)

    return screen


@contextmanager
def malformed_records(part: str) -> Iterator[None]:
    """Display a message in place of a part of a screen whose record is malformed. The other parts stay."""
    try:
        yield
    except MALFORMED as error:
        _show_malformed(part, error)


def _show_malformed(part: str, error: Exception) -> None:
    what = f"{escape_name(part)} cannot be displayed: a record in the store is malformed."
    reason = escape_markdown(f"{type(error).__name__}: {error}")
    st.warning(f"**{what}** The store was damaged, or another program wrote it ({reason}).", icon=":material/info:")
