"""The client: what a program asks for, made into requests."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from sennit._native import core
from sennit.errors import ClosedError, DeadlineError, OverloadedError, SennitError
from sennit.http.client.call import Call
from sennit.http.client.failures import make_failure, mark
from sennit.http.client.following import interfere, try_again
from sennit.http.client.limits import native_settings, seconds
from sennit.http.client.options import (
    Fields,
    Options,
    authentication_of,
    jar_of,
    proxies_of,
    redirects_of,
)
from sennit.http.client.origins import Origins
from sennit.http.client.preparing import METHODS, make_plan, merged, refuse_method, with_jar
from sennit.http.client.response import ClientResponse, Head
from sennit.http.client.streaming import ResponseStream, StreamHead, send_body
from sennit.http.policy.redirects import Hop, Redirects
from sennit.http.url import Target, parse_request_url
from sennit.reactor import current_reactor

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType
    from typing import Unpack

    from sennit.http.client.bodies import Sendable
    from sennit.http.policy.authentication import Authentication
    from sennit.http.policy.cookies import CookieJar
    from sennit.http.policy.proxies import Proxies, Proxy
    from sennit.http.policy.retrying import Retry
    from sennit.net import ClientTls

__all__ = ["Client"]

_KNOWN_TARGETS = 1024
"""URLs whose parts are remembered: parsing one costs more than sending a request."""

_DEFAULT_FIELDS = (
    ("user-agent", "sennit"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
)
_FOLLOW = Redirects()


class Client:
    """An HTTP/1.1 client with a pool of connections; belongs to the reactor it was made in.

    Use it as `async with http.Client() as client`, or call `close` at the end.

    Args:
        headers: Sent with every request, beside `user-agent`, `accept` and `accept-encoding`.
        auth: Credentials for every request; a pair is user name and password. They are not sent
            to another origin that a redirect leads to.
        cookies: The jar; True for a new one. False: cookies are neither kept nor sent.
        redirects: How many are followed; 20 by default. None or 0: a redirect is the answer.
        retry: When to try again; by default never.
        tls: For https; by default the system's authorities are trusted.
        proxies: The URL of one for everything, or `http.Proxies`, such as
            `http.Proxies.from_environment()`; by default none, whatever the environment says.
        unix: The path of a UNIX socket that every request goes to, whatever its URL's host is.
        on_request: Told of each request before it is sent, those of redirects and retries too.
        on_response: Told of each outcome: the request, and its response or error.
        max_connections: Connections open at once; further requests wait. 80 % of the descriptor
            limit by default.
        max_connections_per_origin: The same to one origin.
        max_connecting: Connections being made at once to one origin.
        max_waiting: Requests that wait for a connection at once; further ones are refused.
        connect_timeout: Seconds for a connection to one address, TLS included.
        pool_timeout: Seconds that a request waits until it may have a connection.
        read_timeout: Seconds without a byte of a response that is waited for. None: as many as the
            request has in all, and 60 for a body that is read in pieces.
        write_timeout: Seconds without a byte of a request taken by the peer.
        total_timeout: Seconds for one request, from the call to the last byte of its response,
            with all its redirects and retries; with `stream` to its head.
        keep_alive: False makes a new connection for every request.
        keep_alive_timeout: Seconds that an idle connection is kept.
        max_response_size: Bytes of one response's body, decoded or not; 100 MiB by default.

    Raises:
        ConfigError: A setting makes no sense.
        RuntimeError: No sennit.Reactor runs in this thread.
    """

    def __init__(  # noqa: PLR0913 - each is a limit that a user may set by name
        self,
        *,
        headers: Fields | None = None,
        auth: Authentication | tuple[str, str] | None = None,
        cookies: CookieJar | bool = True,
        redirects: Redirects | int | None = _FOLLOW,
        retry: Retry | None = None,
        tls: ClientTls | None = None,
        proxies: Proxies | Proxy | str | None = None,
        unix: str | os.PathLike[str] | None = None,
        on_request: Callable[[Hop], object] | None = None,
        on_response: Callable[[Hop, Head | Exception], object] | None = None,
        max_connections: int | None = None,
        max_connections_per_origin: int = 100,
        max_connecting: int = 16,
        max_waiting: int = 1_000_000,
        connect_timeout: float = 10.0,
        pool_timeout: float = 60.0,
        read_timeout: float | None = None,
        write_timeout: float = 60.0,
        total_timeout: float = 60.0,
        keep_alive: bool = True,
        keep_alive_timeout: float = 15.0,
        max_response_size: int = 100 * 1024 * 1024,
    ) -> None:
        self.reactor = current_reactor()
        limits = {
            "max_connections": max_connections,
            "max_connections_per_origin": max_connections_per_origin,
            "max_connecting": max_connecting,
            "max_waiting": max_waiting,
            "max_response_size": max_response_size,
            "connect_timeout": connect_timeout,
            "pool_timeout": pool_timeout,
            "read_timeout": read_timeout,
            "write_timeout": write_timeout,
            "total_timeout": total_timeout,
            "keep_alive_timeout": keep_alive_timeout,
        }
        settings = native_settings(limits, keep_alive=keep_alive)
        self.cookies = jar_of(cookies)
        """The cookies that servers have set; None: they are not kept."""
        self.redirects = redirects_of(redirects)
        self.default_headers = merged(_DEFAULT_FIELDS, headers, authentication_of(auth))
        self.max_response_size = max_response_size
        self._retry = retry
        self._on_request, self._on_response = on_request, on_response
        self._is_watched = any(one is not None for one in (retry, on_request, on_response))
        self._timeout = total_timeout
        self._fields = core.render_fields(self.default_headers)
        # Functions, and no methods: the reactor holds them, and must not hold the client with them.
        self.native = core.HttpClient(
            self.reactor, ClientResponse, StreamHead, _failed, interfere, settings
        )
        self._origins = Origins(self.reactor, self.native, tls, unix, proxies_of(proxies))
        self._is_closed = False
        self._waiting: set[Call] = set()
        """Those that wait until they are tried again: the native core does not have them."""
        self._parse = functools.lru_cache(_KNOWN_TARGETS)(parse_request_url)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def statistics(self) -> dict[str, int]:
        """Counters since the client was made: requests, responses, failures, connections."""
        return self.native.statistics()

    async def close(self) -> None:
        """Close every connection; requests under way fail with ClosedError."""
        self._is_closed = True
        self.native.close()
        for call in list(self._waiting):
            self.stop_waiting(call)
            error = ClosedError("the client was closed before the request was tried again")
            call.fail(mark(error, "waiting to try again", call.origin))
        await self._origins.close()

    def get(self, url: str, **options: Unpack[Options]) -> asyncio.Future[ClientResponse]:
        """GET a URL; as `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Unpack[Options]) -> asyncio.Future[ClientResponse]:
        """HEAD: what GET would be answered with, without the body; as `request`."""
        return self.request("HEAD", url, **options)

    def options(self, url: str, **options: Unpack[Options]) -> asyncio.Future[ClientResponse]:
        """OPTIONS; as `request`."""
        return self.request("OPTIONS", url, **options)

    def delete(self, url: str, **options: Unpack[Options]) -> asyncio.Future[ClientResponse]:
        """DELETE; as `request`."""
        return self.request("DELETE", url, **options)

    def post(self, url: str, **options: Unpack[Options]) -> asyncio.Future[ClientResponse]:
        """POST; as `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Unpack[Options]) -> asyncio.Future[ClientResponse]:
        """PUT; as `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Unpack[Options]) -> asyncio.Future[ClientResponse]:
        """PATCH; as `request`."""
        return self.request("PATCH", url, **options)

    def request(
        self, method: str, url: str, **options: Unpack[Options]
    ) -> asyncio.Future[ClientResponse]:
        """Send a request; to be awaited.

        Args:
            method: The method, such as `POST`.
            url: `http[s]://[USER:PASSWORD@]HOST[:PORT][/PATH][?QUERY]`.
            **options: `params`, `headers`, `body`, `data`, `json`, `files`, `cookies`, `auth`,
                `timeout`, `redirects`, `retry`; see `Options`.

        Raises:
            ConfigError: The URL, or an option, makes no sense.
            LocalProtocolError: A header cannot be sent, or a body cannot be sent again.
            ConnectError: The connection could not be made.
            ConnectionLostError: The connection was lost.
            RemoteProtocolError: The response breaks the protocol, or redirects too often.
            CertificateError: The origin is not who it should be.
            OverloadedError: The response is too large, or too many requests wait already.
            DeadlineError: It took too long.
            ClosedError: The client is closed.
        """
        return self._begin(method, url, options)

    def stream(self, method: str, url: str, **options: Unpack[Options]) -> ResponseStream:
        """Send a request whose response is read in pieces; as `request`.

        Use it as `async with client.stream("GET", url) as response`, which is an
        `http.StreamedResponse` once its head has come. When the block is left, what was not read is
        given up.
        """
        # Nothing is sent before the block is entered: who never does so has no connection to leave.
        return ResponseStream(
            functools.partial(self._begin, method, url, options, is_streamed=True)
        )

    def _begin(
        self, method: str, url: str, options: Options, *, is_streamed: bool = False
    ) -> asyncio.Future[Any]:
        if self._is_closed:
            raise mark(ClosedError("the client is closed"), "beginning", self._parse(url).origin)
        if method not in METHODS:
            refuse_method(method)
        call = Call(loop=self.reactor)
        call.client, call.method, call.url, call.number, call.plan = self, method, url, None, None
        call.is_streamed, call.upload, call.waiters, call.broken_by = is_streamed, None, None, None
        if options or self._is_watched or self.cookies or "@" in url:
            self._prepare(call, options)
            return call
        call.deadline = self.reactor.time() + self._timeout
        self._send(call, self._parse(url), self._fields, None)
        return call

    def _prepare(self, call: Call, options: Options) -> None:
        """Begin a request of which something was said."""
        plan = make_plan(
            call.method,
            call.url,
            options,
            defaults=self.default_headers,
            redirects=self.redirects,
            retry=self._retry,
        )
        timeout = options.get("timeout")
        patience = self._timeout if timeout is None else seconds("timeout", timeout)
        call.plan, call.url = plan, plan.hop.url
        call.deadline = self.reactor.time() + patience
        self.resend(call)

    def resend(self, call: Call) -> None:
        """Send the request that a call's plan has come to."""
        plan = call.plan
        if plan is None:
            return
        hop = plan.hop
        if self._on_request is not None:
            self._on_request(hop)
        headers = hop.headers
        if self.cookies:
            headers = with_jar(self.cookies, hop, adds=plan.adds_cookies)
        self._send(call, self._parse(hop.url), core.render_fields(headers), plan.body)

    def tell_response(self, call: Call, outcome: Head | Exception) -> None:
        """Let who has asked for it know of an outcome."""
        if self._on_response is not None and call.plan is not None:
            self._on_response(call.plan.hop, outcome)

    def _send(self, call: Call, target: Target, fields: bytes, body: Sendable | None) -> None:
        now = self.reactor.time()
        origins = self._origins
        origin = origins.find(target, now)
        if origin is None:
            self.reactor.create_task(self._send_after_lookup(call, target, fields, body))
            return
        request_target = target.path_and_query
        if origins.has_proxies:
            request_target, fields = origins.forwarded(target, request_target, fields)
        in_pieces = body is not None and body.data is None
        length = None
        if in_pieces and body is not None:
            length = -1 if body.length is None else body.length
        if request_target == "/*" and call.method == "OPTIONS":
            # RFC 9110 section 9.3.7: it asks about the server and not about a resource.
            request_target = "*"
        try:
            call.number = self.native.request(
                call,
                origin,
                call.deadline - now,
                call.method,
                request_target,
                target.authority,
                fields,
                None if body is None else body.data,
                self._is_watched or call.is_watched,
                length,
                call.is_streamed,
            )
        except SennitError as error:
            is_full = isinstance(error, OverloadedError)
            mark(error, "waiting for a connection" if is_full else "beginning", target.origin)
            raise
        if in_pieces and body is not None:
            call.upload = self.reactor.create_task(send_body(call, body, call.number))
            if not call.is_streamed:
                call.add_done_callback(Call.end_upload)

    async def _send_after_lookup(
        self, call: Call, target: Target, fields: bytes, body: Sendable | None
    ) -> None:
        error: Exception
        try:
            async with asyncio.timeout_at(call.deadline):
                await self._origins.look_up(target)
            if not call.done():
                self._send(call, target, fields, body)
            return
        except TimeoutError:
            error = DeadlineError(f"looking up {target.origin.host} took too long")
        except asyncio.CancelledError:
            error = ClosedError("the client was closed before the response came")
        except Exception as found:  # noqa: BLE001 - whatever it is, who waits must hear of it
            error = found
        self._report(call, mark(error, "looking up the host", target.origin))

    def _report(self, call: Call, error: Exception) -> None:
        if self._is_watched or call.is_watched:
            interfere(call, error)
        else:
            call.fail(error)

    def forget(self, call: Call) -> None:
        """A call was given up."""
        if call.number is not None:
            self.native.cancel(call.number)
        self.stop_waiting(call)

    def wait_to_retry(self, call: Call, wait: float) -> None:
        """Send a call's request once more after some seconds."""
        if call.plan is not None:
            call.plan.waits = self.reactor.call_later(wait, try_again, call)
            self._waiting.add(call)

    def stop_waiting(self, call: Call) -> None:
        """A call waits no longer until it is tried again."""
        self._waiting.discard(call)
        plan = call.plan
        if plan is not None and plan.waits is not None:
            plan.waits.cancel()
            plan.waits = None

    def failed(self, call: Call, step: str, error: Exception) -> Exception:
        """Note a failure, and say in its error where it has happened."""
        call_target = self._parse(call.url)
        origin = call_target.origin
        if step == "connecting":
            self._origins.doubt(call_target)
        return mark(error, step, origin)


def _failed(call: Call, step: str, kind: str, detail: Any) -> Exception:
    """The error of a call that has failed in the native core."""
    return call.client.failed(call, step, make_failure(step, kind, detail))
