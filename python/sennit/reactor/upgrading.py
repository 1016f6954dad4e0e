"""Upgrading: a connection that speaks in the clear speaks TLS from here on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sennit.reactor.connecting import Connecting
from sennit.reactor.tls import native_tls

if TYPE_CHECKING:
    import asyncio

__all__ = ["Upgrading"]


class Upgrading(Connecting):
    """`start_tls`."""

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Speak TLS from here on, on a connection that speaks in the clear.

        Args:
            transport: The connection; it stays the same object.
            protocol: What hears of the connection's data from here on.
            sslcontext: A `sennit.net.ServerTls` or `ClientTls`; an `ssl.SSLContext` comes with a
                later version.
            server_side: Accepted for asyncio's sake: the settings say which side it is.
            server_hostname: The name that the server's certificate must be for.
            ssl_handshake_timeout: Seconds; by default what the settings say.
            ssl_shutdown_timeout: Accepted for asyncio's sake: closing waits for no answer.

        Raises:
            CertificateError: The peer's certificate is not to be trusted.
            DeadlineError: The handshake took too long.
            NotImplementedError: TLS was asked for with an `ssl.SSLContext`.
            OSError: The connection is over, or speaks TLS already.
        """
        if not sslcontext:
            raise TypeError(f"sslcontext is expected to be TLS settings, got {sslcontext!r}")
        timeouts = (ssl_handshake_timeout, ssl_shutdown_timeout)
        del server_side
        secured = self._begin_tls(transport, sslcontext, server_hostname, *timeouts)
        transport.set_protocol(protocol)
        return await self._await_tls(transport, secured)

    def _begin_tls(
        self,
        transport: Any,
        sslcontext: Any,
        server_name: str | None,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
    ) -> asyncio.Future[None]:
        """From the return of this on, whatever comes is TLS; the future hears of the handshake."""
        settings, timeout = native_tls("start_tls", sslcontext, handshake_timeout, shutdown_timeout)
        secured = self.create_future()
        transport._start_tls(settings, server_name, timeout, secured)  # noqa: SLF001
        return secured

    async def _await_tls(self, transport: Any, secured: asyncio.Future[None]) -> asyncio.Transport:
        """The end of the handshake."""
        try:
            await secured
        except BaseException:
            transport.abort()
            raise
        finally:
            del secured
        return cast("asyncio.Transport", transport)
