"""URLs of requests: what they may be, and clear words where they are not."""

from __future__ import annotations

import socket
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from sennit.errors import ConfigError

__all__ = ["Target", "parse_request_url"]

_LONGEST = 2048
"""Characters of a URL that are shown in an error."""


class Target(NamedTuple):
    """Where a request goes, and what its head says of it."""

    host: str
    port: int
    is_numeric: bool
    authority: str
    path_and_query: str


def parse_request_url(url: str) -> Target:
    """The target of `http://HOST[:PORT][/PATH][?QUERY]`; a fragment is dropped.

    Raises:
        ConfigError: It is no such URL.
        NotImplementedError: It is `https://`, which comes with a later version.
    """
    shown = repr(url[:_LONGEST])
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{shown}: {error}") from error
    if parts.scheme == "https":
        raise NotImplementedError(f"{shown}: TLS comes with a later version")
    if parts.scheme != "http":
        raise ConfigError(f"{shown} is no http URL; write http://HOST/PATH")
    host = parts.hostname
    if not host:
        raise ConfigError(f"{shown} names no host; write http://HOST/PATH")
    if port == 0:
        raise ConfigError(f"{shown} has port 0, which nothing can listen on; ports are 1 to 65535")
    if "@" in parts.netloc:
        raise ConfigError(f"{shown} has a user name in it; send an authorization header instead")
    if not host.isascii():
        host = host.encode("idna").decode()
    # What may not stand in a request line is encoded, what is encoded already stays.
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    query = f"?{quote(parts.query, safe=_PATH_SAFE)}" if parts.query else ""
    bracketed = f"[{host}]" if ":" in host else host
    authority = bracketed if port in {None, 80} else f"{bracketed}:{port}"
    return Target(host, port or 80, _is_numeric(host), authority, path + query)


_PATH_SAFE = "/%!$&'()*+,;=:@-._~?"


def _is_numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
