"""Connecting: `connect` finds an address, opens a connection, and brings TLS up on it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sennit.errors import ConfigError, ConnectError, DeadlineError, SennitError
from sennit.net.binding import connect_datagrams
from sennit.net.options import ConnectOptions, local_address, merge, tls_parts
from sennit.net.stream import Stream
from sennit.net.tls import ClientTls, stamp
from sennit.net.url import Endpoint, parse_endpoint
from sennit.reactor import Reactor, current_reactor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["connect"]

_P = TypeVar("_P", bound=asyncio.BaseProtocol)

_ATTEMPTS_AT_ONCE = 256
"""Connections to one endpoint that are being opened at the same time; the others wait for their
turn. A listener's queue has room for 4,096 at most, for 128 on many systems, and a connection that
finds it full is tried again by the kernel after a second."""

_turns: weakref.WeakKeyDictionary[Reactor, dict[str, list[Any]]] = weakref.WeakKeyDictionary()


@contextlib.asynccontextmanager
async def _turn(reactor: Reactor, where: str) -> AsyncIterator[None]:
    """A turn to connect to an endpoint; it is forgotten when nobody connects to it."""
    endpoints = _turns.setdefault(reactor, {})
    entry = endpoints.setdefault(where, [asyncio.Semaphore(_ATTEMPTS_AT_ONCE), 0])
    entry[1] += 1
    try:
        async with entry[0]:
            yield
    finally:
        entry[1] -= 1
        if not entry[1]:
            endpoints.pop(where, None)


@functools.lru_cache(maxsize=64)
def _made_client_tls(parts: tuple[tuple[str, Any], ...], _stamps: tuple[Any, ...]) -> ClientTls:
    """One object for the same settings, so that sessions can be resumed.

    The files' stamps are arguments, so that what has changed is read again.
    """
    return ClientTls(**dict(parts))


def _client_tls(endpoint: Endpoint, options: ConnectOptions) -> ClientTls | None:
    """The TLS settings for an endpoint, given as one object or in parts."""
    parts = tls_parts(options)
    if options.tls is not None:
        if not isinstance(options.tls, ClientTls):
            raise ConfigError(f"tls is {options.tls!r}, it must be a net.ClientTls")
        return options.tls
    if endpoint.scheme != "tls":
        return None
    files = (parts.get(name) for name in ("ca", "certificate", "key"))
    return _made_client_tls(tuple(parts.items()), tuple(stamp(file) for file in files))


async def _open(
    reactor: Reactor, endpoint: Endpoint, factory: Callable[[], _P], options: ConnectOptions
) -> tuple[Any, _P]:
    tls = _client_tls(endpoint, options)
    secure: dict[str, Any] = {}
    if tls is not None:
        name = options.server_name or endpoint.host
        timeout = tls.handshake_timeout
        secure = {"ssl": tls, "server_hostname": name, "ssl_handshake_timeout": timeout}
    if endpoint.scheme == "unix":
        return await reactor.create_unix_connection(factory, endpoint.path, **secure)
    local = local_address(options.local_address)
    return await reactor.create_connection(
        factory,
        endpoint.host,
        endpoint.port,
        local_addr=local,
        happy_eyeballs_delay=options.attempt_delay,
        **secure,
    )


def connect_settings(url: str, given: dict[str, Any]) -> tuple[Endpoint, ConnectOptions]:
    """What a URL and keywords say of where and how to connect.

    Raises:
        ConfigError: The URL or an option makes no sense.
    """
    endpoint = parse_endpoint(url)
    if endpoint.scheme == "udp":
        raise ConfigError(f"{url} has datagrams, not connections: net.connect talks to it")
    if endpoint.scheme != "unix" and (endpoint.host is None or endpoint.port == 0):
        raise ConfigError(f"{url} says not where to connect to; write a host and a port above 0")
    options = merge(ConnectOptions, url, endpoint.options, given, place=endpoint.scheme)
    local_address(options.local_address)
    if endpoint.scheme == "unix" and (options.tls is None) != (options.server_name is None):
        raise ConfigError(f"{url}: tls and server_name go together on a UNIX socket")
    return endpoint, options


async def open_connection(
    reactor: Reactor,
    url: str,
    factory: Callable[[], _P],
    given: dict[str, Any],
) -> tuple[Any, _P]:
    """Connect, with errors that say where to.

    Returns:
        Transport and protocol.

    Raises:
        ConfigError: The URL or an option makes no sense.
        ConnectError: No address could be reached.
        DeadlineError: It took longer than `connect_timeout`, or `handshake_timeout`.
        CertificateError: The server's certificate is not to be trusted.
        RemoteProtocolError: The server speaks no TLS, or refuses ours.
    """
    endpoint, options = connect_settings(url, given)
    try:
        async with asyncio.timeout(options.connect_timeout), _turn(reactor, url):
            transport, protocol = await _open(reactor, endpoint, factory, options)
    except SennitError as error:
        error.add_note(f"connecting to {url}")
        raise
    except TimeoutError as error:
        raise DeadlineError(
            f"{url}: no connection after {options.connect_timeout:g} s (connect_timeout)"
        ) from error
    except OSError as error:
        raise ConnectError(f"{url}: {error.strerror or error}") from error
    if options.keep_alive:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return transport, protocol


@overload
async def connect(url: str, protocol: None = None, **options: Any) -> Stream: ...
@overload
async def connect(url: str, protocol: Callable[[], _P], **options: Any) -> _P: ...
@overload
async def connect(url: str, protocol: _P, **options: Any) -> _P: ...
async def connect(url: str, protocol: Any = None, **options: Any) -> Any:
    """Connect, and return the protocol once it is connected; without one a `Stream`.

    With `udp://` that is a `DatagramProtocol`, or a `DatagramSocket` that talks to one address.

    Addresses of a name are tried one after the other, the next one as well when one has not
    answered after `attempt_delay` (RFC 8305); of many connections to one endpoint, 256 are opened
    at a time.

    Args:
        url: `tcp://HOST:PORT`, `tls://HOST:PORT`, `unix:///PATH` or `udp://HOST:PORT`; the options
            may stand in the query.
        protocol: A Protocol, or its class; None: a `Stream`.
        **options: `connect_timeout` (30 s, for everything), `attempt_delay` (0.25 s),
            `local_address` (`HOST` or `HOST:PORT`), `keep_alive`; for TLS `tls` (a `ClientTls`) or
            its parts `ca`, `certificate`, `key`, `alpn`, `versions`, `verify`, `handshake_timeout`
            (10 s), and `server_name`. One that does not count for the URL is refused
            (docs/reference/net-options.md).

    Raises:
        ConfigError: The URL or an option makes no sense.
        ConnectError: No address could be reached.
        DeadlineError: It took longer than `connect_timeout`, or `handshake_timeout`.
        CertificateError: The server's certificate is not to be trusted.
        RemoteProtocolError: The server speaks no TLS, or refuses ours.
        RuntimeError: No sennit.Reactor runs in this thread.
    """
    factory: Callable[[], Any] | None
    if protocol is None:
        factory = None
    elif isinstance(protocol, asyncio.BaseProtocol):
        factory = lambda: protocol  # noqa: E731 - the one that was given
    elif callable(protocol):
        factory = protocol
    else:
        raise ConfigError(f"{protocol!r} is no Protocol, and makes none")
    reactor = current_reactor()
    if url.startswith("udp:"):
        return await connect_datagrams(reactor, url, factory, options)
    return (await open_connection(reactor, url, factory or Stream, options))[1]
