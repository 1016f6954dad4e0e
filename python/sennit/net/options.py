"""Options of endpoints: one table for each use, the same names in a URL's query and as keywords."""

# ruff: noqa: RUF009 - `_option` makes the field

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, TypeVar

from sennit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sennit.net.tls import Pem

__all__ = [
    "ConnectOptions",
    "DatagramOptions",
    "ListenOptions",
    "local_address",
    "merge",
    "named",
    "tls_parts",
]

_O = TypeVar("_O")

_YES = {"1", "yes", "true", "on", ""}
_NO = {"0", "no", "false", "off"}


def _option(
    default: Any, kind: str, where: str, about: str, *, least: float = 0, usual: str = ""
) -> Any:
    """A field of a table of options.

    Args:
        default: What it is when nobody says anything.
        kind: `seconds`, `count`, `flag`, `text`, `pem`, `list` or `object` (which no URL can hold).
        where: Where it counts: schemes of URLs, or for datagrams what is done with the URL.
        about: What it means, for errors and for the docs.
        least: The smallest number that makes sense; seconds must be above it.
        usual: What happens where the default is None, for the docs.
    """
    metadata = {"kind": kind, "about": about, "least": least, "usual": usual}
    return dataclasses.field(
        default=default, metadata={**metadata, "where": frozenset(where.split())}
    )


