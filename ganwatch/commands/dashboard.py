"""``ganwatch dashboard``: show a store in the browser."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from typing import TYPE_CHECKING

from ganwatch.commands._arguments import STORE
from ganwatch.commands._parser import WholeNumber
from ganwatch.commands._terminal import print_text
from ganwatch.core.argument_checks import MAX_PORT, check_integer
from ganwatch.core.errors import MAX_SHOWN, UserError
from ganwatch.web.allowed_hosts import VARIABLE, AllowedHosts

if TYPE_CHECKING:
    import argparse

HELP = "show the runs in a store in the browser, live"
PARENTS = (STORE,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where to listen and which names to answer to."""
    parser.add_argument(
        "--port", type=WholeNumber(0, MAX_PORT), default=8501, help="port to listen at, 0 for any free one (default: %(default)s)"
    )
    parser.add_argument("--address", default="127.0.0.1", help="address to listen at; the dashboard has no login (default: %(default)s)")
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME",
        help=f"further host name under which browsers may ask, such as that of a proxy; may be repeated (also: {VARIABLE})",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Replace this process by the server; return only after an error."""
    from ganwatch.store.database import StoreMissingError, open_store

    port = _free_port(args.address, args.port)
    AllowedHosts(args.address, args.allowed_host)  # refuses what is no name
    if importlib.util.find_spec("streamlit") is None:
        raise UserError('the dashboard needs streamlit, which is not installed: pip install "ganwatch[dashboard]"')
    state = ""
    try:
        open_store(args.store, create=False).close()
    except StoreMissingError:
        state = " (empty until a training creates it)"
    host = f"[{args.address}]" if ":" in args.address else args.address
    print_text(f"dashboard of {_mask_password(args.store)}{state} at http://{host}:{port} (Ctrl+C ends it)")
    names = ",".join(filter(None, (os.environ.get(VARIABLE), *args.allowed_host)))
    # S606: no shell on purpose; exec delivers signals to the server itself
    os.execve(sys.executable, server_command(args.address, port), os.environ | {"GANWATCH_STORE": args.store, VARIABLE: names})  # noqa: S606


def server_command(address: str, port: int) -> list[str]:
    """Return the command line of the server. ``-P`` keeps modules of the current folder out of it."""
    return [sys.executable, "-P", "-m", "ganwatch.dashboards.server", address, str(port)]


def _free_port(address: str, port: int) -> int:
    check_integer("--port", port, 0, MAX_PORT)
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
