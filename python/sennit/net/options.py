"""Options of endpoints: one table for each use, the same names in a URL's query and as keywords."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from sennit._native import core
from sennit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ConnectOptions",
    "DatagramOptions",
    "ListenOptions",
    "local_address",
    "merge",
    "write_limits",
]

_O = TypeVar("_O")

WRITE_TIMEOUT = 30.0
"""Seconds without a byte taken, while something is queued; nginx allows 60 s, HTTP here 30 s."""

MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""Nobody's protocol needs more in flight, and a hundred peers who stop at it fit into a machine;
Redis disconnects a normal subscriber at 32 MiB. It bounds what is added to a queue: one write may
have any size, for whoever makes it has the bytes in memory anyhow."""

_YES = {"1", "yes", "true", "on", ""}
_NO = {"0", "no", "false", "off"}


def _option(default: Any, kind: str, about: str, *, least: float = 0) -> Any:
    """A field of a table of options.

    Args:
        default: What it is when nobody says anything.
        kind: `seconds`, `count`, `flag`, `text`, `list` or `object` (which no URL can hold).
        about: What it means, for errors and for the docs.
        least: The smallest number that makes sense; seconds must be above it.
    """
    return dataclasses.field(
        default=default, metadata={"kind": kind, "about": about, "least": least}
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """How to listen."""

    tls: Any = _option(None, "object", "a net.ServerTls")  # noqa: RUF009 - it makes a field
    certificate: str | None = _option(None, "text", "file with our certificate chain, PEM")
    key: str | None = _option(None, "text", "file with its key, PEM")
    client_ca: str | None = _option(None, "text", "file with authorities of clients, PEM")
    client_certificate: str = _option("none", "text", "none, optional or required")
    alpn: tuple[str, ...] = _option((), "list", "protocols by preference")
    handshake_timeout: float = _option(10.0, "seconds", "for a TLS handshake")
    backlog: int = _option(65_535, "count", "connections that wait to be accepted", least=1)
    reuse_port: bool = _option(False, "flag", "share the port with other processes")
    keep_alive: bool = _option(False, "flag", "TCP keep-alive")
    max_connections: int | None = _option(None, "count", "connections at once", least=1)
    max_connections_per_address: int | None = _option(
        256, "count", "connections at once from one address", least=1
    )
    write_timeout: float = _option(WRITE_TIMEOUT, "seconds", "in which a peer must take something")
    max_queued_bytes: int = _option(
        MAX_QUEUED_BYTES, "count", "beyond which nothing more may be written", least=1
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """How to connect."""

    tls: Any = _option(None, "object", "a net.ClientTls")  # noqa: RUF009 - as above
    ca: str | None = _option(None, "text", "file with authorities of servers, PEM")
    certificate: str | None = _option(None, "text", "file with our certificate chain, PEM")
    key: str | None = _option(None, "text", "file with its key, PEM")
    server_name: str | None = _option(None, "text", "the name that the certificate is for")
    alpn: tuple[str, ...] = _option((), "list", "protocols by preference")
    handshake_timeout: float = _option(10.0, "seconds", "for a TLS handshake")
    connect_timeout: float = _option(30.0, "seconds", "for all of connecting, look-up included")
    attempt_delay: float = _option(0.25, "seconds", "before the next address is tried as well")
    local_address: str | None = _option(None, "text", "HOST or HOST:PORT to connect from")
    keep_alive: bool = _option(False, "flag", "TCP keep-alive")
    write_timeout: float = _option(WRITE_TIMEOUT, "seconds", "in which a peer must take something")
    max_queued_bytes: int = _option(
        MAX_QUEUED_BYTES, "count", "beyond which nothing more may be written", least=1
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatagramOptions:
    """How to open a socket for datagrams."""

    connect_timeout: float = _option(30.0, "seconds", "for the look-up of a name")
    local_address: str | None = _option(None, "text", "HOST or HOST:PORT to send from")
    reuse_port: bool = _option(False, "flag", "share the port with other sockets")
    broadcast: bool = _option(False, "flag", "allow sending to broadcast addresses")
    groups: tuple[str, ...] = _option((), "list", "multicast groups to join, GROUP or GROUP@LOCAL")
    multicast_ttl: int = _option(1, "count", "routers that multicast may pass")
    multicast_loop: bool = _option(True, "flag", "hear one's own multicast on this machine")
    receive_buffer: int = _option(
        4 * 1024 * 1024, "count", "bytes that the kernel keeps for us", least=1
    )
    send_buffer: int | None = _option(None, "count", "bytes that the kernel keeps of ours", least=1)
    max_queued: int = _option(1024, "count", "datagrams that wait to be received", least=1)


def write_limits(options: ListenOptions | ConnectOptions) -> core.WriteLimits:
    """What a peer that does not read may cost, for the native core."""
    return core.WriteLimits(options.write_timeout, options.max_queued_bytes)


def merge(table: type[_O], url: str, query: Mapping[str, str], given: Mapping[str, Any]) -> _O:
    """A table filled from a URL's query and from keywords.

    Raises:
        ConfigError: A name is unknown, said twice, or a value makes no sense.
    """
    fields = {field.name: field for field in dataclasses.fields(table)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name in (*query, *given):
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise ConfigError(f"{url}: {name!r} is no option here; there are: {known}")
        if name in query and name in given:
            raise ConfigError(f"{url}: {name} is said in the URL and as a keyword; say it once")
    for name, text in query.items():
        values[name] = _check(fields[name], _parse(url, fields[name], text))
    for name, value in given.items():
        values[name] = _check(fields[name], value)
    return table(**values)


def _parse(url: str, field: dataclasses.Field[Any], text: str) -> Any:
    """The value of an option in a URL."""
    kind = field.metadata["kind"]
    if kind == "flag" and text.lower() in _YES | _NO:
        return text.lower() in _YES
    if kind == "text":
        return text
    if kind == "list":
        return tuple(part for part in text.split(",") if part)
    if kind in {"seconds", "count"}:
        try:
            return float(text) if kind == "seconds" else int(text)
        except ValueError:
            pass
    if kind == "object":
        raise ConfigError(f"{url}: {field.name} is {field.metadata['about']}; give it as a keyword")
    raise ConfigError(f"{url}: {field.name} is {text!r}, it must be {_wanted(field)}")


def _wanted(field: dataclasses.Field[Any]) -> str:
    least = field.metadata["least"]
    wanted: dict[str, str] = {
        "seconds": f"a number of seconds above {least}",
        "count": f"a whole number of at least {least}",
        "flag": "yes or no",
        "text": "text",
        "list": "text, several separated by commas",
        "object": field.metadata["about"],
    }
    return wanted[field.metadata["kind"]]


def _check(field: dataclasses.Field[Any], value: Any) -> Any:
    kind, least = field.metadata["kind"], field.metadata["least"]
    if value is None and field.default is None:
        return value
    good = True
    if kind == "seconds":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        good = is_number and least < value < 1e9
    elif kind == "count":
        good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        good = good or (value is None and "None" in str(field.type))
    elif kind == "flag":
        good = isinstance(value, bool)
    elif kind == "list":
        good = isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
        value = tuple(value) if good else value
    if not good:
        raise ConfigError(f"{field.name} is {value!r}, it must be {_wanted(field)}")
    return value


def local_address(text: str | None) -> tuple[str, int] | None:
    """Host and port out of `HOST`, `HOST:PORT` or `[HOST]:PORT`.

    Raises:
        ConfigError: It is nothing of that kind.
    """
    if text is None:
        return None
    host, port = text, "0"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or "0"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"local_address is {text!r}, it must be HOST or HOST:PORT")
    return host, int(port)
