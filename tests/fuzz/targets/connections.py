"""Bytes from other machines: requests to the exporter's server, and messages of ranks."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cases import MUTATED, ODD, VALID, Case, Cases, Target
from hypothesis import strategies as st
from mutations import JSON, PLANS, damage

from ganwatch.distributed.merging import RankMerger
from ganwatch.distributed.transport import MessageServer
from ganwatch.web import wsgi_server
from ganwatch.web.wsgi_server import WsgiServer

WAIT_SECONDS = 8.0
LAST = [[3, {"loss/g": 0.5}]]


def application(environ: dict[str, Any], start: Any) -> list[bytes]:
    """Answer with the path, as the exporter would with its series."""
    start("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1"), b"?", environ["QUERY_STRING"].encode("latin-1")]


class Failures:
    """Errors that the server logs."""

    found: list[BaseException] = []  # noqa: RUF012  # of this process

    def debug(self, _text: str, _name: str, message: Any) -> None:
        self.found.append(RuntimeError(str(message)))

    def warning(self, text: str, *values: Any) -> None:
        if "failed" in text:  # refusing a host is no failure
            self.found.append(RuntimeError(text % values))


@cache
def server() -> WsgiServer:
    return WsgiServer(application, "127.0.0.1", 0)


def request(number: int) -> bytes:
    return f"GET /metrics/{number} HTTP/1.1\r\nHost: localhost:{number % 65_536}\r\nAccept: */*\r\n\r\n".encode()


ODD_REQUESTS = (
    b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 3000 + b"\r\n", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    b"GET /\xff\xc3\x28 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\xff: \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n : x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: =?utf-8?q?=ff?=\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: =?utf-8?b?////?=\r\n\r\n", b"\x16\x03\x01\x02\x00",
    b"GET / HTTP/1." + b"9" * 10_000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b"GET / HTTP/1.1\r\nHost: " + b"a." * 7000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: " + b"-" * 9000 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nFrom x\r\n\r\n",
    b"HEAD / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nA:" + b" \r\n x" * 2000 + b"\r\n\r\n",
    b"GET /?" + b"&" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
)  # fmt: skip


class Requests(Target):
    """A request, after which the server still answers."""

    name = "requests"

    def prepare(self) -> None:
        server()

    def cases(self) -> Cases:
        numbers = st.integers(0, 10**6)
        valid = numbers.map(lambda number: Case(VALID, request(number), f"/metrics/{number}?"))
        mutated = st.builds(lambda number, plan: Case(MUTATED, damage(request(number), plan)), numbers, PLANS)
        return Cases(valid, mutated | st.sampled_from(ODD_REQUESTS).map(lambda content: Case(ODD, content)))

    def read(self, case: Case, folder: Path) -> Any:
        with patch.object(wsgi_server, "log", Failures()):
            answer = _ask(case.value)
        head, _, body = answer.partition(b"\r\n\r\n")
        words = head.split(b" ")
        if answer and (not head.startswith(b"HTTP/1.1 ") or words[1] not in {b"200", b"400", b"403", b"405", b"431"}):
            raise AssertionError(f"the server answers {answer[:200]!r}")
        if not _ask(request(1)).endswith(b"/metrics/1?"):
            raise AssertionError("the server answers no more")
        if Failures.found:
            raise Failures.found.pop()
        return body.decode("latin-1")


def _ask(content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server().port), timeout=WAIT_SECONDS) as connection:
        parts = []
        with suppress(ConnectionError):
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while part := connection.recv(2**16):
                parts.append(part)
    return b"".join(parts)


ODD_GREETINGS = (b"", b"\n", b"x 1\n", b"TOKEN\n", b"TOKEN 1 2\n", b"TOKEN -1\n", b"TOKEN \xb2\n", b"TOKEN 99999999999999999999\n",
    b"TOKEN 7\n[[1, {}]]\n", b"TOKEN " + b"9" * 60 + b"\n", b"\xff" * 200, b"a" * 10_000)
ODD_LINES = (b"[" * 100_000, b"{}", b"3", b"[[1]]", b"[[1, 2, 3]]", b'[["a", {"loss/g": 1}]]', b'[[1, {"loss/g": "x"}]]', b"[[1, 3]]",
    b"[[1e999, {}]]", b"[[true, {}]]", b"[[null, {}]]", b"9" * 5000, b"NaN", b"\xff\xfe", b'"\\ud800"', b'[[1, {"loss/g": null}]]',
             b'[[1, {"loss/g": 1' + b"0" * 400 + b"}]]", b'[[1, {"loss/g": [1]}]]', b"[[[], {}]]", b"[" + b"[1, {}]," * 3000 + b"[2, {}]]",
             b'[[1, {"' + b"x" * 100_000 + b'": 1.0}]]', b'[[-1, {"loss/g": 1.0}]]', b'[[1, {"": 1.0}]]')  # fmt: skip


class Ranks(Target):
    """The greeting and the messages of another rank; TOKEN stands for the right one."""

    name = "ranks"

    def cases(self) -> Cases:
        valid = st.floats(allow_nan=False).map(lambda value: Case(VALID,
            b"TOKEN 1\n" + json.dumps([[1, {"loss/g": value}]]).encode() + b"\n", [[1, value]]))
        greetings = st.sampled_from(ODD_GREETINGS).map(lambda content: Case(ODD, content))
        lines = (st.sampled_from(ODD_LINES) | JSON.map(lambda value: json.dumps(value).encode())).map(lambda line: Case(ODD,
            b"TOKEN 1\n" + line + b"\n" + b'[[2, {"loss/g": 1.0}]]\n'))
        mutated = st.builds(lambda plan: Case(MUTATED, damage(b"TOKEN 1\n" + b'[[1, {"loss/g": 1.0}]]\n' * 3, plan)), PLANS)
        return Cases(valid, greetings | lines | lines | mutated)

    def read(self, case: Case, folder: Path) -> Any:
        received: list[Any] = []
        merger = RankMerger([1])
        ended, rightly = threading.Event(), threading.Event()

        def take(rank: int, message: Any) -> None:
            merger.add_remote(rank, message)
            received.append(message)
            if message == LAST:
                rightly.set()

        others = 2
        opened = MessageServer("localhost", others, take, lambda _rank: ended.set())
        try:
            _, port, token = opened.address
            _send(port, case.value.replace(b"TOKEN", token.encode()))
            if case.kind == VALID and not ended.wait(WAIT_SECONDS):
                raise AssertionError("a rank is not received")
            if case.kind != VALID:
                _send(port, token.encode() + b" 1\n" + json.dumps(LAST).encode() + b"\n")
                if not rightly.wait(WAIT_SECONDS):
                    raise AssertionError("another rank is not received afterwards")
        finally:
            opened.close()
        for step, values, _ in merger.add_local([(step, {"loss/g": 1.0}, 0.0) for step in range(1, 5)]) + merger.merge_rest(0.0):
            if not isinstance(step, int) or not all(isinstance(value, float) for value in values.values()):
                raise AssertionError(f"merged values are no numbers: {values}")
        return [[step, values["loss/g"]] for message in received for step, values in message] if case.kind == VALID else None


def _send(port: int, content: bytes) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)


TARGETS = [Requests(), Ranks()]
