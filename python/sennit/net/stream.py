"""Streams: a connection that is read and written with `await`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sennit._native import core

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Stream"]


class Stream(core.Stream, asyncio.Protocol):
    """A connection to be read and written with `await`; it is an asyncio protocol itself.

    Make one where a protocol is wanted: `loop.create_connection(Stream, host, port)`. Over the
    transports of a Reactor its data takes no way through Python; over any other transport it
    works as well.

    Reading, by one task at a time (`BusyError` otherwise):

    - `await stream.read(max_size=65536)`: what is there, at least one byte; `b""` at the end.
    - `await stream.read_exactly(size)`: so many bytes.
    - `await stream.read_until(separator, max_size=None)`: everything up to a separator of 1 to 16
      bytes, and that.
    - `await stream.readline(max_size=None)`: the same for a line feed.
    - `async for chunk in stream`; `stream.frames(framing)` reads and sends frames.

    What is there already is returned without suspending the task. `max_size` counts bytes before
    the separator; `None` is 64 KiB. A separator that does not come within it is a
    `RemoteProtocolError`, and the bytes stay to be read. The end of the stream in the middle is
    an `IncompleteReadError` with what there was. When the connection is lost, what came before is
    still to be read; then `ConnectionLostError` says why. A task that is cancelled while it reads
    has taken nothing.

    Writing:

    - `stream.write(data)` and `writelines(pieces)` queue at once. Awaiting what they return waits
      while more is queued than the transport's high-water mark; it costs nothing otherwise and
      may be left out.
    - `write_eof()` ends this direction. `close()` sends what is queued and closes; `abort()`
      closes at once; `await wait_closed()` waits for the end, and raises if what was written
      could not be sent.
    - `async with stream:` closes and waits at the end of the block; a block that is cancelled
      aborts.

    Args:
        read_timeout: Seconds that one reading may wait in all, however the bytes drip; then it
            raises `DeadlineError` and has taken nothing. `None`, the default, is for ever.
            Checked every 10 ms.
        write_timeout: Seconds in which the peer must take some of what is queued, while a task
            waits for that or the stream closes; then `DeadlineError`, and a stream that closes is
            aborted. `None`, the default, is for ever; the endpoint's own `write_timeout` ends the
            connection in any case.
        max_buffered: Bytes that may lie unread before the peer has to wait (one more read of up
            to 256 KiB may come); reading goes on when half are left. Default 64 KiB. A reading
            that asks for more gets more.

    Raises:
        ConfigError: A timeout that is not positive and finite, a size below 1.

    Attributes:
        read_timeout: As above; it may be changed, and holds from the next wait on.
        write_timeout: Likewise.
        max_buffered: Likewise.
        buffered: Bytes that can be read without waiting.
        transport: The transport; `None` before there is one.
    """

    __slots__ = ()

    def __init__(
        self,
        *,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        max_buffered: int = 64 * 1024,
    ) -> None:
        super().__init__(
            read_timeout=read_timeout, write_timeout=write_timeout, max_buffered=max_buffered
        )

    @property
    def peer_address(self) -> Any:
        """The address of the other side, as its socket family writes it; `None` if unknown."""
        return self.get_extra_info("peername")

    @property
    def local_address(self) -> Any:
        """The address of this side, as its socket family writes it; `None` if unknown."""
        return self.get_extra_info("sockname")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self.close()
        else:
            self.abort()
        await self.wait_closed()

    def __repr__(self) -> str:
        state = "closing" if self.is_closing() else "open"
        if self.transport is None:
            state = "not connected"
        return f"<{type(self).__name__} {state} peer={self.peer_address} buffered={self.buffered}>"
