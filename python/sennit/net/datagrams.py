"""Datagrams: a protocol that is called with each, and a socket that is read with `await`."""

from __future__ import annotations

import asyncio
import collections
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from sennit.errors import BusyError, ClosedError, ConnectError, LocalProtocolError
from sennit.net.multicast import change_group
from sennit.net.url import endpoint_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

__all__ = ["Datagram", "DatagramProtocol", "DatagramSocket"]

_LARGEST = 65_507
"""Bytes of a UDP datagram over IPv4 (RFC 768, RFC 791); IPv6 allows 20 more."""


class Datagram(NamedTuple):
    """What has come, and from where."""

    data: bytes
    address: Any
    """As the `socket` module writes it: `(host, port)`, for IPv6 with flow and scope."""


_make_datagram = functools.partial(tuple.__new__, Datagram)
"""What `Datagram(...)` does, at a third of its price."""


class DatagramProtocol(asyncio.DatagramProtocol):
    """A socket for datagrams; override what you want to hear.

    Attributes:
        transport: What sends and closes; from `connection_made` on.
        factory: The Factory that has made this protocol, if one has. A socket counts there as one
            connection, from `connection_made` to `connection_lost`, whomever it talks to.
    """

    transport: asyncio.DatagramTransport
    factory: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open. Call this when overriding."""
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A datagram has come, whole."""

    def error_received(self, exc: Exception) -> None:
        """Something went wrong with one datagram, such as that nobody listens where it went."""

    def send(self, data: bytes | bytearray | memoryview, address: Any = None) -> None:
        """Send a datagram.

        Args:
            data: At most 65,507 bytes over IPv4.
            address: Where to; None on a socket that is connected.
        """
        self.transport.sendto(data, address)

    def statistics(self) -> dict[str, int]:
        """Counters of the socket: received, sent, their bytes, and what was dropped and by whom."""
        counters: dict[str, int] = self.transport.statistics()  # type: ignore[attr-defined]
        return counters


class _Room:
    """What `send` returns: awaiting it waits while too much is queued."""

    __slots__ = ("_socket",)

    def __init__(self, owner: DatagramSocket) -> None:
        self._socket = owner

    def __await__(self) -> Generator[Any, None, None]:
        while self._socket._is_full:  # noqa: SLF001 - one room
            waiter = asyncio.get_running_loop().create_future()
            self._socket._writers.append(waiter)  # noqa: SLF001
            try:
                yield from waiter
            finally:
                if waiter in self._socket._writers:  # noqa: SLF001
                    self._socket._writers.remove(waiter)  # noqa: SLF001


