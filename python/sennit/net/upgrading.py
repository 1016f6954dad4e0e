"""Upgrading: `start_tls` in the middle of a connection that speaks in the clear."""

from __future__ import annotations

from typing import Any

from sennit.errors import ClosedError, ConfigError, RemoteProtocolError
from sennit.net.protocol import tls_details
from sennit.net.tls import ClientTls, ServerTls, TlsDetails
from sennit.reactor import current_reactor

__all__ = ["start_tls"]


async def start_tls(
    connection: Any, tls: ServerTls | ClientTls, *, server_name: str | None = None
) -> TlsDetails:
    """Speak TLS from here on; returns after the handshake.

    What was written before leaves in the clear. What has come in the clear and was not read is an
    error: whoever sits between the two ends may have put it there for a reader that takes it for
    what was said under TLS. A `Protocol` that gets its data in pieces has to refuse what stands
    behind the request for TLS itself.

    Args:
        connection: A `Stream`, a `FrameProtocol` or a `Protocol` that is connected.
        tls: A `ServerTls` at the server's end, a `ClientTls` at the client's.
        server_name: At the client's end the name that the server's certificate must be for.

    Returns:
        What the two ends have agreed upon.

    Raises:
        CertificateError: The peer's certificate is not to be trusted.
        ClosedError: The connection is over.
        ConfigError: The settings make no sense, or TLS is spoken already.
        DeadlineError: The handshake took longer than `handshake_timeout`.
        RemoteProtocolError: Bytes lie unread, or the peer speaks no TLS; the connection is aborted.

    Source: RFC 3207 section 4.2 for what must be forgotten.
    """
    transport = connection.transport
    if transport is None or transport.is_closing():
        raise ClosedError(f"{connection!r} is over, TLS cannot begin on it")
    if tls_details(transport) is not None:
        raise ConfigError(f"{connection!r} speaks TLS already")
    if isinstance(tls, ClientTls) and server_name is None:
        raise ConfigError("a client needs server_name, the name that the certificate is for")
    unread = getattr(connection, "buffered", 0)
    if unread:
        transport.abort()
        raise RemoteProtocolError(
            f"{unread} bytes have come in the clear where TLS was to begin: anybody may have sent "
            "them (RFC 3207 section 4.2)"
        )
    await current_reactor().start_tls(transport, connection, tls, server_hostname=server_name)
    details = tls_details(transport)
    if details is None:
        raise ClosedError(f"{connection!r} was closed as TLS began")
    return details
