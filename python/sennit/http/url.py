"""URLs of requests: what they may be, and clear words where they are not."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlsplit

from sennit.errors import ConfigError
from sennit.http.policy.hosts import DEFAULT_PORTS, Origin, canonical_host, has_control, is_address

__all__ = ["Target", "parse_request_url"]

_LONGEST = 2048
"""Characters of a URL that are shown in an error."""


class Target(NamedTuple):
    """Where a request goes, and what its head says of it."""

    origin: Origin
    is_numeric: bool
    authority: str
    path_and_query: str


def parse_request_url(url: str) -> Target:
    """The target of `http[s]://HOST[:PORT][/PATH][?QUERY]`; a fragment is dropped.

    Raises:
        ConfigError: It is no such URL.
    """
    shown = repr(url[:_LONGEST])
    if has_control(url):
        raise ConfigError(f"{shown} has a control character; encode it (%0A) or leave it out")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{shown}: {error}") from error
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(f"{shown} is no http URL; write http://HOST/PATH or https://HOST/PATH")
    host = parts.hostname
    if not host:
        raise ConfigError(f"{shown} names no host; write {parts.scheme}://HOST/PATH")
    if port == 0:
        raise ConfigError(f"{shown} has port 0, which nothing can listen on; ports are 1 to 65535")
    host = canonical_host(host)
    # What may not stand in a request line is encoded, what is encoded already stays.
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    query = f"?{quote(parts.query, safe=_PATH_SAFE)}" if parts.query else ""
    bracketed = f"[{host}]" if ":" in host else host
    usual = DEFAULT_PORTS[parts.scheme]
    authority = bracketed if port in {None, usual} else f"{bracketed}:{port}"
    origin = Origin(parts.scheme, host, port or usual)
    return Target(origin, is_address(host), authority, path + query)


_PATH_SAFE = "/%!$&'()*+,;=:@-._~?"