_ANY = "tcp tls unix"
_IP = "tcp tls"
_SECURE = "tls unix"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """How to listen. The parts of TLS are those of `net.ServerTls`, with its defaults."""

    tls: Any = _option(None, "object", _SECURE, "a net.ServerTls")
    certificate: Pem | None = _option(None, "pem", "tls", "our certificate chain")
    key: Pem | None = _option(None, "pem", "tls", "its key", usual="in the certificate's file")
    client_ca: Pem | None = _option(None, "pem", "tls", "authorities of clients")
    client_certificate: str | None = _option(
        None, "text", "tls", "none, optional or required", usual="none"
    )
    alpn: tuple[str, ...] | None = _option(
        None, "list", "tls", "protocols by preference", usual="not used"
    )
    versions: tuple[str, ...] | None = _option(
        None, "list", "tls", "of TLS, 1.2 and 1.3", usual="1.2,1.3"
    )
    tickets: bool | None = _option(
        None, "flag", "tls", "whether sessions can be resumed", usual="yes"
    )
    handshake_timeout: float | None = _option(
        None, "seconds", "tls", "for a TLS handshake", usual="10"
    )
    backlog: int = _option(65_535, "count", _ANY, "connections that wait to be accepted", least=1)
    reuse_port: bool = _option(False, "flag", _IP, "share the port with other processes")
    keep_alive: bool = _option(False, "flag", _IP, "TCP keep-alive")
    max_connections: int | None = _option(
        None, "count", _ANY, "connections at once", least=1, usual="80 % of the descriptor limit"
    )
    max_connections_per_address: int | None = _option(
        256, "count", _IP, "connections at once from one address, loopback not counted", least=1
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """How to connect. The parts of TLS are those of `net.ClientTls`, with its defaults."""

    tls: Any = _option(None, "object", _SECURE, "a net.ClientTls")
    ca: Pem | None = _option(
        None, "pem", "tls", "authorities of servers", usual="the system's authorities"
    )
    certificate: Pem | None = _option(None, "pem", "tls", "our certificate chain")
    key: Pem | None = _option(None, "pem", "tls", "its key", usual="in the certificate's file")
    server_name: str | None = _option(
        None, "text", _SECURE, "the name that the certificate is for", usual="the URL's host"
    )
    alpn: tuple[str, ...] | None = _option(
        None, "list", "tls", "protocols by preference", usual="not used"
    )
    versions: tuple[str, ...] | None = _option(
        None, "list", "tls", "of TLS, 1.2 and 1.3", usual="1.2,1.3"
    )
    verify: bool | None = _option(
        None, "flag", "tls", "whether the server must prove who it is", usual="yes"
    )
    handshake_timeout: float | None = _option(
        None, "seconds", "tls", "for a TLS handshake", usual="10"
    )
    connect_timeout: float = _option(
        30.0, "seconds", _ANY, "for all of connecting, look-up included"
    )
    attempt_delay: float = _option(0.25, "seconds", _IP, "before the next address is tried as well")
    local_address: str | None = _option(
        None, "text", _IP, "HOST or HOST:PORT to connect from", usual="the system's choice"
    )
    keep_alive: bool = _option(False, "flag", _IP, "TCP keep-alive")


_ROLES = "bind connect listen"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatagramOptions:
    """How to open a socket for datagrams."""

    connect_timeout: float = _option(30.0, "seconds", "connect", "for the look-up of a name")
    local_address: str | None = _option(
        None, "text", "connect", "HOST or HOST:PORT to send from", usual="the system's choice"
    )
    reuse_port: bool = _option(False, "flag", _ROLES, "share the port with other sockets")
    broadcast: bool = _option(False, "flag", _ROLES, "allow sending to broadcast addresses")
    groups: tuple[str, ...] = _option(
        (), "list", _ROLES, "multicast groups to join, GROUP or GROUP@LOCAL"
    )
    multicast_ttl: int = _option(1, "count", _ROLES, "routers that multicast may pass")
    multicast_loop: bool = _option(True, "flag", _ROLES, "hear one's own multicast on this machine")
    receive_buffer: int = _option(
        4 * 1024 * 1024, "count", _ROLES, "bytes that the kernel keeps for us", least=1
    )
    send_buffer: int | None = _option(
        None,
        "count",
        _ROLES,
        "bytes that the kernel keeps of ours",
        least=1,
        usual="the system's default",
    )
    max_queued: int = _option(
        1024, "count", "bind connect", "datagrams that wait to be received", least=1
    )


def merge(
    table: type[_O],
    url: str,
    query: Mapping[str, str],
    given: Mapping[str, Any],
    *,
    place: str | None = None,
    places: Collection[str] = (),
) -> _O:
    """A table filled from a URL's query and from keywords.

    Args:
        table: What options there are.
        url: For errors.
        query: What the URL says.
        given: What keywords say.
        place: The scheme, or for datagrams what is done with the URL: options that do not count
            there are refused. None: not asked.
        places: Those of all URLs that the keywords are for; one that counts for another of them is
            passed over.

    Raises:
        ConfigError: A name is unknown, said twice, does not count here, or a value makes no sense.
    """
    fields = {field.name: field for field in dataclasses.fields(table)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name in (*query, *given):
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise ConfigError(f"{url}: {name!r} is no option here; there are: {known}")
        if name in query and name in given:
            raise ConfigError(f"{url}: {name} is said in the URL and as a keyword; say it once")
        where = fields[name].metadata["where"]
        if place is None or place in where:
            said = given[name] if name in given else _parse(url, fields[name], query[name])
            values[name] = _check(fields[name], said)
        elif name in query or not where.intersection(places):
            raise ConfigError(f"{url}: {name} means nothing here, it counts for {named(where)}")
    return table(**values)


def named(where: Collection[str]) -> str:
    """Where an option counts, as people write it."""
    schemes = {"tcp", "tls", "unix"}
    return ", ".join(f"{one}://" if one in schemes else f"net.{one}" for one in sorted(where))


def _parse(url: str, field: dataclasses.Field[Any], text: str) -> Any:
    """The value of an option in a URL."""
    kind = field.metadata["kind"]
    if kind == "flag" and text.lower() in _YES | _NO:
        return text.lower() in _YES
    if kind in {"text", "pem"}:
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
        "pem": "a file's path, or PEM as bytes",
        "list": "text, several separated by commas",
        "object": field.metadata["about"],
    }
    return wanted[field.metadata["kind"]]


def _is_number(value: Any, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


_CHECKS: dict[str, Callable[[Any, float], bool]] = {
    "seconds": lambda value, least: _is_number(value, int | float) and least < value < 1e9,
    "count": lambda value, least: _is_number(value, int) and value >= least,
    "flag": lambda value, _least: isinstance(value, bool),
    "text": lambda value, _least: isinstance(value, str),
    "pem": lambda value, _least: isinstance(value, str | bytes | os.PathLike),
    "list": lambda value, _least: (
        isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    ),
    "object": lambda _value, _least: True,
}


def _check(field: dataclasses.Field[Any], value: Any) -> Any:
    kind, least = field.metadata["kind"], field.metadata["least"]
    if value is None and "None" in str(field.type):
        return value
    if not _CHECKS[kind](value, least):
        raise ConfigError(f"{field.name} is {value!r}, it must be {_wanted(field)}")
    return tuple(value) if kind == "list" else value


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


_TLS_PARTS = (
    "certificate",
    "key",
    "ca",
    "client_ca",
    "client_certificate",
    "alpn",
    "versions",
    "tickets",
    "verify",
    "handshake_timeout",
)


def tls_parts(options: ListenOptions | ConnectOptions) -> dict[str, Any]:
    """What was said of TLS in parts.

    Raises:
        ConfigError: TLS settings were given as one object too.
    """
    said = {name: getattr(options, name, None) for name in _TLS_PARTS}
    parts = {name: value for name, value in said.items() if value is not None}
    if options.tls is not None and parts:
        raise ConfigError(f"tls is given, so {', '.join(parts)} belong into it")
    return parts
