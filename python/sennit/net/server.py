"""A Server: listening sockets that know their connections, their limits and their end."""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import TYPE_CHECKING, Any

from sennit.net.binding import open_datagrams
from sennit.net.paths import SocketPaths
from sennit.net.reloading import CertificateWatch
from sennit.net.url import Endpoint, endpoint_url

if TYPE_CHECKING:
    from types import TracebackType

    from sennit.net.options import DatagramOptions, ListenOptions
    from sennit.net.protocol import Factory
    from sennit.net.tls import ServerTls
    from sennit.reactor import Reactor

__all__ = ["Server", "ServerState"]

_logger = logging.getLogger("sennit.net")

GRACE = 30.0
"""Seconds that connections have to end when a server closes."""


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
        factory._servers.append(self)  # noqa: SLF001 - one room
        self._reactor = reactor
        self._state = ServerState.NEW
        self._urls: list[str] = []
        self._servers: list[asyncio.Server] = []
        self._limits: tuple[int, int | None] = (0, None)
        self._paths = SocketPaths()
        self._certificates = CertificateWatch(reactor)
        self._transports: set[Any] = set()
        self._handshaking: set[Any] = set()
        self._sockets: list[Any] = []
        self._addresses: dict[str, int] = {}
        self._accepted = 0
        self._refused = 0
        self._refused_address = 0
        self._failed_handshakes = 0

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
            if not url.startswith("unix:"):
                return int(url.rpartition(":")[2])
        raise ValueError(f"{self!r} has no port")

    @property
    def connections(self) -> frozenset[Any]:
        """The protocols (for a stream handler: the streams) that are connected now."""
        return frozenset(transport.get_protocol() for transport in self._connected())

    def statistics(self) -> dict[str, int]:
        """Counters since the server was made, and how many connections are open now."""
        return {
            "connections_open": len(self._transports),
            "connections_accepted": self._accepted,
            "connections_refused": self._refused,
            "connections_refused_per_address": self._refused_address,
            "handshakes_failed": self._failed_handshakes,
            "certificates_reloaded": self._certificates.reloads,
            "certificate_reloads_failed": self._certificates.failures,
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
                    await self._wait_connections()
                    await self.factory._wait_ended()  # noqa: SLF001 - one room
            except TimeoutError:
                if grace > 0:
                    _logger.warning(
                        "%s: %d connections are open after %g s of grace: aborted",
                        " ".join(self._urls),
                        len(self._transports),
                        grace,
                    )
            finally:
                # Also when whoever closes is cancelled: no connection outlives its server.
                self.abort()
        await self.wait_closed()

    def abort(self) -> None:
        """Accept no more and drop every connection at once."""
        self._drain(tell=False)
        for transport in tuple(self._transports):
            transport.abort()
        self.factory._cancel()  # noqa: SLF001 - one room

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection is gone."""
        await self._wait_connections()
        if self._state is not ServerState.STOPPED:
            await self.factory._wait_cancelled()  # noqa: SLF001 - one room
        self._state = ServerState.STOPPED
        if self in self.factory._servers:  # noqa: SLF001 - one room
            self.factory._servers.remove(self)  # noqa: SLF001

    async def _wait_connections(self) -> None:
        for server in self._servers:
            await server.wait_closed()
        while any(datagrams._fileno() >= 0 for datagrams in self._sockets):  # noqa: SLF001
            lost = self._reactor.create_future()
            self._sockets[-1]._when_lost(lost.set_result)  # noqa: SLF001 - the seam for this
            await lost
            self._sockets.pop()

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
        self._certificates.stop()
        for server in self._servers:
            server.close()
        self._paths.remove()
        for datagrams in self._sockets:
            if tell:
                datagrams.close()
            else:
                datagrams.abort()
        if not tell:
            return
        for transport in tuple(self._transports):
            if transport in self._handshaking:
                transport.abort()  # its protocol has not heard of it
                continue
            protocol = transport.get_protocol()
            closing = getattr(protocol, "server_closing", transport.close)
            try:
                closing()
            except Exception:
                _logger.exception("%r failed in server_closing()", protocol)
                transport.abort()

    # -- starting ----------------------------------------------------------------------------------

    async def _start(
        self, endpoint: Endpoint, options: ListenOptions, tls: ServerTls | None
    ) -> None:
        if tls is not None:
            self._certificates.add(tls)
        common: dict[str, Any] = {
            "backlog": options.backlog,
            "ssl": tls,
            "ssl_handshake_timeout": tls and tls.handshake_timeout,
            "start_serving": False,
        }
        server: Any
        if endpoint.scheme == "unix":
            server = await self._reactor.create_unix_server(self.factory, endpoint.path, **common)
            self._paths.add(endpoint.path)
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

    async def _start_datagrams(self, endpoint: Endpoint, options: DatagramOptions) -> None:
        transport, _ = await open_datagrams(
            self._reactor, self.factory, endpoint, options, is_remote=False
        )
        self._sockets.append(transport)
        self._urls.append(endpoint_url("udp", transport.get_extra_info("sockname")))

    def _give_up(self) -> None:
        """Something could not start: nothing of the rest stays."""
        for server in self._servers:
            server.close()
        for transport in self._sockets:
            transport.abort()
        self._paths.remove()
        self.factory._servers.remove(self)  # noqa: SLF001 - one room

    async def _serve(self, limits: tuple[int, int | None]) -> None:
        self._limits = limits
        for server in self._servers:
            await server.start_serving()
        self._state = ServerState.RUNNING
        self._certificates.start()

    def _connected(self) -> set[Any]:
        """The transports whose protocols have heard of their connections."""
        return self._transports - self._handshaking if self._handshaking else self._transports

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
        self._handshaking.add(transport)
        return True

    def _ready(self, transport: Any) -> None:
        self._handshaking.discard(transport)

    def _handshake_failed(self, error: Exception | None) -> None:
        self._failed_handshakes += 1
        _logger.debug("TLS handshake failed: %s", error)

    def _detach(self, transport: Any) -> None:
        self._transports.discard(transport)
        self._handshaking.discard(transport)
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
