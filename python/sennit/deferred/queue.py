"""A queue of a loop whose `get` is a Deferred."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from sennit._native.core import Deferred
from sennit.deferred.bridges import fail, succeed
from sennit.deferred.reporting import maker
from sennit.errors import ClosedError, ConfigError, OverloadedError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["DeferredQueue"]


class DeferredQueue:
    """Hands objects from who puts to who gets, in their order.

    `async for item in queue` takes until the queue is closed and empty; `async with queue:` closes
    it at the end of the block. A task that is cancelled in the very turn in which it gets an object
    gives that back in `async for`; one that awaits `get()` loses it.
    """

    def __init__(self, max_size: int, max_waiting: int) -> None:
        """Make an empty one.

        Args:
            max_size: Objects that may wait for somebody to get them, 0 or more.
            max_waiting: Users that may wait for an object, 1 or more.

        Raises:
            ConfigError: A size makes no sense.
        """
        if max_size < 0 or max_waiting < 1:
            raise ConfigError(
                f"max_size is {max_size!r}, must be 0 or more; "
                f"max_waiting is {max_waiting!r}, must be 1 or more"
            )
        self.max_size, self.max_waiting = max_size, max_waiting
        self._items: deque[Any] = deque()
        self._waiting: deque[Deferred[Any]] = deque()
        self._is_closed = False

    def put(self, item: Any) -> None:
        """Give an object to who waits first, or keep it.

        Raises:
            OverloadedError: `max_size` objects wait already.
            ClosedError: The queue is closed.
        """
        if self._is_closed:
            raise ClosedError("put() after close() of a DeferredQueue")
        if self._waiting:
            self._waiting.popleft().callback(item)
        elif len(self._items) < self.max_size:
            self._items.append(item)
        else:
            raise OverloadedError(
                f"{len(self._items)} objects wait, limit {self.max_size} (max_size)"
            )

    @maker
    def get(self) -> Deferred[Any]:
        """The next object. Cancelling gives up the place in the queue.

        It fails with `ClosedError` when the queue is closed and empty, and with `OverloadedError`
        when `max_waiting` users wait already.
        """
        if self._items:
            return succeed(self._items.popleft())
        if self._is_closed:
            return fail(ClosedError("the DeferredQueue is closed and empty"))
        if len(self._waiting) >= self.max_waiting:
            message = f"{len(self._waiting)} users wait, limit {self.max_waiting} (max_waiting)"
            return fail(OverloadedError(message))
        deferred: Deferred[Any] = Deferred(self._waiting.remove)
        self._waiting.append(deferred)
        return deferred

    def close(self) -> None:
        """Take no more objects; those that are there can be got, who waits is told."""
        self._is_closed = True
        while self._waiting:
            self._waiting.popleft().errback(ClosedError("the DeferredQueue was closed"))

    def statistics(self) -> dict[str, int]:
        """How many objects are there, and how many users wait for one."""
        return {"items": len(self._items), "waiting": len(self._waiting)}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = self.get()
        try:
            return await item
        except ClosedError:
            raise StopAsyncIteration from None
        except asyncio.CancelledError:
            # The object may have been given to this task before it could run.
            if item.done() and not item.cancelled() and item.exception() is None:
                self._give_back(item.result())
            raise

    def _give_back(self, item: Any) -> None:
        if self._waiting:
            self._waiting.popleft().callback(item)
        else:
            self._items.appendleft(item)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        closed = ", closed" if self._is_closed else ""
        counts = f"{len(self._items)} objects, {len(self._waiting)} waiting{closed}"
        return f"<sennit.DeferredQueue {counts}>"
