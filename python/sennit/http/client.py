"""Fetching over HTTP: many requests at once over a pool of connections."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sennit._native import core
from sennit.errors import (
    ClosedError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    OverloadedError,
    RemoteProtocolError,
)
from sennit.http.headers import Headers
from sennit.http.url import Target, parse_request_url
from sennit.reactor import current_reactor

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Client", "ClientResponse"]

_Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_CONNECTIONS_OF_DESCRIPTORS = 0.8
"""Share of the descriptor limit that connections may take."""

_KNOWN_TARGETS = 1024
"""URLs whose parts are remembered: parsing one costs more than sending a request."""

_DEFAULT_FIELDS = {"user-agent": "sennit", "accept": "*/*"}


class ClientResponse:
    """A response that has come whole."""

    __slots__ = ("_body", "_head", "_headers", "status")

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        """The status code, 200 to 999."""
        self._head = head
        self._body = body
        self._headers: Headers | None = None

    def __repr__(self) -> str:
        return f"<sennit.http.ClientResponse {self.status} {len(self._body)} bytes>"

    @property
    def headers(self) -> Headers:
        """The header fields."""
        if self._headers is None:
            lines = self._head.decode("latin-1").split("\r\n")[1:-2]
            pairs = (line.partition(":") for line in lines)
            self._headers = Headers((name, value.strip(" \t")) for name, _, value in pairs)
        return self._headers

    @property
    def reason(self) -> str:
        """The words behind the status code; may be empty."""
        line = self._head.partition(b"\r\n")[0].decode("latin-1")
        return line.partition(" ")[2].partition(" ")[2]

    async def body(self) -> bytes:
        """The body."""
        return self._body

    async def text(self) -> str:
        """The body as text, in the charset of its content type, UTF-8 by default.

        Bytes that do not fit are replaced.
        """
        return self._body.decode(self._charset(), "replace")

    async def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: It is not JSON.
        """
        import json  # noqa: PLC0415 - milliseconds that few programs need at the start

        return json.loads(self._body)

    def _charset(self) -> str:
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = value.strip().strip('"')
                try:
                    "".encode(charset)
                except LookupError:
                    break
                return charset
        return "utf-8"


class _Call(asyncio.Future["ClientResponse"]):
    """A request under way. Cancelling it frees its connection."""

    # Slots: ten thousand calls at once should not have ten thousand dicts.
    __slots__ = ("client", "number")

    client: Any
    number: int | None

    def cancel(self, msg: Any | None = None) -> bool:
        """Give the request up."""
        if not super().cancel(msg):
            return False
        if self.number is not None:
            self.client.cancel(self.number)
        return True


