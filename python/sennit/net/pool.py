"""A pool of connections to one endpoint: bounded, with a bounded queue, and nothing stale."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import TYPE_CHECKING, Any

from sennit.errors import ClosedError, ConfigError, DeadlineError, OverloadedError
from sennit.net.connecting import open_connection
from sennit.net.stream import Stream
from sennit.net.url import parse_endpoint
from sennit.reactor import current_reactor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Pool"]


class Pool:
    r"""Streams to one endpoint that are used again and again.

        async with net.Pool("tcp://127.0.0.1:6379") as pool:
            async with pool.acquire() as stream:
                await stream.write(b"PING\r\n")
                print(await stream.readline())

    A stream goes back to the pool when the block ends well and nothing is left to read; after an
    error it is dropped. One that its peer has closed meanwhile is never handed out.

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
        parse_endpoint(url)
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
            try:
                yield stream
            except BaseException:
                stream.abort()
                raise
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
            if _is_clean(stream):
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
        if self._is_closed or not _is_clean(stream):
            stream.close()
            return
        reactor = current_reactor()
        self._idle.append((reactor.time(), stream))
        if self._sweep is None:
            self._sweep = reactor.call_later(self._idle_timeout, self._close_old)

    def _close_old(self) -> None:
        reactor = current_reactor()
        self._sweep = None
        oldest = reactor.time() - self._idle_timeout
        while self._idle and self._idle[0][0] <= oldest:
            self._idle.popleft()[1].close()
        if self._idle:
            due = self._idle[0][0] + self._idle_timeout
            self._sweep = reactor.call_at(due, self._close_old)

    async def close(self) -> None:
        """Close what is idle now and what is in use when it comes back; nobody waits any more."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(ClosedError(f"{self!r} was closed"))
        self._waiting.clear()
        idle = [stream for _, stream in self._idle]
        self._idle.clear()
        for stream in idle:
            stream.close()
        for stream in idle:
            await stream.wait_closed()

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


def _is_clean(stream: Stream) -> bool:
    """Whether the next user would find the stream as the first one has."""
    return not (stream.is_closing() or stream.at_eof() or stream.buffered)
