"""What an `ssl=` argument may be: settings of Sennit's own, whose native half does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sennit.reactor.later import refuse

if TYPE_CHECKING:
    from sennit._native import core

__all__ = ["NativeTls", "native_tls"]


@runtime_checkable
class NativeTls(Protocol):
    """Settings with a native half: `sennit.net.ServerTls` and `sennit.net.ClientTls`."""

    handshake_timeout: float

    @property
    def native(self) -> core.TlsServer | core.TlsClient:
        """The native half."""


def native_tls(
    method: str, ssl: Any, handshake_timeout: float | None, shutdown_timeout: float | None
) -> tuple[core.TlsServer | core.TlsClient | None, float]:
    """The native settings and the handshake's time in seconds, out of asyncio's arguments.

    Raises:
        NotImplementedError: `ssl` is an `ssl.SSLContext`, or True.
        ValueError: There are timeouts and no `ssl`, or one that is not above 0.
    """
    if not ssl:
        if handshake_timeout is not None:
            raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
        if shutdown_timeout is not None:
            raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")
        return None, 0.0
    if not isinstance(ssl, NativeTls):
        raise refuse(
            f"{method}(ssl={type(ssl).__name__}) instead of a sennit.net.ServerTls or ClientTls"
        )
    timeout = ssl.handshake_timeout if handshake_timeout is None else handshake_timeout
    if timeout <= 0:
        raise ValueError(f"ssl_handshake_timeout should be a positive number, got {timeout}")
    return ssl.native, timeout
