"""Server of the screens: ``python -m ganwatch.dashboards.server ADDRESS PORT``. Start it with ``ganwatch dashboard``.

Streamlit's application runs behind ``RequestGuard``. ``streamlit run`` could not end while a client reads slowly, so uvicorn runs here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from streamlit import config, file_util
from streamlit.starlette import App

from ganwatch.web.allowed_hosts import AllowedHosts

from .page_policy import build_policy
from .request_guard import RequestGuard

OPTIONS = {
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.enableAgentApi": False,
    "server.enableStaticServing": False,
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "theme.base": "light",
    "theme.primaryColor": "#2b6cb0",
    "theme.backgroundColor": "#ffffff",
    "theme.secondaryBackgroundColor": "#f4f6f8",
    "theme.textColor": "#1f2933",
    "theme.borderColor": "#dde3e9",
    "theme.font": "sans-serif",
}
"""Options of Streamlit. An option that it does not know ends the server at its start."""
GRACE_SECONDS = 1
"""Time that open requests have after Ctrl-C."""


def serve(address: str, port: int) -> None:
    """Serve the screens until a signal ends the process."""
    options = OPTIONS | {"server.address": address, "server.port": port, "server.headless": True}
    for name, value in options.items():
        config.set_option(name, value)
    policy = build_policy(Path(file_util.get_static_dir(), "index.html").read_text("utf-8"))
    app = RequestGuard(App(Path(__file__).with_name("app.py")), AllowedHosts(address), policy)
    uvicorn.run(
        app, host=address, port=port, log_level="warning", access_log=False, server_header=False, ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
