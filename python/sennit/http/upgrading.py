"""Leaving HTTP: a connection goes on in another protocol (RFC 9110 sections 7.8 and 9.3.6)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from sennit.errors import LocalProtocolError
from sennit.http.message import Request, Response
from sennit.net import Stream
from sennit.net.handler import StreamFactory

__all__ = ["offers_upgrade", "tunnel", "upgrade"]

Successor: TypeAlias = Callable[[], asyncio.BaseProtocol] | Callable[[Stream], Awaitable[object]]
"""Takes a connection over: a factory of protocols, or an `async def` function of a stream."""

_Fields: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


def offers_upgrade(request: Request, protocol: str) -> bool:
    """Whether a client offers to go on in another protocol, such as `websocket`."""
    fields = request.headers
    options = {option.strip().lower() for option in fields.get("connection", "").split(",")}
    offers = {offer.strip().lower() for offer in fields.get("upgrade", "").split(",")}
    return request.http_version == "1.1" and "upgrade" in options and protocol.lower() in offers


def upgrade(
    request: Request, protocol: str, successor: Successor, *, headers: _Fields = ()
) -> Response:
    """An answer behind which the connection speaks another protocol.

    The successor gets what the client has sent behind its request. Until it ends, the connection
    counts at its server: against its limits of connections, and `close` waits for it up to the
    grace time, then aborts it.

    Args:
        request: The request that offers it.
        protocol: Its name, for the `upgrade` field.
        successor: Takes the connection over.
        headers: More fields of the answer.

    Raises:
        LocalProtocolError: The client has not offered it; `offers_upgrade` tells.

    Source: RFC 9110 section 7.8.
    """
    if not offers_upgrade(request, protocol):
        raise LocalProtocolError(
            f"the client does not offer to go on in {protocol!r}; look with offers_upgrade() first"
        )
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return Response._upgrade(_factory(successor), 101, [("upgrade", protocol), *pairs])  # noqa: SLF001 - one room


def tunnel(request: Request, successor: Successor, *, headers: _Fields = ()) -> Response:
    """An answer to CONNECT, behind which bytes are passed on as they are.

    Raises:
        LocalProtocolError: The request is no CONNECT.

    Source: RFC 9110 section 9.3.6.
    """
    if request.method != "CONNECT":
        raise LocalProtocolError(f"the method is {request.method}; only CONNECT asks for a tunnel")
    return Response._upgrade(_factory(successor), 200, headers)  # noqa: SLF001 - one room


def _factory(successor: Any) -> Callable[[], asyncio.BaseProtocol]:
    if inspect.iscoroutinefunction(successor):
        return StreamFactory(successor)
    factory: Callable[[], asyncio.BaseProtocol] = successor
    return factory
