"""Guard in front of the server: it refuses unknown hosts and foreign origins, and sets the headers that isolate the page."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from ganwatch.web.allowed_hosts import VARIABLE, AllowedHosts

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""ASGI 3 application: scope, receive, send."""

FIXED_HEADERS = ((b"x-frame-options", b"DENY"), (b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
"""Headers of every answer, beside the policy."""


class RequestGuard:
    """ASGI application that hands on what is asked under an allowed name, by nobody but its own pages.

    Parameters
    ----------
    app : ASGI application
        The server behind it.
    hosts : AllowedHosts
        Names that the ``Host`` header may have.
    policy : str
        Content security policy of every answer.
    """

    def __init__(self, app: Application, hosts: AllowedHosts, policy: str) -> None:
        self._app = app
        self._hosts = hosts
        self._headers = ((b"content-security-policy", policy.encode()), *FIXED_HEADERS)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, a WebSocket handshake, or the start and end of the server."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            with suppress(CancelledError):  # the server ends and cuts off who still reads
                await self._app(scope, _binary_only(receive) if scope["type"] == "websocket" else receive, self._with_headers(send))
        else:
            await self._refuse(scope, send, *refusal)

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        """Return status and reason if the request is refused."""
        host, origin = _header(scope, b"host"), _header(scope, b"origin")
        if not self._hosts.allow(host):
            advice = f"start it with 'ganwatch dashboard --allowed-host NAME', or name it in {VARIABLE}"
            return 421, f"The dashboard does not answer to this host name. To allow it, {advice}."
        if scope["type"] == "websocket" and origin is not None and origin.partition("://")[2] != host:
            return 403, "The dashboard takes connections of its own pages only. A proxy in front of it must pass on the Host header."
        return None

    def _with_headers(self, send: Send) -> Send:
        """Wrap ``send``, so that each answer has the headers. A policy of the answer itself stays, because browsers apply both."""
        replaced = {name for name, _ in FIXED_HEADERS}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in replaced]
                message = {**message, "headers": [*kept, *self._headers]}
            await send(message)

        return send_with_headers

    async def _refuse(self, scope: Message, send: Send, status: int, reason: str) -> None:
        """Answer with one line. The prefix makes it the answer to a WebSocket handshake."""
        prefix = "websocket." if scope["type"] == "websocket" else ""
        body = f"{reason}\n".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *self._headers]
        await send({"type": f"{prefix}http.response.start", "status": status, "headers": headers})
        await send({"type": f"{prefix}http.response.body", "body": body})


def _binary_only(receive: Receive) -> Receive:
    """Wrap ``receive``, so that text frames, which Streamlit does not expect, are left out."""

    async def receive_binary() -> Message:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive" or message.get("bytes") is not None:
                return message

    return receive_binary


def _header(scope: Message, name: bytes) -> str | None:
    """Return a header, or None if it is missing. One that is given twice has no value that is allowed."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(values) if values else None
