"""The server in front of the screens: how it starts, who may ask under which name, and how it ends."""

from __future__ import annotations

import http.client
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ganwatch.dashboards import server

from ganwatch.cli import parser
from ganwatch.commands import dashboard as command
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


def options(**given: object) -> object:
    return parser().parse_args(["dashboard", *(f"--{name}={value}" for name, value in given.items())])


def test_command_refuses_what_cannot_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(tmp_path / "runs").close()
    foreign, no_database, folder = tmp_path / "foreign.db", tmp_path / "notes.txt", tmp_path / "folder.db"
    with closing(sqlite3.connect(foreign)) as connection, connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    no_database.write_text("no database at all\n" * 100)
    folder.mkdir()
    for store, reason in ((foreign, "store must have a schema"), (no_database, "file is not a database"), (folder, "store must exist")):
        with pytest.raises(ValueError, match=reason) as error:
            command.run(options(store=store, port=0))
        assert "\n" not in str(error.value)
    for rule, given in (
        (r"--port must be in 0…65535, got 70000", {"port": 70_000}),
        (r"must be free to listen at, got 203\.0\.113\.1:0", {"port": 0, "address": "203.0.113.1"}),
        (r"allowed host must be a host name or an IP address without a port, got 'a:b'", {"port": 0, "allowed-host": "a:b"}),
    ):
        with pytest.raises(ValueError, match=rule):
            command.run(options(store=foreign, **given))  # arguments are checked before anything else
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "ganwatch\[dashboard\]"'):
        command.run(options(store=tmp_path / "runs", port=0))


def test_command_hands_on_store_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("os.execve", lambda program, line, environment: started.append((line, environment)))
    monkeypatch.setenv("GANWATCH_ALLOWED_HOSTS", "proxy.lab")
    arguments = ["dashboard", "--store", str(tmp_path / "new"), "--port", "0", "--allowed-host", "a.lab", "--allowed-host", "b.lab"]
    with suppress(TypeError):  # it does not return
        command.run(parser().parse_args(arguments))
    [(line, environment)] = started
    assert line[-3:-1] == ["ganwatch.dashboards.server", "127.0.0.1"]
    assert environment["GANWATCH_STORE"] == str(tmp_path / "new")
    assert environment["GANWATCH_ALLOWED_HOSTS"] == "proxy.lab,a.lab,b.lab"
    assert "empty until a training creates it" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_server_listens_where_told_and_reports_nothing_home(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn
    from streamlit import config

    calls: list[dict[str, object]] = []
    before = {name: config.get_option(name) for name in (*server.OPTIONS, "server.address", "server.port", "server.headless")}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: calls.append(options))
    try:
        server.serve("127.0.0.1", 8501)
        assert {name: config.get_option(name) for name in server.OPTIONS} == server.OPTIONS
    finally:
        for name, value in before.items():
            config.set_option(name, value)
    assert [(call["host"], call["port"]) for call in calls] == [("127.0.0.1", 8501)]
    expected = {"browser.gatherUsageStats": False, "server.enableCORS": True, "server.enableXsrfProtection": True, "theme.base": "light"}
    assert server.OPTIONS.items() >= expected.items()
    assert command.server_command("127.0.0.1", 8501)[-3:] == ["ganwatch.dashboards.server", "127.0.0.1", "8501"]
