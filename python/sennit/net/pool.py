"""A pool of connections to one endpoint: bounded, with a bounded queue, and nothing stale."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import select
from typing import TYPE_CHECKING, Any

from sennit.errors import (
    ClosedError,
    ConfigError,
    DeadlineError,
    OverloadedError,
    SennitError,
)
from sennit.net.connecting import connect_settings, open_connection
from sennit.net.stream import Stream
from sennit.reactor import current_reactor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Pool"]

CLOSE_TIME = 5.0
"""Seconds that the peer of a stream that leaves the pool has to take what is still to be sent."""


class Pool:
    r"""Streams to one endpoint that are used again and again.

        async with net.Pool("tcp://127.0.0.1:6379") as pool:
            async with pool.acquire() as stream:
                await stream.write(b"PING\r\n")
                print(await stream.readline())

    A stream goes back to the pool when the block ends well and nothing is under way on it: nothing
    left to read or to send, no `write_eof`, no other task that reads. Its timeouts are reset. After
    an error it is dropped. A stream on which something has come while it was idle, the end among
    it, is not handed out, also if the loop has not heard of it yet; what the network has not
    brought by then nobody can know.

    Args:
        url: As for `net.connect`.
        max_size: Connections at once.
        max_waiting: Users that may wait for one.
        acquire_timeout: Seconds that a user waits at most for his turn; connecting has its own
            time (`connect_timeout`).
        idle_timeout: Seconds after which an unused connection is closed.
        **options: As for `net.connect`.

    Raises:
        ConfigError: A setting makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        max_size: int = 10,
        max_waiting: int = 1000,
        acquire_timeout: float = 30.0,
        idle_timeout: float = 60.0,
        **options: Any,
    ) -> None:
        connect_settings(url, options)
        if max_size < 1 or max_waiting < 0:
            raise ConfigError(
                f"max_size is {max_size!r} (at least 1), max_waiting {max_waiting!r} (at least 0)"
            )
        if acquire_timeout <= 0 or idle_timeout <= 0:
            raise ConfigError("acquire_timeout and idle_timeout are seconds above 0")
        self._url = url
        self._max_size = max_size
        self._max_waiting = max_waiting
        self._acquire_timeout = acquire_timeout
        self._idle_timeout = idle_timeout
        self._options = options
        self._idle: collections.deque[tuple[float, Stream]] = collections.deque()
        self._leaving: set[Stream] = set()
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()
        self._in_use = 0
        self._is_closed = False
        self._sweep: asyncio.TimerHandle | None = None
        self._counters = {"acquired": 0, "connected": 0, "reused": 0, "stale": 0, "refused": 0}

    def __repr__(self) -> str:
        return (
            f"<sennit.net.Pool {self._url} in_use={self._in_use} idle={len(self._idle)} "
            f"waiting={len(self._waiting)}>"
        )

    def statistics(self) -> dict[str, int]:
        """Counters so far, and what is in use, idle and waiting now."""
        now = {"in_use": self._in_use, "idle": len(self._idle), "waiting": len(self._waiting)}
        return {**self._counters, **now}

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[Stream]:
        """A stream for the time of a block.

        Raises:
            ClosedError: The pool was closed.
            OverloadedError: `max_waiting` users wait already.
            DeadlineError: No turn came within `acquire_timeout`.
            ConnectError: And what else `net.connect` raises.
        """
        await self._take_turn()
        try:
            stream = self._take_idle()
            if stream is None:
                stream = await self._open()
            settings = _settings(stream)
            try:
                yield stream
            except BaseException:
                stream.abort()
                raise
            stream.read_timeout, stream.write_timeout, stream.max_buffered = settings
            self._put_back(stream)
        finally:
            self._in_use -= 1
            self._wake_next()

    async def _take_turn(self) -> None:
        if self._is_closed:
            raise ClosedError(f"{self!r} was closed")
        if self._in_use < self._max_size and not self._waiting:
            self._in_use += 1
            return
        if len(self._waiting) >= self._max_waiting:
            self._counters["refused"] += 1
            raise OverloadedError(
                f"{self._url}: {len(self._waiting)} users wait for one of {self._max_size} "
                "connections (max_waiting, max_size)"
            )
        turn = current_reactor().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._acquire_timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # The turn came in the same moment: it is the next one's.
                self._in_use -= 1
                self._wake_next()
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise DeadlineError(
                    f"{self._url}: none of {self._max_size} connections came free within "
                    f"{self._acquire_timeout:g} s (acquire_timeout, max_size)"
                ) from error
            raise

    def _wake_next(self) -> None:
        while self._waiting and self._in_use < self._max_size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_use += 1
                turn.set_result(None)

    def _take_idle(self) -> Stream | None:
        """The connection that was used last, if one is still good: the others may grow old."""
        while self._idle:
            _, stream = self._idle.pop()
            if _is_fresh(stream):
                self._counters["acquired"] += 1
                self._counters["reused"] += 1
                return stream
            self._counters["stale"] += 1
            stream.abort()
        return None

    async def _open(self) -> Stream:
        _, stream = await open_connection(current_reactor(), self._url, Stream, self._options)
        self._counters["acquired"] += 1
        self._counters["connected"] += 1
        return stream

    def _put_back(self, stream: Stream) -> None:
        if self._is_closed or not stream._is_at_rest():  # noqa: SLF001 - the native half's word
            self._part_with(stream)
            return
        reactor = current_reactor()
        self._idle.append((reactor.time(), stream))
        if self._sweep is None:
            self._sweep = reactor.call_later(self._idle_timeout, self._close_old)

    def _part_with(self, stream: Stream) -> None:
        """Close a stream; a peer that does not take what is still to be sent cannot keep it."""
        stream.close()
        if stream.transport.get_write_buffer_size() == 0:
            return
        self._leaving.add(stream)
        timer = current_reactor().call_later(CLOSE_TIME, stream.abort)

        def left(_reason: object) -> None:
            timer.cancel()
            self._leaving.discard(stream)

        stream.transport._when_lost(left)  # noqa: SLF001 - the native transport's seam for this

    def _close_old(self) -> None:
        reactor = current_reactor()
        self._sweep = None
        oldest = reactor.time() - self._idle_timeout
        while self._idle and self._idle[0][0] <= oldest:
            self._part_with(self._idle.popleft()[1])
        if self._idle:
            due = self._idle[0][0] + self._idle_timeout
            self._sweep = reactor.call_at(due, self._close_old)

    async def close(self, grace: float = CLOSE_TIME) -> None:
        """Close what is idle now and what is in use when it comes back; nobody waits any more.

        Args:
            grace: Seconds that peers have to take what is still to be sent to them.
        """
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(ClosedError(f"{self!r} was closed"))
        self._waiting.clear()
        streams = [stream for _, stream in self._idle]
        self._idle.clear()
        for stream in streams:
            stream.close()
        streams += self._leaving
        try:
            async with asyncio.timeout(grace):
                await asyncio.gather(*(_ended(stream) for stream in streams))
        except TimeoutError:
            for stream in streams:
                stream.abort()

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


def _settings(stream: Stream) -> tuple[float | None, float | None, int]:
    return stream.read_timeout, stream.write_timeout, stream.max_buffered


async def _ended(stream: Stream) -> None:
    with contextlib.suppress(SennitError):
        await stream.wait_closed()


def _is_fresh(stream: Stream) -> bool:
    """Whether the next user would find the stream as the first one has.

    The kernel is asked too: what it has, the loop may not have read yet. Between two uses nobody
    has asked the peer for anything, so whatever it has sent cannot be an answer to the next user.
    """
    if not stream._is_at_rest():  # noqa: SLF001 - the native half's word
        return False
    poller = select.poll()
    poller.register(stream.transport._fileno(), select.POLLIN | select.POLLRDHUP)  # noqa: SLF001
    return not poller.poll(0)
