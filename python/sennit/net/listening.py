"""Listening: `listen` finds out what is wanted and makes a Server of it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from sennit._native import core
from sennit.errors import ConfigError
from sennit.net.handler import StreamFactory
from sennit.net.options import DatagramOptions, ListenOptions, merge, tls_parts
from sennit.net.protocol import Factory
from sennit.net.server import Server
from sennit.net.tls import ServerTls
from sennit.net.url import Endpoint, parse_endpoint
from sennit.reactor import current_reactor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

__all__ = ["listen"]

_CONNECTIONS_OF_DESCRIPTORS = 0.8
"""Share of the descriptor limit that connections may take; the rest is for files and upstreams."""


def _server_tls(endpoint: Endpoint, options: ListenOptions) -> ServerTls | None:
    """The TLS settings of an endpoint, given as one object or in parts."""
    parts = tls_parts(options)
    if options.tls is not None:
        if not isinstance(options.tls, ServerTls):
            raise ConfigError(f"tls is {options.tls!r}, it must be a net.ServerTls")
        return options.tls
    if endpoint.scheme != "tls":
        return None
    if "certificate" not in parts:
        raise ConfigError("a tls:// server needs a certificate and its key, or tls=ServerTls(...)")
    return ServerTls(**parts)


def _is_async(given: Any) -> bool:
    call = getattr(given, "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(call)


def _tables(
    endpoints: list[tuple[str, Endpoint]], given: dict[str, Any]
) -> list[ListenOptions | DatagramOptions]:
    """The options of each URL. A keyword has to count for one of them at least."""
    places = {_place(endpoint) for _, endpoint in endpoints}

    def table(url: str, endpoint: Endpoint) -> ListenOptions | DatagramOptions:
        query, place = endpoint.options, _place(endpoint)
        if endpoint.scheme == "udp":
            return merge(DatagramOptions, url, query, given, place=place, places=places)
        return merge(ListenOptions, url, query, given, place=place, places=places)

    return [table(url, endpoint) for url, endpoint in endpoints]


def _place(endpoint: Endpoint) -> str:
    return "listen" if endpoint.scheme == "udp" else endpoint.scheme


def _limits(
    endpoints: list[tuple[str, Endpoint]], tables: list[ListenOptions | DatagramOptions]
) -> tuple[int | None, int | None]:
    """Connections at once, and from one address; every URL must say the same."""
    served = [
        (endpoint.scheme, table)
        for (_, endpoint), table in zip(endpoints, tables, strict=True)
        if isinstance(table, ListenOptions)
    ]
    most = {table.max_connections for _, table in served}
    per_address = {
        table.max_connections_per_address for scheme, table in served if scheme != "unix"
    }
    if len(most) > 1 or len(per_address) > 1:
        raise ConfigError(
            "max_connections and max_connections_per_address are limits of the whole server, and "
            "its URLs say different ones: give them as keywords"
        )
    return next(iter(most), None), next(iter(per_address), None)


def _factory(given: Any) -> Factory[Any]:
    """What makes protocols, out of what a user may give."""
    if isinstance(given, Factory):
        return given
    if _is_async(given):
        return StreamFactory(given)
    if not callable(given):
        raise ConfigError(
            f"{given!r} makes no protocols: give a net.Factory, a Protocol class, or an async "
            "function of a stream"
        )
    return Factory(given)


async def listen(
    factory: Factory[Any] | Callable[[], asyncio.BaseProtocol] | Callable[[Any], Awaitable[Any]],
    *urls: str,
    **options: Any,
) -> Server:
    """Serve connections; returns when the sockets listen.

    Args:
        factory: A Protocol class, a `Factory`, or an `async def` function that is called with a
            `Stream` for each connection, which is closed when it returns.
        *urls: Where to listen: `tcp://HOST:PORT`, `tls://HOST:PORT`, `unix:///PATH`, and for a
            `DatagramProtocol` `udp://HOST:PORT`; `*` as the host means every interface, port 0 a
            free one. The options may stand in the query as well: `tls://*:8443?certificate=chain.pem&key=key.pem`.
        **options: `tls` (a `ServerTls`) or its parts `certificate`, `key`, `client_ca`,
            `client_certificate`, `alpn`, `versions`, `tickets`, `handshake_timeout` (10 s);
            `backlog` (the system's limit); `reuse_port`, `keep_alive` (off); `max_connections`
            (80 % of the descriptor limit) and `max_connections_per_address` (256; loopback is not
            counted). Each must count for one of the URLs at least (docs/reference/net-options.md).

    Raises:
        ConfigError: A URL or an option makes no sense.
        OSError: An address is in use or is not ours.
        RuntimeError: No sennit.Reactor runs in this thread.
    """
    reactor = current_reactor()
    if not urls:
        raise ConfigError("listen() needs at least one URL, such as tcp://127.0.0.1:8000")
    endpoints = [(url, parse_endpoint(url)) for url in urls]
    tables = _tables(endpoints, options)
    limits = _limits(endpoints, tables)
    descriptors = core.raise_descriptor_limit()
    server = Server(reactor, _factory(factory))
    try:
        for (_, endpoint), table in zip(endpoints, tables, strict=True):
            if isinstance(table, DatagramOptions):
                await server._start_datagrams(endpoint, table)  # noqa: SLF001 - one room
            else:
                await server._start(endpoint, table, _server_tls(endpoint, table))  # noqa: SLF001 - as above
        most, per_address = limits
        most = most or max(1, int(descriptors * _CONNECTIONS_OF_DESCRIPTORS))
        await server._serve((most, per_address))  # noqa: SLF001 - as above
    except BaseException:
        server._give_up()  # noqa: SLF001
        raise
    return server
