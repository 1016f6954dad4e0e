"""What a program writes: a Protocol for one connection, and a Factory that makes and knows them."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sennit.errors import ConfigError
from sennit.net.datagrams import DatagramProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sennit.net.tls import TlsDetails

__all__ = ["Factory", "Protocol", "tls_details"]

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class Protocol(asyncio.Protocol):
    """One connection; override what you want to hear.

    In the order in which they are called: `connection_made` once, then `data_received` and
    `eof_received`, in between `pause_writing` and `resume_writing` in turns, and at the end
    `connection_lost` exactly once.

    Attributes:
        transport: What writes and closes; from `connection_made` on.
        factory: The Factory that has made this protocol, if one has.
    """

    transport: asyncio.Transport
    factory: Factory[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there (with TLS: after the handshake). Call this when overriding."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Bytes have come, at least one; how they are cut says nothing."""

    def eof_received(self) -> bool | None:
        """The peer sends no more. True keeps our half open; else the connection is closed."""
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over: None after an orderly end or our own close, else the reason."""

    def server_closing(self) -> None:
        """The server stops: finish what is going on, then close. By default it closes now.

        What is still open after the server's grace time is aborted.
        """
        self.transport.close()

    def pause_writing(self) -> None:
        """More waits to be sent than the high-water mark (64 KiB): stop writing."""

    def resume_writing(self) -> None:
        """No more waits than the low-water mark (16 KiB): go on writing."""

    @property
    def peer_address(self) -> Any:
        """The peer's address as the `socket` module writes it; None if there is none."""
        return self.transport.get_extra_info("peername")

    @property
    def local_address(self) -> Any:
        """Our own address as the `socket` module writes it."""
        return self.transport.get_extra_info("sockname")

    @property
    def tls(self) -> TlsDetails | None:
        """What TLS has agreed upon, the peer's verified names among it; None without TLS."""
        return tls_details(self.transport)

    def statistics(self) -> dict[str, int]:
        """Bytes `queued`; over TCP also `bytes_received` and `bytes_sent`, as the kernel has it.

        With TLS those are encrypted bytes.
        """
        counters: dict[str, int] = self.transport.statistics()  # type: ignore[attr-defined]
        return counters

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; they leave in order, as soon as the peer takes them."""
        self.transport.write(data)

    def close(self) -> None:
        """Send what is written, then close."""
        self.transport.close()

    def abort(self) -> None:
        """Close at once; what is not sent is lost."""
        self.transport.abort()


def tls_details(transport: Any) -> TlsDetails | None:
    """What TLS has agreed upon on a transport; None without TLS."""
    from sennit.net.tls import TlsDetails  # noqa: PLC0415 - most programs need no TLS

    ask = getattr(transport, "_tls_details", None)
    found = ask() if ask is not None else None
    return None if found is None else TlsDetails(*found)


class Factory(Generic[_P]):
    """Makes a protocol for each connection, and knows all that are connected.

    Args:
        protocol: Makes a protocol: a class, or a function without arguments. A subclass may set it
            as a class attribute, or override `make_protocol`.
    """

    protocol: Callable[[], _P]

    def __init__(self, protocol: Callable[[], _P] | None = None) -> None:
        if protocol is not None:
            self.protocol = protocol
        elif not hasattr(self, "protocol") and type(self).make_protocol is Factory.make_protocol:
            raise ConfigError(f"{type(self).__name__} needs a protocol class, or make_protocol()")
        # Where this factory's protocols are served: a server knows its transports.
        self._servers: list[Any] = []

    def __call__(self) -> _P:
        """A protocol that knows this factory; what listeners call."""
        protocol = self.make_protocol()
        if isinstance(protocol, Protocol | DatagramProtocol):
            protocol.factory = self
        return protocol

    def __len__(self) -> int:
        return sum(server._count() for server in self._servers)  # noqa: SLF001

    def __iter__(self) -> Iterator[_P]:
        """The protocols of all connections, for `udp://` of all sockets.

        The loop may close them, and others may come.
        """
        return iter([protocol for server in self._servers for protocol in server.connections])

    def make_protocol(self) -> _P:
        """A protocol for a new connection."""
        return self.protocol()

    @property
    def connections(self) -> frozenset[_P]:
        """The protocols that are connected now."""
        return frozenset(self)

    def broadcast(
        self,
        data: bytes | bytearray | memoryview,
        *,
        besides: _P | None = None,
        max_queued_bytes: int = 8 * 1024 * 1024,
    ) -> int:
        """Write the same bytes to every connection; sockets for datagrams are none.

        A member that does not keep up is dropped: one that missed something without knowing would
        be worse off than one that has to come again. Its `connection_lost` hears `OverloadedError`,
        and `Server.statistics()` counts it among the `write_overflows`.

        Args:
            data: What to send; it is not copied for each connection.
            besides: One that is left out, such as the sender.
            max_queued_bytes: A member for whom more than that waits already is aborted. Redis
                allows its subscribers 8 MiB for a minute.

        Returns:
            To how many it was written.
        """
        data = bytes(data)
        count = 0
        for transport in self._transports():
            if besides is None or transport.get_protocol() is not besides:
                count += transport._write_within(data, max_queued_bytes)  # noqa: SLF001 - the native twin
        return count

    def statistics(self) -> dict[str, int]:
        """The counters of the servers that this factory serves now, added up."""
        total: collections.Counter[str] = collections.Counter()
        for server in self._servers:
            total.update(server.statistics())
        return dict(total)

    async def _wait_ended(self) -> None:
        """Wait for what goes on after its connection is over."""

    def _cancel(self) -> None:
        """End what goes on after its connection is over."""

    async def _wait_cancelled(self) -> None:
        """End it, and wait for that."""

    def _transports(self) -> list[Any]:
        return [one for server in self._servers for one in server._connected()]  # noqa: SLF001
