"""The server in front of the screens: who may ask, under which name, and how it ends."""

from __future__ import annotations

import http.client
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ganwatch.store.database import open_store

pytestmark = pytest.mark.xdist_group("dashboards")

PATHS = ("/", "/curves?run=x", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/_stcore/agent/openapi.json", "/media/x.png")
HEADERS = {"x-frame-options": "DENY", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
SECONDS_TO_END = 4.0
"""Two seconds are promised; the rest is for a busy machine."""


def ask(base: str, path: str, **headers: str | None) -> tuple[int, dict[str, str], str]:
    """Status, headers and body; the header ``host=None`` is left out."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
    connection.putrequest("GET", path, skip_host="host" in headers)
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    connection.close()
    return found


def handshake(base: str, host: str | None = None, origin: str | None = None) -> tuple[int, str]:
    """Status and body of a WebSocket handshake on the stream of the screens."""
    key = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "YWFhYWFhYWFhYWFhYWFhYQ=="}
    named = ({"host": host} if host else {}) | ({"origin": origin} if origin else {})
    status, _, body = ask(base, "/_stcore/stream", **key, **named)
    return status, body


@pytest.mark.parametrize("path", PATHS)
def test_only_allowed_host_names_are_answered(dashboard: str, path: str) -> None:
    port = urlsplit(dashboard).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost", "[::1]"):
        assert ask(dashboard, path, host=host)[0] in {200, 404}
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "10.0.0.7", "localhost@evil.example", ""):
        status, headers, body = ask(dashboard, path, host=host)
        assert status == 421
        assert "--allowed-host NAME" in body
        assert "GANWATCH_ALLOWED_HOSTS" in body
        assert body.count("\n") == 1
        assert headers.items() >= HEADERS.items()
    assert ask(dashboard, path, host=None)[0] in {400, 421}


def test_a_request_without_or_with_two_host_names_is_refused(dashboard: str) -> None:
    for request in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", urlsplit(dashboard).port or 0), timeout=30) as client:
            client.sendall(request)
            assert client.recv(1000).split()[1] in {b"400", b"421"}


def test_the_stream_takes_its_own_pages_alone(dashboard: str) -> None:
    own = urlsplit(dashboard).netloc
    assert handshake(dashboard, own, f"http://{own}")[0] == 101
    assert handshake(dashboard, own)[0] == 101  # no browser
    status, body = handshake(dashboard, "evil.example", "http://evil.example")
    assert (status, "--allowed-host NAME" in body) == (421, True)
    for origin in ("http://evil.example", "http://localhost:9", "http://127.0.0.1", "null", f"http://{own}.evil.example"):
        status, body = handshake(dashboard, own, origin)
        assert (status, "of its own pages only" in body) == (403, True)


@pytest.mark.parametrize("path", [*PATHS, "/nothing/here.js"])
def test_every_answer_isolates_the_page(dashboard: str, path: str) -> None:
    _, headers, _ = ask(dashboard, path)
    assert headers.items() >= HEADERS.items()
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy.items() >= {"default-src": "'self'", "frame-ancestors": "'none'", "object-src": "'none'", "connect-src": "'self'"}.items()
    assert "unsafe" not in policy["script-src"]
    assert "http" not in headers["content-security-policy"]


def send_nothing(port: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]


def send_half_a_header(port: int) -> list[socket.socket]:
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHos")
    return clients


def send_half_a_body(port: int) -> list[socket.socket]:
    client = socket.create_connection(("127.0.0.1", port))
    head = "PUT /_stcore/upload_file/a/b HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    client.sendall(f"{head}Content-Length: 100000\r\n\r\n--x".encode())
    return [client]


def read_nothing(port: int) -> list[socket.socket]:
    """Asks for the largest script again and again, and takes none of it."""
    import streamlit

    script = max((Path(streamlit.__file__).parent / "static" / "static" / "js").glob("*.js"), key=lambda file: file.stat().st_size)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET /static/js/{script.name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return [client]


def test_names_can_be_added_and_slow_clients_hold_nobody_up(tmp_path: Path, start: Callable[..., object]) -> None:
    open_store(tmp_path / "runs").close()
    options = ("--allowed-host", "gpu7.lab", "--allowed-host", "Other.LAB")
    with start(tmp_path / "runs", *options, GANWATCH_ALLOWED_HOSTS="proxy.lab") as (base, process), ExitStack() as open_clients:
        for host in ("gpu7.lab:8501", "other.lab", "PROXY.lab"):
            assert ask(base, "/_stcore/health", host=host)[0] == 200
        assert handshake(base, "gpu7.lab", "https://gpu7.lab")[0] == 101
        assert ask(base, "/_stcore/health", host="evil.example")[0] == 421
        for attack in (send_nothing, send_half_a_header, send_half_a_body, read_nothing):
            for client in attack(urlsplit(base).port or 0):
                open_clients.enter_context(client)
            started = time.monotonic()
            assert ask(base, "/_stcore/health")[0] == 200
            assert time.monotonic() - started < SECONDS_TO_END
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert time.monotonic() - started < SECONDS_TO_END
        assert "Traceback" not in process.stdout.read()
