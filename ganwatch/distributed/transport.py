"""Sends lines of JSON from every rank to rank 0 over separate connections, without collectives and without delay for the training."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

MAX_QUEUED_MESSAGES = 1000
"""Number of messages that wait to be sent. Beyond it the oldest ones are dropped."""
HANDSHAKE_TIMEOUT = 5.0
"""Longest time for opening a connection, and for the whole greeting of a rank, in seconds."""
MAX_GREETING_LENGTH = 100
"""Number of bytes that are read of a greeting."""
MAX_MESSAGE_LENGTH = 2**24
"""Longest message, in characters. A rank that sends a longer one, or anything but steps, is no longer listened to."""
MAX_HANDSHAKES = 64
"""Number of peers whose greeting is awaited at a time. A further one takes the place of the oldest."""

Address = tuple[str, int, str]
"""Host, port, and a token that shows that a connection belongs to this training."""


class MessageServer:
    """Rank 0's end of the connections. Its port is open until every other rank has connected.

    Parameters
    ----------
    host : str
        Host name by which the others reach this process. If it names this machine only, no other machine can connect.
    others : int
        Number of ranks to expect.
    on_message : callable
        Called with a rank and a message, from a separate thread per rank.
    on_end : callable
        Called with a rank that sends no more, for any reason.

    Examples
    --------
    >>> ended = threading.Event()
    >>> server = MessageServer("localhost", 1, lambda rank, message: print(rank, message), lambda rank: ended.set())
    >>> client = MessageClient(1, lambda: server.address)
    >>> client.send({"loss/g": 0.5})
    >>> client.close(timeout=5.0), ended.wait(5.0), server.close()
    1 {'loss/g': 0.5}
    (None, True, None)
    """

    def __init__(self, host: str, others: int, on_message: Callable[[int, Any], None], on_end: Callable[[int], None]) -> None:
        self._on_message, self._on_end, self._others = on_message, on_end, others
        local = host in {"localhost", "127.0.0.1", "::1"}
        both = not local and socket.has_dualstack_ipv6()
        self._socket = socket.create_server(
            ("127.0.0.1" if local else "", 0), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both
        )
        self._socket.settimeout(1.0)
        self.address: Address = host, self._socket.getsockname()[1], secrets.token_hex(16)
        self._connections: list[socket.socket] = []
        self._closed = False
        self._strangers: deque[socket.socket] = deque()
        threading.Thread(target=self._accept_ranks, args=(others,), name="ganwatch-ranks", daemon=True).start()

    def _accept_ranks(self, others: int) -> None:
        with self._socket:
            while len(self._connections) < others and not self._closed:
                with suppress(TimeoutError):
                    connection, _ = self._socket.accept()
                    self._strangers.append(connection)
                    if len(self._strangers) > MAX_HANDSHAKES:
                        _shut_down(self._strangers.popleft())
                    threading.Thread(target=self._handshake, args=(connection,), name="ganwatch-handshake", daemon=True).start()

    def _handshake(self, connection: socket.socket) -> None:
        """Read the greeting, and receive if the peer is another rank; close the connection if not."""
        greeting = b""
        with suppress(OSError):
            greeting = _read_greeting(connection)
        token, _, rank = greeting.partition(b" ")
        number = int(rank) if rank.isdigit() else 0
        if secrets.compare_digest(token, self.address[2].encode()) and 1 <= number <= self._others:
            connection.settimeout(None)
            self._connections.append(connection)
            lines = connection.makefile("r", encoding="utf-8")
            threading.Thread(target=self._receive, args=(number, lines), name=f"ganwatch-rank-{number}", daemon=True).start()
        else:
            connection.close()
        with suppress(ValueError):  # it was the oldest of too many
            self._strangers.remove(connection)

    def _receive(self, rank: int, lines: IO[str]) -> None:
        try:
            with lines, suppress(OSError, ValueError, RecursionError):  # the rank died, perhaps in the middle of a line, or is none of ours
                while len(line := lines.readline(MAX_MESSAGE_LENGTH + 1)) in range(1, MAX_MESSAGE_LENGTH + 1):
                    self._on_message(rank, json.loads(line))
        finally:
            self._on_end(rank)

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        for connection in self._connections:
            _shut_down(connection)


def _read_greeting(connection: socket.socket) -> bytes:
    """Read a line, however slowly it comes, until ``HANDSHAKE_TIMEOUT``; byte by byte, because messages follow it."""
    deadline, line = time.monotonic() + HANDSHAKE_TIMEOUT, b""
    while len(line) < MAX_GREETING_LENGTH:
        connection.settimeout(max(deadline - time.monotonic(), 1e-3))
        byte = connection.recv(1)
        if byte in {b"\n", b""}:
            return line if byte else b""
        line += byte
    return b""


class MessageClient:
    """Another rank's end of a connection. It sends from its own thread, and gives up silently if rank 0 does not listen.

    Parameters
    ----------
    rank : int
    find_address : callable
        Called in that thread. It returns the address, may block, and may raise OSError or RuntimeError.
    """

    def __init__(self, rank: int, find_address: Callable[[], Address]) -> None:
        self._queue: deque[Any] = deque(maxlen=MAX_QUEUED_MESSAGES)
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._send_until_closed, args=(rank, find_address), name="ganwatch-ranks", daemon=True)
        self._thread.start()

    def send(self, message: Any) -> None:
        """Queue a message of JSON types."""
        with self._changed:
            self._queue.append(message)
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Send the queued messages, for ``timeout`` seconds at most, and disconnect."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _send_until_closed(self, rank: int, find_address: Callable[[], Address]) -> None:
        with suppress(OSError, RuntimeError):
            host, port, token = find_address()
            connection = socket.create_connection((host, port), timeout=HANDSHAKE_TIMEOUT)
            connection.settimeout(None)
            try:
                connection.sendall(f"{token} {rank}\n".encode())
                while (message := self._next_message()) is not None:
                    connection.sendall(json.dumps(message).encode() + b"\n")
            finally:
                _shut_down(connection)

    def _next_message(self) -> Any:
        """Wait for a message and return it, or None after ``close`` if none is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return self._queue.popleft() if self._queue else None


def _shut_down(connection: socket.socket) -> None:
    """End a connection for good, even if a child process has inherited it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
