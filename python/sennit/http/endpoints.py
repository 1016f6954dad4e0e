"""Where a server listens: `http://`, `https://` and `unix://` URLs, and clear words for others."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from sennit.errors import ConfigError
from sennit.net.url import parse_endpoint

__all__ = ["ListenEndpoint", "parse_listen_url"]

_LONGEST = 2048
"""Characters of a URL that are shown in an error."""

_PORTS = {"http": 80, "https": 443}


class ListenEndpoint(NamedTuple):
    """Where to listen."""

    url: str
    """As it was given."""
    scheme: str
    """`http`, `https` or `unix`."""
    host: str | None
    """None for every interface, and for `unix`."""
    port: int
    """0 picks a free one."""
    path: str
    """Of a UNIX socket; else empty."""


def parse_listen_url(url: str) -> ListenEndpoint:
    """The endpoint of `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`.

    Raises:
        ConfigError: It is no such URL.
    """
    shown = repr(url[:_LONGEST])
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return ListenEndpoint(url, "unix", None, 0, parse_endpoint(url).path)
        port = parts.port
    except ValueError as error:
        hint = "; ports are 0 to 65535" if "port" in str(error).lower() else ""
        raise ConfigError(f"{shown}: {error}{hint}") from error
    scheme = parts.scheme
    if scheme not in _PORTS:
        raise ConfigError(
            f"{shown} is no http URL; write http://HOST:PORT, https://HOST:PORT or unix:///PATH"
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(f"{shown} has more than host and port; write {scheme}://HOST:PORT")
    host = parts.hostname
    if not host:
        raise ConfigError(f"{shown} names no host; write {scheme}://127.0.0.1:{port or 8080}")
    port = _PORTS[scheme] if port is None else port
    return ListenEndpoint(url, scheme, None if host == "*" else host, port, "")
