"""Upgrading: `start_tls` in the middle of a connection that speaks in the clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sennit.errors import ClosedError, ConfigError, RemoteProtocolError
from sennit.net.protocol import tls_details
from sennit.net.reloading import look
from sennit.net.tls import ClientTls, ServerTls, TlsDetails
from sennit.reactor import current_reactor

if TYPE_CHECKING:
    import asyncio

__all__ = ["start_tls"]


def start_tls(
    connection: Any,
    tls: ServerTls | ClientTls,
    *,
    server_name: str | None = None,
    unread: bytes = b"",
) -> asyncio.Future[TlsDetails]:
    """Speak TLS from here on; what it returns can be awaited, for the end of the handshake.

    From the call on nothing is read in the clear any more, so it may be called right where the
    request for TLS was understood, in `frame_received` or `data_received` too, and what it returns
    may be left alone there: if the handshake fails, `connection_lost` hears why. What was written
    before leaves in the clear, what is written afterwards waits for the handshake.

    What stands behind the request in the clear is an error: whoever sits between the two ends may
    have put it there for a reader that takes it for what was said under TLS. What a `Stream` or a
    `FrameProtocol` has not handed out is known; a `Protocol`, which gets its data in pieces, hands
    it in as `unread`.

    Args:
        connection: A `Stream`, a `FrameProtocol` or a `Protocol` that is connected.
        tls: A `ServerTls` at the server's end, a `ClientTls` at the client's.
        server_name: At the client's end the name that the server's certificate must be for.
        unread: What has come with the request, stands behind it and was not used.

    Returns:
        A future of what the two ends have agreed upon. It raises `CertificateError`,
        `DeadlineError` (`handshake_timeout`), and `RemoteProtocolError` if bytes lay unread or the
        peer speaks no TLS; the connection is aborted then.

    Raises:
        ClosedError: The connection is over.
        ConfigError: The settings make no sense, or TLS is spoken already.

    Source: RFC 3207 section 4.2 for what must be forgotten.
    """
    transport = connection.transport
    if transport is None or transport.is_closing():
        raise ClosedError(f"{connection!r} is over, TLS cannot begin on it")
    if tls_details(transport) is not None:
        raise ConfigError(f"{connection!r} speaks TLS already")
    if isinstance(tls, ClientTls) and server_name is None:
        raise ConfigError("a client needs server_name, the name that the certificate is for")
    reactor = current_reactor()
    count = getattr(connection, "buffered", 0) + len(unread)
    if count:
        error = RemoteProtocolError(
            f"{count} bytes have come in the clear where TLS was to begin: anybody may have sent "
            "them",
            rule="RFC 3207 section 4.2",
        )
        transport._abort_for(error)  # noqa: SLF001 - the native transport's word
        result = reactor.create_future()
        result.set_exception(error)
    else:
        if isinstance(tls, ServerTls):
            look(tls, reactor.time())
        secured = reactor._begin_tls(transport, tls, server_name)  # noqa: SLF001 - its first half
        result = reactor.create_task(_agreed(connection, transport, secured))
    # Whoever leaves it alone hears of it by `connection_lost`.
    result.add_done_callback(lambda done: done.cancelled() or done.exception())
    return result


async def _agreed(connection: Any, transport: Any, secured: asyncio.Future[None]) -> TlsDetails:
    await current_reactor()._await_tls(transport, secured)  # noqa: SLF001 - the second half
    details = tls_details(transport)
    if details is None:
        raise ClosedError(f"{connection!r} was closed as TLS began")
    return details
