"""Serving: listening sockets whose connections become protocols."""

from __future__ import annotations

import asyncio
import enum
import os
import socket
from asyncio import trsock
from typing import TYPE_CHECKING, Any, Protocol

from sennit._native import core
from sennit.reactor.listening import (
    FULL_BACKLOG,
    bind_all,
    bind_path,
    check_stream,
    listen,
    prepare,
)
from sennit.reactor.names import Names
from sennit.reactor.tls import native_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sennit.reactor.names import AddressInfo

__all__ = ["Server", "Serving"]


class _State(enum.Enum):
    NEW = enum.auto()
    SERVING = enum.auto()
    CLOSED = enum.auto()


class ConnectionOwner(Protocol):
    """Who wants to hear of a server's connections."""

    def _attach(self, transport: asyncio.Transport) -> bool:
        """A connection has come; False refuses it."""

    def _detach(self, transport: asyncio.Transport) -> None:
        """A connection is over."""

    def _ready(self, transport: asyncio.Transport) -> None:
        """A connection's protocol is about to hear of it, with TLS after the handshake."""

    def _handshake_failed(self, error: Exception | None) -> None:
        """A connection came to nothing in its TLS handshake."""


class Server(asyncio.AbstractServer):
    """Listening sockets of one protocol factory, and a count of their connections."""

    def __init__(
        self,
        reactor: Serving,
        sockets: Iterable[socket.socket],
        factory: Any,
        backlog: int,
        tls: tuple[Any, float] = (None, 0.0),
    ) -> None:
        self._reactor = reactor
        self._sockets = list(sockets)
        self._factory = factory
        self._backlog = backlog
        self._tls = tls
        self._owner: ConnectionOwner | None = None
        self._write_limits: core.WriteLimits | None = None
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
            listen(sock, self._backlog)
            token = self._reactor._listen(  # noqa: SLF001 - one room
                sock.fileno(), self._factory, self, *self._tls, self._write_limits
            )
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

    def _attach(self, transport: asyncio.Transport) -> bool:
        if self._owner is not None:
            if not self._owner._attach(transport):  # noqa: SLF001 - an owner is asked like this
                return False
            if self._tls[0] is None:
                self._owner._ready(transport)  # noqa: SLF001 - as above
        self._active += 1
        return True

    def _secured(self, transport: asyncio.Transport) -> None:
        if self._owner is not None:
            self._owner._ready(transport)  # noqa: SLF001 - as above

    def _handshake_failed(self, _transport: asyncio.Transport, error: Exception | None) -> None:
        if self._owner is not None:
            self._owner._handshake_failed(error)  # noqa: SLF001 - as above

    def _detach(self, transport: asyncio.Transport) -> None:
        if self._owner is not None:
            self._owner._detach(transport)  # noqa: SLF001 - as above
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
            ssl: A `sennit.net.ServerTls`; an `ssl.SSLContext` comes with a later version.
            reuse_address: SO_REUSEADDR; on by default.
            reuse_port: SO_REUSEPORT: several processes share the port.
            keep_alive: SO_KEEPALIVE on every connection.
            ssl_handshake_timeout: Seconds; by default what the settings say.
            ssl_shutdown_timeout: Accepted for asyncio's sake: closing waits for no answer.
            start_serving: False: `Server.start_serving` does.

        Raises:
            NotImplementedError: TLS was asked for with an `ssl.SSLContext`.
            OSError: No address could be found or bound.
            ValueError: Both or neither of host/port and sock, or a sock that is no stream socket.
        """
        tls = native_tls("create_server", ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            sockets = [check_stream(sock)]
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
            prepare(listening, keep_alive=keep_alive)
        return await self._serve(sockets, (protocol_factory, backlog, tls), start_serving)

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
            ssl: As for `create_server`.
            ssl_handshake_timeout: As for `create_server`.
            ssl_shutdown_timeout: As for `create_server`.
            start_serving: False: `Server.start_serving` does.
            cleanup_socket: Accepted for asyncio's sake; the path is left, as before Python 3.13.

        Raises:
            NotImplementedError: TLS was asked for with an `ssl.SSLContext`.
            OSError: The path is in use or cannot be made.
            ValueError: Both or neither of path and sock, or a sock that is no UNIX stream socket.
        """
        tls = native_tls("create_unix_server", ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            if path is not None:
                raise ValueError("path and sock can not be specified at the same time")
            if check_stream(sock).family != socket.AF_UNIX:
                raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
        elif path is None:
            raise ValueError("path was not specified, and no sock specified")
        else:
            sock = self._bind_path(os.fspath(path))
        sock.setblocking(False)
        return await self._serve([sock], (protocol_factory, backlog, tls), start_serving)

    async def _serve(
        self,
        sockets: list[socket.socket],
        settings: tuple[Any, int, tuple[Any, float]],
        start: bool,
    ) -> Server:
        server = Server(self, sockets, *settings)
        if start:
            try:
                server._start()  # noqa: SLF001 - one room, two classes
            except BaseException:
                server.close()
                raise
            await asyncio.sleep(0)
        return server

    async def _listening_sockets(self, host: str | None, port: int) -> list[socket.socket]:
        """Bound sockets for every address of a host, ready to listen; None is every interface.

        Raises:
            OSError: No address could be found or bound.
        """
        addresses = await self._addresses(
            host, port, family=socket.AF_UNSPEC, proto=0, flags=socket.AI_PASSIVE
        )
        unique = list(dict.fromkeys(addresses))
        sockets = self._bind_all(unique, reuse_address=True, reuse_port=None)
        for sock in sockets:
            prepare(sock, keep_alive=None)
        return sockets
