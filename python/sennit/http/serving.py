"""Serving HTTP: `listen` inside a running reactor, `serve` as a whole program."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any

from sennit.errors import ConfigError
from sennit.http.endpoints import ListenEndpoint, parse_listen_url
from sennit.http.lifespan import Hook, Hooks, Lifespan, hooks_of, layers_of
from sennit.http.limits import check_limits, check_networks
from sennit.http.server import GRACE, Handler, Server
from sennit.reactor import current_reactor, run

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from sennit.net.tls import ServerTls
    from sennit.reactor import Reactor

__all__ = ["listen", "serve"]

_logger = logging.getLogger("sennit.http")


async def listen(
    handler: Handler,
    *urls: str,
    tls: ServerTls | None = None,
    on_startup: Iterable[Hook] = (),
    on_shutdown: Iterable[Hook] = (),
    trusted_proxies: Iterable[str] = (),
    cancel_on_disconnect: bool = False,
    **limits: float,
) -> Server:
    """Serve a handler; returns when the sockets listen.

    Args:
        handler: Called with each request; returns an `http.Response`, `str`, `bytes`, `dict` or
            `list`, or is a coroutine function that does. CONNECT is refused with 501 unless it has
            an attribute `handles_connect` that is true.
        *urls: Where to listen, each `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`; `*`
            as the host means every interface, port 0 a free one.
        tls: Certificates and keys of the `https://` URLs; files that change are read again.
        on_startup: `def` or `async def` functions without arguments, run before the sockets listen;
            an `http.Router` has its own, which run after these.
        on_shutdown: The same after the server has drained, the last one first. What they raise goes
            to the loop's exception handler.
        trusted_proxies: Networks such as `10.0.0.0/8` whose addresses stand for many clients:
            `max_connections_per_address` does not count them.
        cancel_on_disconnect: Give a request up, and cancel its handler, when the client has ended
            its sending side behind it. Off, because HTTP lets a client do so and wait for its
            answer; `request.is_disconnected` says it in any case.
        **limits: What one peer may cost, by name: `sennit.http.LIMITS` has all of them.

    Raises:
        ConfigError: A URL or a limit makes no sense, or a certificate cannot be used.
        OSError: An address is in use or is not ours.
        RuntimeError: No sennit.Reactor runs in this thread.
        Exception: What a startup hook has raised, after what was started has been shut down.
    """
    reactor = current_reactor()
    if not callable(handler):
        raise ConfigError(f"the handler is {handler!r}, which cannot be called")
    if not urls:
        raise ConfigError("listen() needs at least one URL, such as http://127.0.0.1:8080")
    endpoints = [parse_listen_url(url) for url in urls]
    for endpoint in endpoints:
        if endpoint.scheme == "https" and tls is None:
            raise ConfigError(f"{endpoint.url!r} needs tls, a sennit.net.ServerTls")
    settings: dict[str, float | str] = {
        **check_limits(limits),
        "trusted_proxies": check_networks(trusted_proxies),
        "cancel_on_disconnect": float(cancel_on_disconnect),
        "allow_connect": float(
            any(getattr(layer, "handles_connect", False) for layer in layers_of(handler))
        ),
    }
    lifespan = Lifespan([Hooks(on_startup, on_shutdown), *hooks_of(handler)])
    server = Server(reactor, handler, settings, lifespan)
    await lifespan.start()
    bound: list[tuple[ListenEndpoint, socket.socket]] = []
    try:
        for endpoint in endpoints:
            bound += [(endpoint, sock) for sock in await _bind(reactor, endpoint)]
            if endpoint.path:
                server._paths.add(endpoint.path)  # noqa: SLF001 - one room
        for endpoint, sock in bound:
            server._listen(endpoint, sock, tls if endpoint.scheme == "https" else None)  # noqa: SLF001 - one room
        server._certificates.start()  # noqa: SLF001
    except BaseException:
        server._abort()  # noqa: SLF001
        for _, sock in bound:
            sock.close()
        await lifespan.stop()
        raise
    return server


async def _bind(reactor: Reactor, endpoint: ListenEndpoint) -> list[socket.socket]:
    if endpoint.path:
        sock = reactor._bind_path(endpoint.path)  # noqa: SLF001 - the reactor's own listening
        sock.setblocking(False)
        return [sock]
    return await reactor._listening_sockets(endpoint.host, endpoint.port)  # noqa: SLF001


def serve(
    handler: Handler,
    *urls: str,
    grace: float = GRACE,
    tls: ServerTls | None = None,
    **settings: Any,
) -> None:
    """Serve a handler until SIGINT or SIGTERM; a second signal stops at once.

    Args:
        handler: As for `listen`.
        *urls: As for `listen`.
        grace: Seconds for what is being answered when the first signal comes.
        tls: As for `listen`.
        **settings: As for `listen`: hooks and limits.

    Raises:
        ConfigError: A URL or a setting makes no sense.
        OSError: An address is in use or is not ours.
        Exception: What a startup hook has raised.
    """
    run(_serve(handler, urls, grace, {"tls": tls, **settings}))


async def _serve(
    handler: Handler, urls: tuple[str, ...], grace: float, settings: dict[str, Any]
) -> None:
    reactor = current_reactor()
    # A task, so that a signal can end it while its hooks run: what they have opened is closed.
    starting = reactor.create_task(listen(handler, *urls, **settings))
    closing: asyncio.Task[None] | None = None
    stops = 0

    def stop(name: str) -> None:
        nonlocal stops, closing
        stops += 1
        if stops > 1:
            _logger.warning("%s again: stopping at once", name)
            if starting.done():
                starting.result()._abort()  # noqa: SLF001 - one room
            else:
                starting.cancel()
        elif starting.done():
            _logger.info("%s: closing, at most %g s for what is being answered", name, grace)
            closing = reactor.create_task(starting.result().close(grace))
        else:
            _logger.info("%s: the start is given up", name)
            starting.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        reactor.add_signal_handler(number, stop, number.name)
    try:
        await asyncio.wait([starting])
        if starting.cancelled() and stops:
            return
        server = starting.result()
        try:
            _logger.info("serving on %s", ", ".join(server.urls))
            await server.wait_closed()
            if closing is not None:
                await closing
        finally:
            await server.close(0)
    finally:
        starting.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            reactor.remove_signal_handler(number)
