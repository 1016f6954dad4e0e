"""Serving: listening sockets whose connections become protocols."""

from __future__ import annotations

import asyncio
import enum
import os
import socket
from asyncio import trsock
from typing import TYPE_CHECKING, Any

from sennit._native import core
from sennit.reactor.binding import bind_all, bind_path
from sennit.reactor.later import refuse
from sennit.reactor.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sennit.reactor.names import AddressInfo

__all__ = ["FULL_BACKLOG", "Server", "Serving", "listening_sockets"]

FULL_BACKLOG = 65_535
"""Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`. asyncio's
100 makes a burst of more connections than that wait a second for the next try."""


class _State(enum.Enum):
    NEW = enum.auto()
    SERVING = enum.auto()
    CLOSED = enum.auto()


class Server(asyncio.AbstractServer):
    """Listening sockets of one protocol factory, and a count of their connections."""

    def __init__(
        self, reactor: Serving, sockets: Iterable[socket.socket], factory: Any, backlog: int
    ) -> None:
        self._reactor = reactor
        self._sockets = list(sockets)
        self._factory = factory
        self._backlog = backlog
        self._state = _State.NEW
        self._tokens: list[int] = []
        self._active = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<sennit.Server {self._state.name} sockets={self.sockets!r}>"

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; empty once the server is closed."""
        if self._state is _State.CLOSED:
            return ()
        # As asyncio: to be asked, not to be closed.
        return tuple(trsock.TransportSocket(sock) for sock in self._sockets)  # type: ignore[misc]

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The reactor that this server belongs to."""
        return self._reactor

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._state is _State.SERVING

    async def start_serving(self) -> None:
        """Accept connections; nothing happens if the server does already.

        Raises:
            RuntimeError: The server is closed.
        """
        self._start()
        # As asyncio: whoever waited here sees a server that has had its first turn.
        await asyncio.sleep(0)

    def _start(self) -> None:
        if self._state is _State.SERVING:
            return
        if self._state is _State.CLOSED:
            raise RuntimeError(f"server {self!r} is closed")
        core.raise_descriptor_limit()
        self._state = _State.SERVING
        for sock in self._sockets:
            _listen(sock, self._backlog)
            token = self._reactor._listen(sock.fileno(), self._factory, self)  # noqa: SLF001
            self._tokens.append(token)

    async def serve_forever(self) -> None:
        """Serve until cancelled, then close.

        Raises:
            RuntimeError: The server is closed, or somebody waits here already.
            asyncio.CancelledError: The only way out.
        """
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self._start()
        self._forever = self._reactor.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Stop accepting. Connections go on until their protocols close them."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        for token in self._tokens:
            self._reactor._stop_listening(token)  # noqa: SLF001
        self._tokens.clear()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        if not self._active:
            self._wake()

    def close_clients(self) -> None:
        """Close every connection after what it has written is sent."""
        for transport in self._reactor._transports_of(self):  # noqa: SLF001
            transport.close()

    def abort_clients(self) -> None:
        """Close every connection at once."""
        for transport in self._reactor._transports_of(self):  # noqa: SLF001
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection is gone."""
        if self._state is _State.CLOSED and not self._active:
            return
        waiter = self._reactor.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- called by the native core -----------------------------------------------------------------

    def _attach(self) -> None:
        self._active += 1

    def _detach(self) -> None:
        self._active -= 1
        if not self._active and self._state is _State.CLOSED:
            self._wake()


class Serving(Names):
    """`create_server` and `create_unix_server`."""

    # A simulated network has its own.
    _bind_all = staticmethod(bind_all)
    _bind_path = staticmethod(bind_path)

    async def create_server(  # type: ignore[override]  # noqa: PLR0913 - asyncio's signature
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = FULL_BACKLOG,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on TCP; each connection gets a protocol from the factory.

        Args:
            protocol_factory: Makes one protocol for each connection.
            host: Name or address, several of them, or None (or "") for every interface.
            port: 0 to 65535; 0 or None picks a free one, the same for every address.
            family: Only addresses of this family; both by default.
            flags: For `socket.getaddrinfo`.
            sock: A bound socket to listen on, instead of host and port.
            backlog: Connections that may wait to be accepted; the system's limit by default.
            ssl: TLS comes with a later version.
            reuse_address: SO_REUSEADDR; on by default.
            reuse_port: SO_REUSEPORT: several processes share the port.
            keep_alive: SO_KEEPALIVE on every connection.
            ssl_handshake_timeout: TLS comes with a later version.
            ssl_shutdown_timeout: TLS comes with a later version.
            start_serving: False: `Server.start_serving` does.

        Raises:
            NotImplementedError: TLS was asked for.
            OSError: No address could be found or bound.
            ValueError: Both or neither of host/port and sock, or a sock that is no stream socket.
        """
        _no_tls("create_server", ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            sockets = [_check_stream(sock)]
        elif host is None and port is None:
            raise ValueError("Neither host/port nor sock were specified")
        else:
            hosts = [host or None] if host is None or isinstance(host, str) else list(host)
            found: dict[AddressInfo, None] = {}
            for name in hosts:
                addresses = await self._addresses(name, port, family=family, proto=0, flags=flags)
                found.update(dict.fromkeys(addresses))
            sockets = self._bind_all(
                list(found), reuse_address=reuse_address, reuse_port=reuse_port
            )
        for listening in sockets:
            _prepare(listening, keep_alive=keep_alive)
        return await self._serve(sockets, protocol_factory, backlog, start_serving)

    async def create_unix_server(  # type: ignore[override]  # noqa: PLR0913 - as above
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        path: str | os.PathLike[str] | None = None,
        *,
        sock: socket.socket | None = None,
        backlog: int = FULL_BACKLOG,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = False,
    ) -> Server:
        """Listen on a UNIX socket; each connection gets a protocol from the factory.

        Args:
            protocol_factory: Makes one protocol for each connection.
            path: Where the socket is made; a socket that is there already is replaced. A name
                that starts with a zero byte is abstract.
            sock: A bound socket to listen on, instead of a path.
            backlog: Connections that may wait to be accepted; the system's limit by default.
            ssl: TLS comes with a later version.
            ssl_handshake_timeout: TLS comes with a later version.
            ssl_shutdown_timeout: TLS comes with a later version.
            start_serving: False: `Server.start_serving` does.
            cleanup_socket: Accepted for asyncio's sake; the path is left, as before Python 3.13.

        Raises:
            NotImplementedError: TLS was asked for.
            OSError: The path is in use or cannot be made.
            ValueError: Both or neither of path and sock, or a sock that is no UNIX stream socket.
        """
        _no_tls("create_unix_server", ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            if path is not None:
                raise ValueError("path and sock can not be specified at the same time")
            if _check_stream(sock).family != socket.AF_UNIX:
                raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
        elif path is None:
            raise ValueError("path was not specified, and no sock specified")
        else:
            sock = self._bind_path(os.fspath(path))
        sock.setblocking(False)
        return await self._serve([sock], protocol_factory, backlog, start_serving)

    async def _serve(
        self, sockets: list[socket.socket], factory: Any, backlog: int, start: bool
    ) -> Server:
        server = Server(self, sockets, factory, backlog)
        if start:
            try:
                server._start()  # noqa: SLF001 - one room, two classes
            except BaseException:
                server.close()
                raise
            await asyncio.sleep(0)
        return server


async def listening_sockets(reactor: Serving, host: str | None, port: int) -> list[socket.socket]:
    """Bound sockets for every address of a host, ready to listen; None is every interface.

    Raises:
        OSError: No address could be found or bound.
    """
    addresses = await reactor._addresses(  # noqa: SLF001 - one room
        host, port, family=socket.AF_UNSPEC, proto=0, flags=socket.AI_PASSIVE
    )
    unique = list(dict.fromkeys(addresses))
    sockets = reactor._bind_all(unique, reuse_address=True, reuse_port=None)  # noqa: SLF001
    for sock in sockets:
        _prepare(sock, keep_alive=None)
    return sockets


def _no_tls(method: str, ssl: Any, *timeouts: float | None) -> None:
    if ssl:
        raise refuse(f"{method}(ssl=...)")
    if any(timeout is not None for timeout in timeouts):
        raise ValueError("ssl timeouts are only meaningful with ssl")


def _check_stream(sock: socket.socket) -> socket.socket:
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")
    return sock


def _prepare(sock: socket.socket, *, keep_alive: bool | None) -> None:
    """Options that accepted sockets inherit."""
    sock.setblocking(False)
    if sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _listen(sock: socket.socket, backlog: int) -> None:
    try:
        sock.listen(backlog)
    except OSError as error:
        # Two sockets may be bound to one port; only one of them may listen.
        reason = str(error.strerror).lower()
        message = f"error while attempting to listen on address {sock.getsockname()!r}: {reason}"
        raise OSError(error.errno, message) from error
