"""The server: what it answers and refuses, and that no client keeps it busy or alive."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from ganwatch.core.errors import UserError
from ganwatch.web import wsgi_server
from ganwatch.web.allowed_hosts import VARIABLE, AllowedHosts
from ganwatch.web.wsgi_server import MAX_CONNECTIONS, MAX_HEAD, WsgiServer

PATIENCE = 30.0


def application(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise ValueError("broken")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["QUERY_STRING"].encode(), environ.get("HTTP_X_SENT", "").encode()]


@pytest.fixture
def server():
    server = WsgiServer(application, "127.0.0.1", 0, hosts=["gpu7.lab"])
    yield server
    server.close()


def connect(server: WsgiServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def send(server: WsgiServer, request: bytes) -> bytes:
    """Return the whole answer; empty if the server closed the connection without one."""
    with connect(server) as client:
        client.sendall(request)
        answer = b""
        try:
            while part := client.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def ask(server: WsgiServer, host: str, path: str = "/") -> int:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", path, headers={"Host": host})
    return connection.getresponse().status


def test_a_request_is_passed_on_and_its_answer_comes_back_with_a_policy(server):
    answer = send(server, b"GET /page?a=1 HTTP/1.1\r\nHost: localhost\r\nX-Sent: one\r\n\r\n")
    head, body = answer.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"frame-ancestors 'none'" in head
    assert b"Content-Length: 6" in head
    assert body == b"a=1one"
    assert send(server, b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").endswith(b"\r\n\r\n")


LOOPBACK = "127.0.0.1:9090 localhost LOCALHOST:1 a.localhost [::1]:80 127.8.8.8"
FOREIGN = "evil.example evil.example:9090 127.0.0.1.evil.example localhost.evil.example 10.0.0.7 a@localhost [::1 127.1"


@pytest.mark.parametrize("host", [*LOOPBACK.split(), "gpu7.lab", "gpu7.lab."])
def test_loopback_names_and_configured_ones_are_answered(server, host):
    assert ask(server, host) == 200


@pytest.mark.parametrize("host", ["", *FOREIGN.split()])
def test_other_hosts_are_refused_with_the_way_to_allow_them(server, host, caplog):
    with caplog.at_level(logging.WARNING):
        answer = send(server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        send(server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert VARIABLE.encode() in answer
    assert len(caplog.records) == 1  # not a line for each request


def test_the_environment_allows_names(monkeypatch):
    monkeypatch.setenv(VARIABLE, " node1.lab, 10.0.0.7 ,")
    hosts = AllowedHosts("127.0.0.1")
    assert [hosts.allow(host) for host in ("node1.lab:80", "10.0.0.7", "10.0.0.8")] == [True, True, False]
    monkeypatch.setenv(VARIABLE, "http://node1.lab")
    with pytest.raises(UserError, match=r"GANWATCH_ALLOWED_HOSTS must be a host name or an IP address without a port, got 'http://node1.lab'"):
        AllowedHosts("127.0.0.1")


def test_the_address_that_is_listened_on_is_allowed():
    assert AllowedHosts("10.0.0.7").allow("10.0.0.7:1")
    assert not AllowedHosts("10.0.0.7").allow("10.0.0.8:1")
    assert AllowedHosts("node1.lab").allow("node1.lab")
    assert AllowedHosts("::").allow("[fe80::1]:80")
    assert not AllowedHosts("::").allow("evil.example")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n", b"405"),
        (b"GET /\r\n\r\n", b"400"),
        (b"\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n", b"500"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD, b"431"),
    ],
)
def test_a_wrong_request_has_its_status(server, request_, status):
    assert send(server, request_).split(b" ")[1] == status
    assert ask(server, "localhost") == 200


def test_silent_clients_keep_nobody_out_and_print_nothing(server, caplog, capfd):
    with ExitStack() as clients:
        for _ in range(3 * MAX_CONNECTIONS):
            clients.enter_context(connect(server))
        assert ask(server, "localhost") == 200
    assert ask(server, "localhost") == 200
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


class Trickle(threading.Thread):
    """A client that sends a byte of a header whenever it can, until the server closes the connection."""

    def __init__(self, server: WsgiServer) -> None:
        super().__init__()
        self.socket = connect(server)
        self.socket.sendall(b"GET / HTTP/1.1\r\n")

    def run(self) -> None:
        with self.socket:
            self.socket.settimeout(0.01)
            for _ in range(int(PATIENCE / 0.01)):
                try:
                    self.socket.sendall(b"a")
                    if self.socket.recv(1) == b"":
                        return
                except TimeoutError:
                    continue
                except OSError:
                    return


def test_a_trickling_client_is_dropped_by_the_time_of_its_request(monkeypatch):
    monkeypatch.setattr(wsgi_server, "REQUEST_TIMEOUT", 0.1)
    server = WsgiServer(application, "127.0.0.1", 0)
    client = Trickle(server)
    client.start()
    client.join(PATIENCE)
    assert not client.is_alive()
    server.close()


def test_closing_waits_for_no_client_and_leaves_no_thread_and_no_socket():
    before = set(threading.enumerate())
    server = WsgiServer(application, "127.0.0.1", 0)
    clients = [Trickle(server) for _ in range(5)]
    for client in clients:
        client.start()
    assert ask(server, "localhost") == 200
    closing = threading.Thread(target=server.close)
    closing.start()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    server.close()
    for client in clients:
        client.join(PATIENCE)
    assert set(threading.enumerate()) == before
    WsgiServer(application, "127.0.0.1", server.port).close()


def test_an_answer_that_is_not_read_does_not_hold_up_the_end():
    def large(environ, start_response):
        start_response("200 OK", [])
        return [bytes(64 * 2**20)]

    server = WsgiServer(large, "127.0.0.1", 0)
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1)  # the answer has begun
        server.close()
    assert not server._thread.is_alive()