class Client:
    """An HTTP/1.1 client with a pool of connections; belongs to the reactor it was made in.

    Use it as `async with http.Client() as client`, or call `close` at the end.

    Args:
        headers: Sent with every request, beside `user-agent` and `accept`.
        max_connections: Connections open at once; further requests wait. 80 % of the descriptor
            limit by default.
        max_connecting: Connections being made at once; 1,024 by default, a quarter of a listen
            queue.
        connect_timeout: Seconds for one connection.
        total_timeout: Seconds for one request, from the call to the last byte of its response.
        keep_alive: False makes a new connection for every request.
        keep_alive_timeout: Seconds that an idle connection is kept.
        max_response_size: Bytes of one response's body; 100 MiB by default.

    Raises:
        ConfigError: A setting makes no sense.
        RuntimeError: No sennit.Reactor runs in this thread.
    """

    def __init__(  # noqa: PLR0913 - each is a limit that a user may set by name
        self,
        *,
        headers: _Headers | None = None,
        max_connections: int | None = None,
        max_connecting: int = 1024,
        connect_timeout: float = 10.0,
        total_timeout: float = 60.0,
        keep_alive: bool = True,
        keep_alive_timeout: float = 15.0,
        max_response_size: int = 100 * 1024 * 1024,
    ) -> None:
        self._reactor = current_reactor()
        limit = core.raise_descriptor_limit()
        if max_connections is None:
            max_connections = max(1, int(limit * _CONNECTIONS_OF_DESCRIPTORS))
        settings = {
            "max_connections": _at_least_one("max_connections", max_connections),
            "max_connecting": _at_least_one("max_connecting", max_connecting),
            "connect_timeout": _seconds("connect_timeout", connect_timeout),
            "keep_alive": float(keep_alive),
            "keep_alive_timeout": _seconds("keep_alive_timeout", keep_alive_timeout),
            "max_response_size": _at_least_one("max_response_size", max_response_size),
        }
        self._timeout = _seconds("total_timeout", total_timeout)
        self._fields = _render(_DEFAULT_FIELDS, headers)
        self._core = core.HttpClient(self._reactor, ClientResponse, _make_error, settings)
        self._is_closed = False
        self._origins: dict[tuple[str, int], int] = {}
        self._looking_up: dict[tuple[str, int], asyncio.Task[int]] = {}
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
        return self._core.statistics()

    async def close(self) -> None:
        """Close every connection; requests under way fail with ClosedError."""
        self._is_closed = True
        self._core.close()
        lookups = list(self._looking_up.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    def get(
        self, url: str, *, headers: _Headers | None = None, timeout: float | None = None
    ) -> asyncio.Future[ClientResponse]:
        """GET a URL; to be awaited.

        Args:
            url: `http://HOST[:PORT][/PATH][?QUERY]`.
            headers: Sent with this request, beside the client's own.
            timeout: Seconds for this request instead of the client's `total_timeout`.

        Raises:
            ConfigError: The URL makes no sense.
            LocalProtocolError: A header cannot be sent.
            ConnectError: The connection could not be made.
            ConnectionLostError: The connection was lost.
            RemoteProtocolError: The response breaks the protocol.
            OverloadedError: The response is too large.
            DeadlineError: It took too long.
            ClosedError: The client is closed.
        """
        return self.request("GET", url, headers=headers, timeout=timeout)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: _Headers | None = None,
        body: str | bytes | None = None,
        timeout: float | None = None,
    ) -> asyncio.Future[ClientResponse]:
        """Send a request; to be awaited.

        Args:
            method: The method, such as `POST`.
            url: As for `get`.
            headers: As for `get`.
            body: Sent with its length; text as UTF-8. None sends none.
            timeout: As for `get`.

        Raises:
            ConfigError: As `get`, and all its other errors.
        """
        if self._is_closed:
            raise ClosedError("the client is closed")
        target = self._parse(url)
        fields = self._fields if headers is None else self._fields + _render(headers)
        if isinstance(body, str):
            body = body.encode()
        seconds = self._timeout if timeout is None else _seconds("timeout", timeout)
        call = _Call(loop=self._reactor)
        call.client, call.number = self._core, None
        parts = (seconds, method, target.path_and_query, target.authority, fields, body)
        origin = self._origins.get((target.host, target.port))
        if origin is None and target.is_numeric:
            origin = self._core.add_origin([(target.host, target.port)])
            self._origins[target.host, target.port] = origin
        if origin is None:
            self._reactor.create_task(self._send_after_lookup(call, target, parts))
        else:
            self._send(call, origin, parts)
        return call

    def _send(self, call: _Call, origin: int, parts: tuple[Any, ...]) -> None:
        call.number = self._core.request(call, origin, *parts)

    async def _send_after_lookup(self, call: _Call, target: Target, parts: tuple[Any, ...]) -> None:
        key = (target.host, target.port)
        lookup = self._looking_up.get(key)
        if lookup is None:
            lookup = self._reactor.create_task(self._look_up(target))
            self._looking_up[key] = lookup
            lookup.add_done_callback(lambda _: self._looking_up.pop(key, None))
        try:
            async with asyncio.timeout(parts[0]):
                origin = await asyncio.shield(lookup)
            if not call.done():
                self._send(call, origin, parts)
        except TimeoutError:
            self._fail(call, DeadlineError(f"looking up {target.host} took too long"))
        except asyncio.CancelledError:
            self._fail(call, ClosedError("the client was closed"))
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
            self._fail(call, error)

    @staticmethod
    def _fail(call: _Call, error: Exception) -> None:
        if not call.done():
            call.set_exception(error)

    async def _look_up(self, target: Target) -> int:
        key = (target.host, target.port)
        try:
            found = await self._reactor.getaddrinfo(target.host, target.port, type=1)
        except OSError as error:
            raise ConnectError(f"no address was found for {target.host}: {error}") from error
        # An address with a scope (fe80::1%eth0) is of one link only; the core does not know it.
        numeric = (info[4][:2] for info in found if "%" not in info[4][0])
        addresses = list(dict.fromkeys(numeric))
        if not addresses:
            raise ConnectError(f"no address without a scope was found for {target.host}")
        origin = self._core.add_origin(addresses)
        self._origins[key] = origin
        return origin


def _render(*headers: _Headers | None) -> bytes:
    return b"".join(core.render_fields(part) for part in headers if part is not None)


def _at_least_one(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}, it must be an int of at least 1")
    return value


def _seconds(name: str, value: float) -> float:
    if not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ConfigError(f"{name} is {value!r}, it must be a number of seconds above 0")
    return value


def _make_error(step: str, kind: str, detail: Any) -> Exception:  # noqa: PLR0911 - a table
    """The error of a request that failed in the native core."""
    where = f"while {step}"
    match kind:
        case "protocol":
            message, rule = detail
            return RemoteProtocolError(f"{where}: {message}", rule=rule, hint=502)
        case "connect_timeout":
            return DeadlineError(f"{where}: it took longer than connect_timeout allows")
        case "timeout":
            return DeadlineError(f"{where}: the request took longer than its timeout allows")
        case "too_large":
            return OverloadedError(
                f"{where}: the body is larger than {detail:,} bytes (max_response_size)"
            )
        case "client_closed":
            return ClosedError("the client was closed before the response came")
        case "closed":
            return ConnectionLostError(f"{where}: the peer has closed the connection")
        case _:
            error_type = ConnectError if step == "connecting" else ConnectionLostError
            error = error_type(detail.errno, f"{where}: {detail.strerror}")
            error.__cause__ = detail
            return error
