"""A WSGI server for a few clients, which no client can keep busy or alive."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.message import Message
from email.parser import BytesHeaderParser
from http import HTTPStatus
from typing import Any

from ganwatch.core.errors import UserError, show_error
from ganwatch.web.allowed_hosts import VARIABLE, AllowedHosts

log = logging.getLogger("ganwatch")

MAX_CONNECTIONS = 64
"""Most open connections. A further client closes the one that has been reading or sending for longest."""
MAX_HEAD = 16_384
"""Longest request line and header together, in bytes."""
REQUEST_TIMEOUT = 5.0
"""Longest time from the connection to the end of the request's header, and again to the end of the answer, in seconds."""
CLOSE_TIMEOUT = 1.0
"""Longest time that ``close`` waits for answers that are being sent, in seconds."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
}


class WsgiServer:
    """Serve a WSGI application from a thread of its own, one request a connection, one call of the application at a time.

    Bodies of requests are not read; methods other than GET and HEAD are refused.

    Parameters
    ----------
    application : WSGI callable
        Must answer at once, because it holds up other clients.
    address : str
        Address to listen on.
    port : int
        0 to 65535; 0 chooses a free one.
    hosts : iterable of str
        Host names to answer, beside those of ``AllowedHosts``.
    name : str
        Name of the thread, and of the server in the log.

    Attributes
    ----------
    port : int
        Port that the server listens on.

    Raises
    ------
    UserError
        The port is in use, or the address does not belong to this machine.
    """

    def __init__(self, application: Application, address: str, port: int, *, hosts: Iterable[str] = (), name: str = "server") -> None:
        self._application, self._hosts, self._name = application, AllowedHosts(address, hosts), name
        self._socket = _listen(address, port)
        self.port = int(self._socket.getsockname()[1])
        self._connections: dict[asyncio.Task[None], bool] = {}  # True once the application was called, oldest first
        self._warned: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"ganwatch-{name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, let answers that are being sent end for ``CLOSE_TIMEOUT`` seconds, and drop all other connections."""
        with suppress(RuntimeError):  # closed before
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(2.0 * CLOSE_TIMEOUT)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._socket.close()
            self._loop.close()

    async def _serve(self) -> None:
        self._loop.set_exception_handler(lambda _loop, context: log.debug("%s: %s", self._name, context.get("message")))
        server = await asyncio.start_server(self._admit, sock=self._socket, limit=MAX_HEAD)
        await self._stop.wait()
        server.close()
        for task, is_answering in list(self._connections.items()):
            if not is_answering:
                task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=CLOSE_TIMEOUT)
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stop.is_set():
            writer.transport.abort()
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            oldest = next(iter(self._connections))
            oldest.cancel()
            del self._connections[oldest]
        task = self._loop.create_task(self._converse(reader, writer))
        self._connections[task] = False

        def drop(_: asyncio.Task[None]) -> None:
            self._connections.pop(task, None)
            writer.transport.abort()

        task.add_done_callback(drop)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, answer it and close the connection; a client that is too slow or goes away is dropped."""
        try:
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT):
                    head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError:
                answer = _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            else:
                task = asyncio.current_task()
                assert task is not None
                self._connections[task] = True
                answer = self._answer(head)
            async with asyncio.timeout(REQUEST_TIMEOUT):
                writer.write(answer)
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, EOFError, asyncio.CancelledError):
            pass  # the client was too slow, has gone, or must go; the transport is aborted in any case

    def _answer(self, head: bytes) -> bytes:
        line, _, rest = head.partition(b"\r\n")
        words = line.decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _plain(HTTPStatus.BAD_REQUEST)
        method, target, _ = words
        headers = BytesHeaderParser().parsebytes(rest)
        hosts = headers.get_all("host", [])
        if len(hosts) != 1 or not self._hosts.allow(str(hosts[0])):
            host = str(hosts[0])[:100] if hosts else ""
            self._warn_once("%s: refused a request for host %r; the environment variable %s allows it", self._name, host, VARIABLE)
            return _plain(HTTPStatus.FORBIDDEN, f"This host name is not allowed: {VARIABLE} takes further names, separated by commas.")
        if method not in {"GET", "HEAD"}:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
        return self._call_application(method, target, headers)

    def _warn_once(self, text: str, *values: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning(text, *values)

    def _call_application(self, method: str, target: str, headers: Message) -> bytes:
        path, _, query = target.partition("?")
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query}
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": str(value) for name, value in headers.items()}
        started: list[tuple[str, list[tuple[str, str]]]] = []
        try:
            parts = self._application(environ, lambda status, fields, _error=None: started.append((status, fields)))
            body = b"".join(parts)
        except Exception as error:  # noqa: BLE001  # a request that the application cannot read, or a fault of its own
            self._warn_once("%s: a request failed: %s", self._name, show_error(error))
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        status, fields = started[-1]
        return _message(status, dict(fields), body, is_head=method == "HEAD")


def _plain(status: HTTPStatus, text: str = "") -> bytes:
    body = f"{text or status.description or status.phrase}\n".encode()
    return _message(f"{status.value} {status.phrase}", {"Content-Type": "text/plain; charset=utf-8"}, body)


def _message(status: str, fields: dict[str, str], body: bytes, *, is_head: bool = False) -> bytes:
    fields = fields | _HEADERS | {"Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + (b"" if is_head else body)


def _listen(address: str, port: int) -> socket.socket:
    """Open a listening socket. It asks no resolver for the machine's own name, which may hang."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(place)
            opened.listen(MAX_CONNECTIONS)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port must be free on {address}, got {port}, which is in use; 0 chooses a free one") from error
        if error.errno == errno.EACCES:
            raise UserError(f"port must be one that this user may open, got {port}; 0 chooses a free one") from error
        raise UserError(f"address must be one of this machine's, got {address!r} ({error})") from error
    except UnicodeError as error:  # it has no form in which it could be asked for
        raise UserError(f"address must be one of this machine's, got {address!r} ({error})") from error
    return opened
