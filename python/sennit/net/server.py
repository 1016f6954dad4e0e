"""Listening: `listen` makes a Server, which knows its connections, its limits and its end."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sennit._native import core
from sennit.errors import ConfigError
from sennit.net.handler import StreamFactory
from sennit.net.options import ListenOptions, merge
from sennit.net.protocol import Factory
from sennit.net.tls import ServerTls
from sennit.net.url import Endpoint, endpoint_url, parse_endpoint
from sennit.reactor import Reactor, current_reactor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = ["Server", "ServerState", "listen"]

_logger = logging.getLogger("sennit.net")

GRACE = 30.0
"""Seconds that connections have to end when a server closes."""

_CONNECTIONS_OF_DESCRIPTORS = 0.8
"""Share of the descriptor limit that connections may take; the rest is for files and upstreams."""

_RELOAD_INTERVAL = 1.0
"""Seconds between two looks at the files of certificates."""


class ServerState(enum.Enum):
    """Where a server is in its life."""

    NEW = enum.auto()
    RUNNING = enum.auto()
    DRAINING = enum.auto()
    STOPPED = enum.auto()


class Server:
    """Listening sockets, a factory, and the connections between them; made by `listen`."""

    def __init__(self, reactor: Reactor, factory: Factory[Any]) -> None:
        self.factory = factory
        self._reactor = reactor
        self._state = ServerState.NEW
        self._urls: list[str] = []
        self._servers: list[asyncio.Server] = []
        self._limits: tuple[int, int | None] = (0, None)
        self._paths: dict[str, int] = {}
        self._tls: list[ServerTls] = []
        self._watch: asyncio.TimerHandle | None = None
        self._transports: set[Any] = set()
        self._addresses: dict[str, int] = {}
        self._accepted = 0
        self._refused = 0
        self._refused_address = 0
        self._failed_handshakes = 0
        self._reloads = 0
        self._failed_reloads = 0

    def __repr__(self) -> str:
        return f"<sennit.net.Server {self._state.name} {' '.join(self._urls)}>"

    @property
    def state(self) -> ServerState:
        """Where the server is in its life."""
        return self._state

    @property
    def urls(self) -> list[str]:
        """Where it listens, with the ports that were picked."""
        return list(self._urls)

    @property
    def port(self) -> int:
        """The port of the first URL that has one.

        Raises:
            ValueError: It listens on UNIX sockets only.
        """
        for url in self._urls:
            port = url.rpartition(":")[2]
            if port.isdigit():
                return int(port)
        raise ValueError(f"{self!r} has no port")

    @property
    def connections(self) -> frozenset[Any]:
        """The protocols (for a stream handler: the streams) that are connected now."""
        return self.factory.connections

    def statistics(self) -> dict[str, int]:
        """Counters since the server was made, and how many connections are open now."""
        return {
            "connections_open": len(self._transports),
            "connections_accepted": self._accepted,
            "connections_refused": self._refused,
            "connections_refused_per_address": self._refused_address,
            "handshakes_failed": self._failed_handshakes,
            "certificates_reloaded": self._reloads,
            "certificate_reloads_failed": self._failed_reloads,
        }

    async def close(self, grace: float = GRACE) -> None:
        """Accept no more, let connections end, and wait for the last one.

        Every protocol hears `server_closing`; a stream handler reads the end of the stream. What
        is open after the grace time is aborted.

        Args:
            grace: Seconds; 0 aborts everything at once.
        """
        if self._state is not ServerState.STOPPED:
            self._drain()
            try:
                async with asyncio.timeout(grace):
                    await self.wait_closed()
            except TimeoutError:
                _logger.warning(
                    "%s: %d connections are open after %g s of grace: aborted",
                    " ".join(self._urls),
                    len(self._transports),
                    grace,
                )
                self.abort()
            finally:
                # Also when whoever closes is cancelled: no connection outlives its server.
                if self._transports:
                    self.abort()
        await self.wait_closed()

    def abort(self) -> None:
        """Accept no more and drop every connection at once."""
        self._drain(tell=False)
        for transport in tuple(self._transports):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection is gone."""
        for server in self._servers:
            await server.wait_closed()
        self._state = ServerState.STOPPED

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close(GRACE if error is None else 0)

    def _drain(self, *, tell: bool = True) -> None:
        if self._state is not ServerState.RUNNING:
            return
        self._state = ServerState.DRAINING
        if self._watch is not None:
            self._watch.cancel()
        for server in self._servers:
            server.close()
        self._remove_paths()
        if not tell:
            return
        for transport in tuple(self._transports):
            protocol = transport.get_protocol()
            closing = getattr(protocol, "server_closing", transport.close)
            try:
                closing()
            except Exception:
                _logger.exception("%r failed in server_closing()", protocol)
                transport.abort()

    # -- starting ----------------------------------------------------------------------------------

    async def _start(self, endpoint: Endpoint, options: ListenOptions) -> None:
        tls = _server_tls(endpoint, options)
        if tls is not None:
            self._tls.append(tls)
        common: dict[str, Any] = {
            "backlog": options.backlog,
            "ssl": tls,
            "ssl_handshake_timeout": tls and tls.handshake_timeout,
            "start_serving": False,
        }
        server: Any
        if endpoint.scheme == "unix":
            server = await self._reactor.create_unix_server(self.factory, endpoint.path, **common)
            self._remember_path(endpoint.path)
        else:
            server = await self._reactor.create_server(
                self.factory,
                endpoint.host,
                endpoint.port,
                reuse_port=options.reuse_port,
                keep_alive=options.keep_alive,
                **common,
            )
        server._owner = self  # noqa: SLF001 - the reactor's servers have this seam
        self._servers.append(server)
        scheme = endpoint.scheme if tls is None or endpoint.scheme == "unix" else "tls"
        self._urls += [endpoint_url(scheme, sock.getsockname()) for sock in server.sockets]

    def _remember_path(self, path: str) -> None:
        if path[0] != "\0":
            with contextlib.suppress(OSError):
                self._paths[path] = Path(path).stat().st_ino

    def _remove_paths(self) -> None:
        """Remove our sockets' files, unless another server has put its own there."""
        for path, inode in self._paths.items():
            with contextlib.suppress(OSError):
                if Path(path).stat().st_ino == inode:
                    Path(path).unlink()
        self._paths.clear()

    async def _serve(self, limits: tuple[int, int | None]) -> None:
        self._limits = limits
        for server in self._servers:
            await server.start_serving()
        self._state = ServerState.RUNNING
        if self._tls:
            self._watch = self._reactor.call_later(_RELOAD_INTERVAL, self._reload_changed)

    def _reload_changed(self) -> None:
        for tls in self._tls:
            if tls.has_changed():
                try:
                    tls.reload()
                except ConfigError as error:
                    self._failed_reloads += 1
                    _logger.error("certificates stay as they were: %s", error)
                else:
                    self._reloads += 1
                    _logger.info("certificates were read again, new connections get them")
        self._watch = self._reactor.call_later(_RELOAD_INTERVAL, self._reload_changed)

    # -- called by the reactor's servers -----------------------------------------------------------

    def _attach(self, transport: Any) -> bool:
        most, per_address = self._limits
        if len(self._transports) >= most:
            self._refused += 1
            return False
        address = _counted_address(transport)
        if address is not None:
            count = self._addresses.get(address, 0)
            if per_address is not None and count >= per_address:
                self._refused_address += 1
                return False
            self._addresses[address] = count + 1
        self._accepted += 1
        self._transports.add(transport)
        if not self._tls:
            self.factory._connected(transport)  # noqa: SLF001 - one room
        return True

    def _secured(self, transport: Any) -> None:
        self.factory._connected(transport)  # noqa: SLF001 - one room

    def _handshake_failed(self, error: Exception | None) -> None:
        self._failed_handshakes += 1
        _logger.debug("TLS handshake failed: %s", error)

    def _detach(self, transport: Any) -> None:
        self._transports.discard(transport)
        self.factory._disconnected(transport)  # noqa: SLF001 - one room
        address = _counted_address(transport)
        if address is not None:
            left = self._addresses.get(address, 0) - 1
            if left > 0:
                self._addresses[address] = left
            else:
                self._addresses.pop(address, None)


