"""Serving HTTP: `listen` inside a running reactor, `serve` as a whole program."""

from __future__ import annotations

import logging
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from sennit._native import core
from sennit.errors import ConfigError
from sennit.http.message import Request, Response
from sennit.http.url import parse_listen_url
from sennit.reactor import Reactor, current_reactor, run
from sennit.reactor.listening import FULL_BACKLOG

if TYPE_CHECKING:
    import asyncio
    import socket

__all__ = ["Handler", "Server", "listen", "serve"]

_Answer: TypeAlias = Response | str | bytes | dict[str, Any] | list[Any]
Handler: TypeAlias = Callable[[Request], _Answer | Awaitable[_Answer]]
"""A `def` or `async def` function from a request to its answer."""

_logger = logging.getLogger("sennit.http")

_GRACE = 30.0
"""Seconds for requests that are being answered when a server closes; gunicorn and systemd users
know this number."""

_CONNECTIONS_OF_DESCRIPTORS = 0.8
"""Share of the descriptor limit that connections may take; the rest is for files, upstreams, and
for refusing politely."""

_WHOLE = {
    "max_request_line": 16,
    "max_head_size": 64,
    "max_header_count": 1,
    "min_body_rate": 0,
    "max_body_size": 0,
    "max_requests": 1,
    "max_connections": 1,
}
"""Settings that are whole numbers, with the least that makes sense."""

_SECONDS = {"header_timeout", "keep_alive_timeout", "body_timeout", "write_timeout"}


class Server:
    """Listening sockets, a handler, and the connections between them; made by `listen`."""

    def __init__(self, reactor: Reactor, handler: Handler, settings: dict[str, float]) -> None:
        self._reactor = reactor
        self._core = core.HttpServer(reactor, self, handler, settings)
        self._urls: list[str] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._grace: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<sennit.http.Server {self._core.state()} {' '.join(self._urls)}>"

    @property
    def urls(self) -> list[str]:
        """Where the server listens, with the ports that were picked."""
        return list(self._urls)

    @property
    def port(self) -> int:
        """The port of the first URL."""
        return int(self._urls[0].rpartition(":")[2])

    def statistics(self) -> dict[str, int]:
        """Counters since the server was made: connections, requests, what each limit refused."""
        return self._core.statistics()

    def _listen(self, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            sock.listen(FULL_BACKLOG)
            host, port = sock.getsockname()[:2]
            # The core closes it, also when the loop is closed under a server that was not.
            self._core.listen(sock.detach(), None, 0.0)
            self._urls.append(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def close(self, grace: float = _GRACE) -> None:
        """Accept no more, let what is being answered be answered, and wait for the end.

        Idle connections are closed at once. What is not answered after the grace time is dropped,
        and its handler cancelled. A second call while the first one waits shortens the grace time.

        Args:
            grace: Seconds; 0 drops everything at once.
        """
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
        """Wait until the server is closed and its last connection is gone."""
        if self._core.state() == "STOPPED":
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
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
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


async def listen(handler: Handler, *urls: str, **settings: float) -> Server:
    """Serve a handler; returns when the sockets listen.

    Args:
        handler: Called with each request; returns an `http.Response`, `str`, `bytes`, or a
            `dict` or `list`, which is sent as JSON; or is a coroutine function that does.
        *urls: Where to listen, each `http://HOST:PORT`; `*` as the host means every interface, port
            0 a free one.
        **settings: Limits by name. In bytes: `max_request_line` (8192), `max_head_size` (32768),
            `max_body_size` (10 MiB), `min_body_rate` (500 per second). In seconds: `header_timeout`
            (10), `keep_alive_timeout` (15), `body_timeout` (60), `write_timeout` (30). Counts:
            `max_header_count` (100, at most 256), `max_requests` on a connection (10,000),
            `max_connections` (80 % of the descriptor limit).

    Raises:
        ConfigError: A URL or a setting makes no sense.
        OSError: An address is in use or is not ours.
        RuntimeError: No sennit.Reactor runs in this thread.
    """
    reactor = current_reactor()
    if not callable(handler):
        raise ConfigError(f"the handler is {handler!r}, which cannot be called")
    if not urls:
        raise ConfigError("listen() needs at least one URL, such as http://127.0.0.1:8080")
    limit = core.raise_descriptor_limit()
    defaults = {"max_connections": max(1, int(limit * _CONNECTIONS_OF_DESCRIPTORS))}
    server = Server(reactor, handler, defaults | _check(settings))
    sockets: list[socket.socket] = []
    try:
        for url in urls:
            host, port = parse_listen_url(url)
            sockets += await reactor._listening_sockets(host, port)  # noqa: SLF001
        server._listen(sockets)  # noqa: SLF001 - one room
    except BaseException:
        server._core.abort()  # noqa: SLF001
        for sock in sockets:
            sock.close()
        raise
    return server


def _check(settings: dict[str, float]) -> dict[str, float]:
    for name, value in settings.items():
        if name in _WHOLE:
            least = _WHOLE[name]
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is {value!r}, it must be an int of at least {least}")
        elif name in _SECONDS:
            if not isinstance(value, int | float) or not 0 < value < 1e9:
                raise ConfigError(f"{name} is {value!r}, it must be a number of seconds above 0")
        else:
            known = ", ".join(sorted((*_WHOLE, *_SECONDS)))
            raise ConfigError(f"{name} is no setting; there are: {known}")
    if settings.get("max_header_count", 1) > 256:
        raise ConfigError(f"max_header_count is {settings['max_header_count']}, at most 256")
    return settings


def serve(handler: Handler, *urls: str, grace: float = _GRACE, **settings: float) -> None:
    """Serve a handler until SIGINT or SIGTERM; a second signal stops at once.

    Args:
        handler: As for `listen`.
        *urls: As for `listen`.
        grace: Seconds for what is being answered when the first signal comes.
        **settings: As for `listen`.

    Raises:
        ConfigError: A URL or a setting makes no sense.
        OSError: An address is in use or is not ours.
    """
    run(_serve(handler, urls, grace, settings))


async def _serve(
    handler: Handler, urls: tuple[str, ...], grace: float, settings: dict[str, Any]
) -> None:
    reactor = current_reactor()
    server = await listen(handler, *urls, **settings)
    stops = 0
    closing: asyncio.Task[None] | None = None

    def stop(name: str) -> None:
        nonlocal stops, closing
        stops += 1
        if stops == 1:
            _logger.info("%s: closing, at most %g s for what is being answered", name, grace)
            closing = reactor.create_task(server.close(grace))
        else:
            _logger.warning("%s again: stopping at once", name)
            server._core.abort()  # noqa: SLF001 - one room

    for number in (signal.SIGINT, signal.SIGTERM):
        reactor.add_signal_handler(number, stop, number.name)
    try:
        _logger.info("serving on %s", ", ".join(server.urls))
        await server.wait_closed()
        if closing is not None:
            await closing
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            reactor.remove_signal_handler(number)
        await server.close(0)
