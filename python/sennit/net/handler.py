"""Handlers: an `async def` function of a stream serves each connection as a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from sennit.errors import ClosedError, ConnectionLostError, DeadlineError, RemoteProtocolError
from sennit.net.protocol import Factory
from sennit.net.stream import Stream

__all__ = ["StreamFactory", "StreamHandler"]

StreamHandler: TypeAlias = Callable[[Stream], Coroutine[Any, Any, object]]
"""An `async def` function that is called with the stream of each connection."""

_logger = logging.getLogger("sennit.net")

_EXPECTED = (ConnectionLostError, DeadlineError, RemoteProtocolError, ClosedError)
"""What a peer or a closing server can make a handler raise: no traceback is needed to see why."""

_NO_LINGER = struct.pack("ii", 1, 0)
"""For SO_LINGER (socket(7)): on, for 0 s."""

_CANCEL_TIME = 5.0
"""Seconds that a handler has to end after it was cancelled."""


class _HandledStream(Stream):
    """A stream whose handler runs from the beginning of the connection to its end."""

    __slots__ = ("_factory", "_task")

    def __init__(self, factory: StreamFactory, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = factory

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._factory.handler(self))
        self._task.add_done_callback(self._handled)
        # asyncio holds its tasks weakly, and a handler may go on when its connection is gone.
        self._factory._running.add(self)  # noqa: SLF001 - one room

    def _handled(self, task: asyncio.Task[object]) -> None:
        self._factory._running.discard(self)  # noqa: SLF001 - one room
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            self.close()
            return
        seen, over = repr(self), self.is_closing() or self.at_eof()
        self._reset()
        if isinstance(error, _EXPECTED):
            # It may come from a connection of the handler's own, which is worth more than a word.
            level = logging.DEBUG if over else logging.WARNING
            _logger.log(level, "%s: the handler ended: %s: %s", seen, type(error).__name__, error)
        elif error is not None:
            context = {"message": f"the handler of {self!r} failed", "exception": error}
            task.get_loop().call_exception_handler({**context, "task": task})

    def _reset(self) -> None:
        """Abort so that the peer cannot take what it got for the whole: TCP's reset."""
        if not self.is_closing():
            with contextlib.suppress(OSError, AttributeError):
                sock = self.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.abort()

    def server_closing(self) -> None:
        """The handler reads what is there, then the end of the stream; it may still write."""
        self.eof_received()


class StreamFactory(Factory[Stream]):
    """Makes a stream and a task for each connection.

    The stream is closed when the handler returns; it is reset when it raises or is cancelled.
    A handler whose peer has gone hears of it when it reads or writes. When the server closes, the
    handler reads the end of the stream, so that a loop over what comes ends by itself; after the
    grace time it is cancelled.

    Args:
        handler: Called with each stream.
        **settings: `read_timeout`, `write_timeout`, `max_buffered` of the streams.
    """

    def __init__(self, handler: StreamHandler, **settings: Any) -> None:
        super().__init__(Stream)
        self.handler = handler
        self._running: set[_HandledStream] = set()
        self._settings = settings
        Stream(**settings)  # refuses what makes no sense, now and not with the first connection

    def make_protocol(self) -> Stream:
        """A stream for a new connection."""
        return _HandledStream(self, **self._settings)

    # -- called by the server ----------------------------------------------------------------------

    def _tasks_without_connection(self) -> list[asyncio.Task[object]]:
        return [stream._task for stream in self._running if stream.is_closing()]  # noqa: SLF001

    async def _wait_ended(self) -> None:
        tasks = self._tasks_without_connection()
        if tasks:
            await asyncio.wait(tasks)

    def _cancel(self) -> None:
        for task in self._tasks_without_connection():
            task.cancel()

    async def _wait_cancelled(self) -> None:
        self._cancel()
        tasks = self._tasks_without_connection()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=_CANCEL_TIME)
        for task in left:
            _logger.error(
                "%r was cancelled and has not ended after %g s: the server closes without it",
                task,
                _CANCEL_TIME,
            )