def _counted_address(transport: Any) -> str | None:
    """The peer's host where connections are counted by address: not on loopback, not on UNIX."""
    peer = transport._peer()  # noqa: SLF001 - the address from accept(2), without a system call
    if peer is None or peer[0].startswith("127.") or peer[0] in {"::1", "::ffff:127.0.0.1"}:
        return None
    host: str = peer[0]
    return host


def _server_tls(endpoint: Endpoint, options: ListenOptions) -> ServerTls | None:
    """The TLS settings of an endpoint, given as one object or in parts."""
    parts = {
        name: getattr(options, name)
        for name in ("certificate", "key", "client_ca", "client_certificate", "alpn")
        if getattr(options, name) not in {None, "none", ()}
    }
    wanted = endpoint.scheme == "tls"
    if options.tls is not None:
        if parts:
            raise ConfigError(f"tls is given, so {', '.join(parts)} belong into it")
        if not isinstance(options.tls, ServerTls):
            raise ConfigError(f"tls is {options.tls!r}, it must be a net.ServerTls")
        if not wanted and endpoint.scheme != "unix":
            raise ConfigError(f"tls is given for a {endpoint.scheme}:// URL; write tls://HOST:PORT")
        return options.tls
    if not wanted:
        if parts:
            raise ConfigError(f"{', '.join(parts)} mean something for tls:// only")
        return None
    if "certificate" not in parts:
        raise ConfigError("a tls:// server needs a certificate and its key, or tls=ServerTls(...)")
    return ServerTls(**parts, handshake_timeout=options.handshake_timeout)


