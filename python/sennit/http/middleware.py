"""Middleware: plain functions that take a handler and give a handler, put around each other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

from sennit.errors import ConfigError, RemoteProtocolError
from sennit.http.message import Request, Response
from sennit.http.policy.hosts import canonical_host
from sennit.http.server import Handler

__all__ = [
    "Middleware",
    "allow_hosts",
    "around",
    "call",
    "compose",
    "limit_concurrency",
    "log_requests",
    "timeout",
]

_H = TypeVar("_H", bound=Handler)

Middleware: TypeAlias = Callable[[Handler], Handler]
"""Takes a handler, gives a handler that does more."""

_logger = logging.getLogger("sennit.http")


async def call(handler: Handler, request: Request) -> Response:
    """Call a handler, `def` or `async def`, and make what it returns an `http.Response`.

    Raises:
        TypeError: It has returned nothing that can be an answer.
    """
    answer: Any = handler(request)
    if hasattr(answer, "__await__"):
        answer = await answer
    match answer:
        case Response():
            return answer
        case str() | bytes():
            return Response(answer)
        case dict() | list():
            return Response.json(answer)
    raise TypeError(
        f"the handler returned {type(answer).__name__}; "
        "return an http.Response, str, bytes, dict or list"
    )


def compose(handler: Handler, *middleware: Middleware) -> Handler:
    """A handler with middleware around it, the first one outermost.

    What `http.listen` asks of a handler (whether it takes CONNECT, what is to run before and after)
    it is told of the composed one as well.

    Raises:
        ConfigError: A middleware gives nothing that can be called.
    """
    for layer in reversed(middleware):
        inner, handler = handler, layer(handler)
        if not callable(handler):
            raise ConfigError(f"the middleware {layer!r} gave {handler!r}, which is no handler")
        if handler is not inner:
            around(inner, handler)
    return handler


def around(inner: Handler, handler: _H) -> _H:
    """Say of a handler what is inside of it, as `functools.wraps` does, if it has room for that."""
    if not hasattr(handler, "__wrapped__"):
        with contextlib.suppress(AttributeError):
            cast("Any", handler).__wrapped__ = inner
    return handler


def log_requests(handler: Handler, *, logger: logging.Logger = _logger) -> Handler:
    """Middleware that logs each request with its status and the time to its answer.

    One line at INFO; at ERROR if the handler has raised. The time ends when the handler returns: a
    body that is sent in pieces goes on.

    Args:
        handler: What is called.
        logger: Where the lines go; `sennit.http` by default.
    """

    async def logged(request: Request) -> Response:
        begin = time.perf_counter()
        outcome: object = "cancelled"
        level = logging.INFO
        try:
            response = await call(handler, request)
            outcome = response.status
        except RemoteProtocolError as error:
            # The server answers with this: the fault is the client's.
            outcome = error.hint or type(error).__name__
            raise
        except Exception as error:
            outcome, level = type(error).__name__, logging.ERROR
            raise
        else:
            return response
        finally:
            client = request.client[0] if request.client else "-"
            spent = (time.perf_counter() - begin) * 1000
            logger.log(
                level, "%s %s %s %s %.1f ms", client, request.method, request.target, outcome, spent
            )

    return around(handler, logged)


def limit_concurrency(limit: int, *, retry_after: int = 1) -> Middleware:
    """Middleware that lets so many requests in at once and answers the others with 503.

    The limit is one for everything that the returned middleware is put around. A request counts
    until its handler returns: a body that is sent in pieces does not.

    Args:
        limit: Requests at once, at least 1.
        retry_after: Seconds after which the client may come back.

    Raises:
        ConfigError: A number makes no sense.

    Source: RFC 9110 sections 10.2.3 and 15.6.4.
    """
    for name, value, least in (("limit", limit, 1), ("retry_after", retry_after, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} is {value!r}, it must be an int of at least {least}")
    running = 0

    def limited(handler: Handler) -> Handler:
        async def counted(request: Request) -> Response:
            nonlocal running
            if running >= limit:
                headers = {"retry-after": str(retry_after)}
                return Response("503 Service Unavailable\n", 503, headers=headers)
            running += 1
            try:
                return await call(handler, request)
            finally:
                running -= 1

        return around(handler, counted)

    return limited


def timeout(seconds: float) -> Middleware:
    """Middleware that cancels a handler after a time and answers 504.

    It ends when the handler returns: a body that is sent in pieces has `write_timeout`. A `def`
    handler cannot be interrupted.

    Args:
        seconds: Above 0.

    Raises:
        ConfigError: It is no such number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ConfigError(f"timeout is {seconds!r}, it must be a number of seconds above 0")

    def limited(handler: Handler) -> Handler:
        async def timed(request: Request) -> Response:
            scope = asyncio.timeout(seconds)
            try:
                async with scope:
                    return await call(handler, request)
            except TimeoutError:
                if not scope.expired():
                    raise
                return Response("504 Gateway Timeout\n", 504)

        return around(handler, timed)

    return limited


def allow_hosts(*hosts: str) -> Middleware:
    """Middleware that answers 421 to requests for other hosts than these.

    It keeps pages of a site from being fetched under a name that somebody else controls (DNS
    rebinding), and links that are made of the host from leading elsewhere.

    Args:
        *hosts: Names or addresses without a port, such as `example.org` or `[::1]`;
            `*.example.org` is every name below it, but not itself.

    Raises:
        ConfigError: None is given, or one is no host.

    Source: RFC 9110 sections 7.4 and 15.5.20.
    """
    if not hosts:
        raise ConfigError("allow_hosts() needs at least one host, such as example.org")
    names: set[str] = set()
    suffixes: list[str] = []
    for host in hosts:
        if not isinstance(host, str) or _without_port(host) != host or host.count("*") > 1:
            raise ConfigError(f"the host is {host!r}; give it as example.org, without a port")
        if host.startswith("*."):
            suffixes.append(canonical_host(host[1:]))
        elif "*" in host:
            raise ConfigError(f"the host is {host!r}; * can stand for the first label only")
        else:
            names.add(canonical_host(host))

    def is_allowed(request: Request) -> bool:
        host = _without_port(_authority(request)).lower().rstrip(".")
        return host in names or any(
            host.endswith(suffix) and len(host) > len(suffix) for suffix in suffixes
        )

    def guarded(handler: Handler) -> Handler:
        def checked(request: Request) -> Any:
            if is_allowed(request):
                return handler(request)
            return Response("421 Misdirected Request\n", 421)

        return around(handler, checked)

    return guarded


def _authority(request: Request) -> str:
    """Host and port that a request is for.

    Source: RFC 9112 section 3.2.2: what an absolute target says takes the place of the field.
    """
    target = request.target
    if request.method == "CONNECT":
        return target
    if "://" in target and not target.startswith("/"):
        return target.partition("://")[2].partition("/")[0].partition("?")[0]
    return request.headers.get("host", "")


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]
