"""Names under which a server may be asked.

A server on loopback has no login. A web page of another origin can still reach it if the page's name resolves to 127.0.0.1 ("DNS
rebinding"). The browser then sends that name as ``Host``, so a server that refuses unknown names refuses the page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from ganwatch.core.errors import UserError

VARIABLE = "GANWATCH_ALLOWED_HOSTS"
"""Environment variable with further names, separated by commas."""
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/\\?#\s]+)(:[0-9]{1,5})?")


class AllowedHosts:
    """Allow-list of the ``Host`` header.

    Allowed are ``localhost`` and names below it, loopback addresses, the address that the server listens on, and the names that are
    configured. A server that listens on all addresses also answers any IP address, because an address is no name that somebody else can
    point here.

    Parameters
    ----------
    address : str
        Address that the server listens on.
    names : iterable of str
        Further host names or addresses, without a port. Those of ``GANWATCH_ALLOWED_HOSTS`` are added.

    Raises
    ------
    UserError
        A name is no host name.

    Examples
    --------
    >>> hosts = AllowedHosts("127.0.0.1", ["gpu7.lab"])
    >>> [hosts.allow(host) for host in ("localhost:9090", "[::1]:9090", "GPU7.lab", "evil.example:9090", "10.0.0.7", None)]
    [True, True, True, False, False, False]
    >>> AllowedHosts("0.0.0.0").allow("10.0.0.7:9090")
    True
    """

    def __init__(self, address: str, names: Iterable[str] = ()) -> None:
        configured = filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(",")))
        self._names = {_normalise(name, "allowed host") for name in names} | {_normalise(name, VARIABLE) for name in configured}
        listening = _to_ip(address)
        self._takes_any_ip = listening is not None and listening.is_unspecified
        self._names.add(address.lower().strip("[]") if listening is None else str(listening))

    def allow(self, host: str | None) -> bool:
        """Return True if the value of a ``Host`` header, with or without a port, is allowed."""
        match = _HOST.fullmatch((host or "").strip().lower())
        if match is None:
            return False
        name = match[1].strip("[]").rstrip(".")
        ip = _to_ip(name)
        if ip is not None:
            return ip.is_loopback or self._takes_any_ip or str(ip) in self._names
        return name == "localhost" or name.endswith(".localhost") or name in self._names


def _normalise(name: str, argument: str) -> str:
    text = str(name).strip().lower().strip("[]")
    ip = _to_ip(text)
    if ip is None and not _NAME.fullmatch(text):
        raise UserError(f"{argument} must be a host name or an IP address without a port, got {name!r}")
    return text.rstrip(".") if ip is None else str(ip)


def _to_ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        return None