def _is_async(given: Any) -> bool:
    call = getattr(given, "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(call)


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
        *urls: Where to listen: `tcp://HOST:PORT`, `tls://HOST:PORT`, `unix:///PATH`; `*` as the
            host means every interface, port 0 a free one. The options may stand in the query as
            well: `tls://*:8443?certificate=chain.pem&key=key.pem`.
        **options: `tls` (a `ServerTls`) or its parts `certificate`, `key`, `client_ca`,
            `client_certificate`, `alpn`; `handshake_timeout` (10 s); `backlog` (the system's
            limit); `reuse_port`, `keep_alive` (off); `max_connections` (80 % of the descriptor
            limit) and `max_connections_per_address` (256; loopback is not counted).

    Raises:
        ConfigError: A URL or an option makes no sense.
        OSError: An address is in use or is not ours.
        RuntimeError: No sennit.Reactor runs in this thread.
    """
    reactor = current_reactor()
    if not urls:
        raise ConfigError("listen() needs at least one URL, such as tcp://127.0.0.1:8000")
    endpoints = [(url, parse_endpoint(url)) for url in urls]
    tables = [merge(ListenOptions, url, end.options, options) for url, end in endpoints]
    descriptors = core.raise_descriptor_limit()
    server = Server(reactor, _factory(factory))
    try:
        for (url, endpoint), table in zip(endpoints, tables, strict=True):
            if endpoint.scheme == "udp":
                raise ConfigError(f"{url} has datagrams, not connections: net.bind opens it")
            await server._start(endpoint, table)  # noqa: SLF001 - one room
        most = tables[0].max_connections
        if most is None:
            most = max(1, int(descriptors * _CONNECTIONS_OF_DESCRIPTORS))
        await server._serve((most, tables[0].max_connections_per_address))  # noqa: SLF001
    except BaseException:
        for listening in server._servers:  # noqa: SLF001
            listening.close()
        raise
    return server
