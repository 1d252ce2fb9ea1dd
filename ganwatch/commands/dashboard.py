"""``ganwatch dashboard``: show a store in the browser."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from typing import TYPE_CHECKING

from ganwatch.commands._arguments import STORE
from ganwatch.commands._terminal import print_text
from ganwatch.core.errors import MAX_SHOWN, UserError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

HELP = "show the runs in a store in the browser, live"
PARENTS = (STORE,)

THEME = {
    "base": "light",
    "primaryColor": "#2b6cb0",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f4f6f8",
    "textColor": "#1f2933",
    "borderColor": "#dde3e9",
    "font": "sans-serif",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--port`` and ``--address``."""
    parser.add_argument("--port", type=int, default=8501, help="port to listen at, 0 for any free one (default: %(default)s)")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen at; the dashboard has no login (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Replace this process by the server; return only after an error."""
    from ganwatch.core.package_data import packaged_folder
    from ganwatch.store.database import open_store

    if importlib.util.find_spec("streamlit") is None:
        raise UserError('the dashboard needs streamlit, which is not installed: pip install "ganwatch[dashboard]"')
    open_store(args.store, create=False).close()
    port = _free_port(args.address, args.port)
    app = packaged_folder("dashboards") / "app.py"
    host = f"[{args.address}]" if ":" in args.address else args.address
    print_text(f"dashboard of {_mask_password(args.store)} at http://{host}:{port} (Ctrl+C ends it)")
    # S606: no shell on purpose; exec delivers signals to the server itself
    os.execve(sys.executable, server_command(app, args.address, port), os.environ | {"GANWATCH_STORE": args.store})  # noqa: S606


def server_command(app: Path, address: str, port: int) -> list[str]:
    """Return the command line of the server, which opens no browser, reports no usage and watches no source files."""
    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "logger.hideWelcomeMessage": "true",
    } | {f"theme.{name}": value for name, value in THEME.items()}
    return [sys.executable, "-m", "streamlit", "run", str(app), *(f"--{name}={value}" for name, value in options.items())]


def _free_port(address: str, port: int) -> int:
    if not 0 <= port <= 65535:  # 16 bits
        raise UserError(f"--port must be in 0…65535, got {port}")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            return int(probe.getsockname()[1])
    except (OSError, UnicodeError) as error:  # some addresses have no form in which they could be asked for
        reason = getattr(error, "strerror", None) or error
        got = f"{address[:MAX_SHOWN]}:{port} ({reason})"
        raise UserError(f"--port and --address must be free to listen at, got {got}; try --port 0") from None


def _mask_password(store: str) -> str:
    if "://" not in store:
        return store
    from sqlalchemy import make_url

    return make_url(store).render_as_string(hide_password=True)
