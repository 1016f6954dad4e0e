"""Locks of a loop whose `acquire` is a Deferred."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from sennit._native.core import Deferred
from sennit.deferred.bridges import maybe_deferred, succeed
from sennit.deferred.reporting import maker
from sennit.errors import BusyError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["DeferredLock", "DeferredSemaphore"]


class DeferredSemaphore:
    """Lets a number of users in at once; the others wait in their order.

    `async with semaphore:`, or `semaphore.run(function)`, or `acquire()` and `release()`. A task
    that is cancelled in the very turn in which it gets a place gives that back in the first two;
    one that awaits `acquire()` has to do so itself.

    Attributes:
        limit: How many may be in at once.
    """

    def __init__(self, limit: int) -> None:
        """Make one.

        Args:
            limit: How many may be in at once, 1 or more.

        Raises:
            ConfigError: The limit makes no sense.
        """
        if limit < 1:
            raise ConfigError(f"limit is {limit!r}, must be 1 or more")
        self.limit = limit
        self._free = limit
        self._waiting: deque[Deferred[Any]] = deque()
        self._is_handing = False

    @maker
    def acquire(self) -> Deferred[Self]:
        """Wait for a place; the result is the semaphore. Cancelling gives up waiting."""
        # While places are handed out, who waits is first.
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return succeed(self)
        deferred: Deferred[Self] = Deferred(self._waiting.remove)
        self._waiting.append(deferred)
        return deferred

    def release(self) -> None:
        """Give a place back.

        Raises:
            BusyError: None is taken.
        """
        if self._free == self.limit:
            raise BusyError(f"release() without acquire(): all {self.limit} places are free")
        self._free += 1
        if self._is_handing:
            return
        # A loop, not a recursion: who gets the place may give it back before `callback` returns.
        self._is_handing = True
        try:
            while self._free and self._waiting:
                self._free -= 1
                self._waiting.popleft().callback(self)
        finally:
            self._is_handing = False

    @maker
    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Call a function when there is a place, and give that back when its result is there."""

        def call(_self: object) -> Deferred[Any]:
            try:
                deferred = maybe_deferred(function, *args, **kwargs)
            except BaseException:
                self.release()
                raise
            return deferred.add_both(leave)

        def leave(result: Any) -> Any:
            self.release()
            return result

        return self.acquire().add_callback(call)

    def statistics(self) -> dict[str, int]:
        """How many are in, and how many wait."""
        return {"held": self.limit - self._free, "waiting": len(self._waiting), "limit": self.limit}

    async def __aenter__(self) -> Self:
        acquired = self.acquire()
        try:
            return await acquired
        except asyncio.CancelledError:
            # The place may have been given to it before it could run.
            if not acquired.cancelled():
                self.release()
            raise

    async def __aexit__(self, *_error: object) -> None:
        self.release()

    def __repr__(self) -> str:
        counts = f"{self.limit - self._free} of {self.limit} held, {len(self._waiting)} waiting"
        return f"<sennit.{type(self).__name__} {counts}>"


class DeferredLock(DeferredSemaphore):
    """Lets one user in at a time; the others wait in their order."""

    def __init__(self) -> None:
        super().__init__(1)

    @property
    def locked(self) -> bool:
        """Whether somebody is in."""
        return self._free == 0
