"""URLs of endpoints: `tcp://`, `tls://`, `udp://`, `unix://`, with options in the query."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from sennit.errors import ConfigError

__all__ = ["Endpoint", "endpoint_url", "parse_endpoint"]

_SCHEMES = ("tcp", "tls", "udp", "unix")
_LONGEST = 2048
"""Characters of a URL that are shown in an error."""


class Endpoint(NamedTuple):
    """Where to listen, or what to connect to."""

    scheme: str
    """`tcp`, `tls`, `udp` or `unix`."""
    host: str | None
    """Name or address; None for every interface (`*`), and for `unix`."""
    port: int
    """0 picks a free one when listening; 0 for `unix`."""
    path: str
    """Of a `unix` endpoint: a file, or after a zero byte a name without a file; else empty."""
    options: dict[str, str]
    """What the query says."""


def _refuse(url: str, problem: str) -> ConfigError:
    return ConfigError(f"{url[:_LONGEST]!r}{problem}")


def parse_endpoint(url: str) -> Endpoint:
    """The endpoint of a URL.

    `unix:///run/app.sock` is a file, `unix:@name` a name without one (abstract, unix(7)).

    Args:
        url: Such as `tcp://127.0.0.1:8000?keep_alive=yes`, `tls://[::1]:8443`, `udp://*:5353`.

    Raises:
        ConfigError: It is no such URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        options = parse_qsl(
            parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=64
        )
    except ValueError as error:
        raise _refuse(url, f": {error}") from error
    if parts.scheme not in _SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise _refuse(url, f" is no endpoint; there are {known}, such as tcp://127.0.0.1:8000")
    if parts.fragment:
        raise _refuse(url, " has a fragment (#), which means nothing here")
    named = dict(options)
    if len(named) < len(options):
        raise _refuse(url, " names an option twice")
    if parts.scheme == "unix":
        path = unquote(parts.path, errors="surrogateescape")
        return Endpoint("unix", None, 0, _path(url, parts.netloc, path), named)
    if parts.path not in {"", "/"}:
        raise _refuse(url, f" has a path; write {parts.scheme}://HOST:PORT")
    if "@" in parts.netloc:
        raise _refuse(url, " has a user name in it, which means nothing here")
    if not parts.hostname:
        raise _refuse(url, f" names no host; write {parts.scheme}://HOST:PORT, * for every one")
    if port is None:
        raise _refuse(url, f" names no port; write {parts.scheme}://HOST:PORT")
    host = None if parts.hostname == "*" else parts.hostname
    return Endpoint(parts.scheme, host, port, "", named)


def _path(url: str, host: str, path: str) -> str:
    if host:
        raise _refuse(url, " names a host; write unix:///PATH with three slashes")
    if path.startswith("@"):
        path = "\0" + path[1:]
    if len(path) < 2 or "\0" in path[1:]:  # "/" or "\0" alone names nothing
        raise _refuse(url, " names no file; write unix:///run/name.sock or unix:@name")
    return path


def endpoint_url(scheme: str, address: object) -> str:
    """The URL of a socket's address.

    Args:
        scheme: As in `Endpoint`.
        address: What `socket.getsockname` says: `(host, port, ...)`, or the path of a UNIX socket.
    """
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    path = address.decode("utf-8", "surrogateescape") if isinstance(address, bytes) else address
    if not isinstance(path, str) or not path:
        return f"{scheme}:"
    quoted = quote(path.lstrip("\0"), errors="surrogateescape")
    return f"unix:@{quoted}" if path[0] == "\0" else f"unix://{quoted}"