class DatagramSocket(asyncio.DatagramProtocol):
    """A socket for datagrams that is read with `await`; made by `bind` and `connect`.

    What is there already is returned without suspending. When `max_queued` datagrams wait to be
    received, the newest are dropped and counted.

    Args:
        max_queued: Datagrams that may wait.
    """

    def __init__(self, max_queued: int = 1024) -> None:
        self._max_queued = max_queued
        self._queue: collections.deque[Datagram] = collections.deque()
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._closers: list[asyncio.Future[None]] = []
        self._error: Exception | None = None
        self._is_full = False
        self._is_over = False
        self._dropped = 0
        self._room = _Room(self)
        self.transport: Any = None

    def __repr__(self) -> str:
        state = "closed" if self._is_over else f"queued={len(self._queue)}"
        return f"<sennit.net.DatagramSocket {self.url} {state}>"

    # -- asyncio's protocol ------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """The socket is open."""
        self.transport = transport
        self._loop = asyncio.get_running_loop()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A datagram has come."""
        if len(self._queue) >= self._max_queued:
            self._dropped += 1
            return
        self._queue.append(_make_datagram((data, addr)))
        reader = self._reader
        if reader is not None:
            self._reader = None
            if not reader.done():
                reader.set_result(None)

    def error_received(self, exc: Exception) -> None:
        """Something went wrong with one datagram.

        On a connected socket whoever receives next hears of it. One that talks to anybody goes on:
        a datagram for one of them says nothing of the others, and who makes it fail may be a
        stranger that has lied about its address.
        """
        if self.peer_address is None:
            return
        self._error = exc
        if self._reader is not None:
            self._wake(self._reader)

    def pause_writing(self) -> None:
        """More waits to be sent than the high-water mark."""
        self._is_full = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._is_full = False
        writers, self._writers = self._writers, []
        for writer in writers:
            self._wake(writer)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        del exc
        self._is_over = True
        self.resume_writing()
        for waiter in (self._reader, *self._closers):
            if waiter is not None:
                self._wake(waiter)
        self._closers.clear()

    @staticmethod
    def _wake(waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_result(None)

    # -- receiving ---------------------------------------------------------------------------------

    def receive_nowait(self) -> Datagram | None:
        """The next datagram, or None if none is there.

        Raises:
            ClosedError: The socket was closed, and nothing is left.
            ConnectError: The socket is connected, and nobody listens there.
        """
        if self._queue:
            return self._queue.popleft()
        if self._error is not None:
            error, self._error = self._error, None
            raise ConnectError(f"{self!r}: {error}") from error
        if self._is_over or self.is_closing():
            raise ClosedError(f"{self!r} was closed")
        return None

    async def receive(self) -> Datagram:
        """The next datagram; waits until there is one.

        Raises:
            BusyError: Another task receives already.
            ClosedError: The socket was closed.
            ConnectError: The socket is connected, and nobody listens there.
        """
        queue = self._queue
        while not queue:
            self.receive_nowait()  # which says why there never will be one
            await self._arrival()
        return queue.popleft()

    def _arrival(self) -> asyncio.Future[None]:
        """What is done when there may be something to receive."""
        if self._reader is not None and not self._reader.done():
            raise BusyError(f"{self!r}: another task receives already")
        self._reader = self._loop.create_future()
        return self._reader

    def __aiter__(self) -> AsyncIterator[Datagram]:
        """Datagrams as they come, until the socket is closed; errors are counted, no more."""
        return self

    async def __anext__(self) -> Datagram:
        """The next datagram, as a step of an `async for`."""
        queue = self._queue
        while not queue:
            if self._error is not None:
                self._error = None
            elif self._is_over or self.transport.is_closing():
                raise StopAsyncIteration
            else:
                await self._arrival()
        return queue.popleft()

    # -- sending -----------------------------------------------------------------------------------

    def send(self, data: bytes | bytearray | memoryview, address: Any = None) -> _Room:
        """Send a datagram; awaiting what this returns waits while too much is queued.

        Args:
            data: At most 65,507 bytes over IPv4.
            address: Where to; None on a socket that is connected.

        Raises:
            ClosedError: The socket was closed.
            LocalProtocolError: The datagram is too long, or has no address.
        """
        transport = self.transport
        if self._is_over or transport is None or transport.is_closing():
            raise ClosedError(f"{self!r} was closed")
        if len(data) > _LARGEST:
            raise LocalProtocolError(
                f"a datagram has at most {_LARGEST:,} bytes, not {len(data):,}"
            )
        try:
            transport.sendto(data, address)
        except ValueError as error:
            raise LocalProtocolError(f"{self!r}: {error}") from error
        return self._room

    # -- multicast ---------------------------------------------------------------------------------

    def join_group(self, group: str, local: str | None = None) -> None:
        """Receive what is sent to a multicast group (RFC 1112; RFC 3493, section 5.2).

        Args:
            group: The group's address.
            local: Address (IPv4) or name (IPv6) of the interface; None: the system picks one.

        Raises:
            ConfigError: It is no multicast address.
            OSError: There is no such interface, or too many groups.
        """
        change_group(self.transport, group, local, joins=True)

    def leave_group(self, group: str, local: str | None = None) -> None:
        """Undo `join_group`."""
        change_group(self.transport, group, local, joins=False)

    # -- its life ----------------------------------------------------------------------------------

    @property
    def local_address(self) -> Any:
        """Our own address as the `socket` module writes it."""
        return self.transport.get_extra_info("sockname")

    @property
    def peer_address(self) -> Any:
        """The only address that it talks to; None if it talks to any."""
        return self.transport.get_extra_info("peername")

    @property
    def url(self) -> str:
        """Where it receives."""
        return endpoint_url("udp", self.local_address if self.transport is not None else None)

    @property
    def port(self) -> int:
        """The port where it receives."""
        port: int = self.local_address[1]
        return port

    def is_closing(self) -> bool:
        """Whether it is closing or closed."""
        return self.transport is None or self.transport.is_closing()

    def close(self) -> None:
        """Send what is queued, then close."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once; what is not sent is lost."""
        if self.transport is not None:
            self.transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed."""
        if self._is_over:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._closers.append(waiter)
        await waiter

    async def __aenter__(self) -> DatagramSocket:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.close()
        await self.wait_closed()

    def statistics(self) -> dict[str, int]:
        """Counters of the socket: received, sent, their bytes, and what was dropped."""
        below: dict[str, int] = {} if self.transport is None else self.transport.statistics()
        now = {"dropped_receiving": self._dropped, "queued": len(self._queue)}
        return {**below, **now}
