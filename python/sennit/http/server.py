"""A server of HTTP: listening sockets, a handler, the connections between them, and their end."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from sennit._native import core
from sennit.http.message import Request, Response
from sennit.net.paths import SocketPaths
from sennit.net.reloading import CertificateWatch
from sennit.reactor.listening import FULL_BACKLOG

if TYPE_CHECKING:
    import asyncio
    import socket

    from sennit.http.endpoints import ListenEndpoint
    from sennit.http.lifespan import Lifespan
    from sennit.net.tls import ServerTls
    from sennit.reactor import Reactor

__all__ = ["GRACE", "Handler", "Server"]

_Answer: TypeAlias = Response | str | bytes | dict[str, Any] | list[Any]
Handler: TypeAlias = Callable[[Request], _Answer | Awaitable[_Answer]]
"""A `def` or `async def` function from a request to its answer."""

_logger = logging.getLogger("sennit.http")

GRACE = 30.0
"""Seconds for requests that are being answered when a server closes; gunicorn and systemd users
know this number."""


class Server:
    """Listening sockets, a handler, and the connections between them; made by `listen`."""

    def __init__(
        self,
        reactor: Reactor,
        handler: Handler,
        settings: dict[str, float | str],
        lifespan: Lifespan,
    ) -> None:
        self._reactor = reactor
        self._core = core.HttpServer(reactor, self, handler, settings)
        self._urls: list[str] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._grace: asyncio.TimerHandle | None = None
        self._paths = SocketPaths()
        self._certificates = CertificateWatch(reactor)
        self._lifespan = lifespan

    def __repr__(self) -> str:
        return f"<sennit.http.Server {self._core.state()} {' '.join(self._urls)}>"

    @property
    def urls(self) -> list[str]:
        """Where the server listens, with the ports that were picked."""
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

    def statistics(self) -> dict[str, int]:
        """Counters since the server was made: connections, requests, what each limit refused."""
        return self._core.statistics() | {
            "certificates_reloaded": self._certificates.reloads,
            "certificate_reloads_failed": self._certificates.failures,
        }

    def _listen(self, endpoint: ListenEndpoint, sock: socket.socket, tls: ServerTls | None) -> None:
        sock.listen(FULL_BACKLOG)
        name = sock.getsockname()
        if endpoint.path:
            self._urls.append(endpoint.url)
        else:
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            self._urls.append(f"{endpoint.scheme}://{host}:{name[1]}")
        if tls is None:
            settings, timeout = None, 0.0
        else:
            settings, timeout = tls.native, tls.handshake_timeout
            self._certificates.add(tls)
        # The core closes it, also when the loop is closed under a server that was not.
        self._core.listen(sock.detach(), settings, timeout)

    def _abort(self) -> None:
        self._end_listening()
        self._core.abort()

    def _end_listening(self) -> None:
        self._certificates.stop()
        self._paths.remove()

    async def close(self, grace: float = GRACE) -> None:
        """Accept no more, let what is being answered be answered, and wait for the end.

        Idle connections are closed at once. What is not answered after the grace time is dropped,
        and its handler cancelled; so are connections that were upgraded. A second call while the
        first one waits shortens the grace time.

        Args:
            grace: Seconds; 0 drops everything at once.
        """
        self._end_listening()
        if self._core.state() != "STOPPED":
            self._core.drain()
            if grace <= 0:
                self._core.abort()
            elif self._core.state() != "STOPPED":
                if self._grace is not None:
                    self._grace.cancel()
                self._grace = self._reactor.call_later(grace, self._core.abort)
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the server is closed, its last connection gone, and its shutdown hooks run."""
        if self._core.state() == "STOPPED" and self._lifespan.is_over:
            return
        waiter = self._reactor.create_future()
        self._waiters.append(waiter)
        await waiter

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    # -- called by the native core -----------------------------------------------------------------

    def _drained(self) -> None:
        self._end_listening()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._lifespan.stop_soon(self._end)

    def _end(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _exhausted(self, error: OSError) -> None:
        _logger.error(
            "no descriptor is left for new connections (%s): accepting rests for 100 ms; raise the "
            "limit (ulimit -n) or lower max_connections",
            error,
        )
