"""The store that the dashboard displays, and error messages if it cannot be read."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import streamlit as st
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from ganwatch.core.errors import UserError
from ganwatch.store.database import DEFAULT_STORE, Store, open_store

from .formatting import escape_markdown


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
        except UserError as error:
            st.warning(f"**This screen cannot be displayed.** {escape_markdown(error)}", icon=":material/info:")
            st.caption("`ganwatch dashboard --store STORE` opens another store.")
        except SQLAlchemyError as error:
            _open.clear()
            reason = str(error).splitlines()[0]
            st.warning(f"**The store `{store_name()}` cannot be read at the moment.** {escape_markdown(reason)}", icon=":material/info:")

    return screen
