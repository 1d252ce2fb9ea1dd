"""Lines of JSON from every rank to rank 0 over connections of their own: no collective, and no training waits for them."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

CAPACITY = 1000
"""Messages that wait to be sent at most; the oldest ones are given up first."""
SHAKE = 5.0
"""Seconds in which a connection has to stand, and a rank that has connected has to say who it is, in …"""
GREETING = 100
"""… so many characters."""

Address = tuple[str, int, str]
"""Host, port, and the word that shows that a connection belongs to this training."""


class Inlet:
    """Rank 0's end: a port that is open until every other rank has connected.

    Parameters
    ----------
    host : str
        By which the others reach this process; where that is this machine alone, nobody else can connect.
    others : int
        Ranks to expect.
    on_message : callable
        Gets the rank and the message, from a thread of that rank's own.
    on_end : callable
        Gets a rank that will say no more, whatever ended it.

    Examples
    --------
    >>> heard = threading.Event()
    >>> inlet = Inlet("localhost", 1, lambda rank, message: print(rank, message), lambda rank: heard.set())
    >>> outlet = Outlet(1, lambda: inlet.address)
    >>> outlet.send({"loss/g": 0.5})
    >>> outlet.close(patience=5.0), heard.wait(5.0), inlet.close()
    1 {'loss/g': 0.5}
    (None, True, None)
    """

    def __init__(self, host: str, others: int, on_message: Callable[[int, Any], None], on_end: Callable[[int], None]) -> None:
        self._on_message, self._on_end = on_message, on_end
        local = host in {"localhost", "127.0.0.1", "::1"}
        both = not local and socket.has_dualstack_ipv6()
        self._server = socket.create_server(
            ("127.0.0.1" if local else "", 0), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both
        )
        self._server.settimeout(1.0)
        self.address: Address = host, self._server.getsockname()[1], secrets.token_hex(16)
        self._connections: list[socket.socket] = []
        self._closed = False
        threading.Thread(target=self._accept, args=(others,), name="ganwatch-ranks", daemon=True).start()

    def _accept(self, others: int) -> None:
        with self._server:
            while others and not self._closed:
                with suppress(TimeoutError):
                    connection, _ = self._server.accept()
                    others -= self._greeted(connection)

    def _greeted(self, connection: socket.socket) -> bool:
        """Whether it is another rank that has connected."""
        connection.settimeout(SHAKE)
        lines = connection.makefile("r", encoding="utf-8")
        with suppress(OSError, ValueError):
            word, _, rank = lines.readline(GREETING).partition(" ")
            if secrets.compare_digest(word.encode(), self.address[2].encode()):
                connection.settimeout(None)
                self._connections.append(connection)
                threading.Thread(target=self._hear, args=(int(rank), lines), name=f"ganwatch-rank-{int(rank)}", daemon=True).start()
                return True
        lines.close()
        connection.close()
        return False

    def _hear(self, rank: int, lines: IO[str]) -> None:
        try:
            with lines, suppress(OSError, ValueError):  # it died, in the middle of a line even
                for line in lines:
                    self._on_message(rank, json.loads(line))
        finally:
            self._on_end(rank)

    def close(self) -> None:
        """Hear no more."""
        self._closed = True
        for connection in self._connections:
            _hang_up(connection)


class Outlet:
    """Another rank's end: sends from a thread of its own, and is silent where nobody listens (any more).

    Parameters
    ----------
    rank : int
    find : callable
        Gives the address, in that thread; it may take its time, and raise OSError or RuntimeError.
    """

    def __init__(self, rank: int, find: Callable[[], Address]) -> None:
        self._queue: deque[Any] = deque(maxlen=CAPACITY)
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, args=(rank, find), name="ganwatch-ranks", daemon=True)
        self._thread.start()

    def send(self, message: Any) -> None:
        """Take a message of JSON types."""
        with self._changed:
            self._queue.append(message)
            self._changed.notify()

    def close(self, patience: float) -> None:
        """Send what waits, in so many seconds at most, and hang up."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)

    def _work(self, rank: int, find: Callable[[], Address]) -> None:
        with suppress(OSError, RuntimeError):
            host, port, word = find()
            connection = socket.create_connection((host, port), timeout=SHAKE)
            connection.settimeout(None)
            try:
                connection.sendall(f"{word} {rank}\n".encode())
                while (message := self._next()) is not None:
                    connection.sendall(json.dumps(message).encode() + b"\n")
            finally:
                _hang_up(connection)

    def _next(self) -> Any:
        """A message, once there is one; None where there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return self._queue.popleft() if self._queue else None


def _hang_up(connection: socket.socket) -> None:
    """End a connection for good, also where a child process has inherited it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
