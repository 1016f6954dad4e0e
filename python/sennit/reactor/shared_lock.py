"""A lock that threads and loops share: it blocks threads, and never a loop."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sennit.errors import BusyError
from sennit.reactor.turns import Shared, Turn, refuse_loop

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SharedLock"]


class SharedLock(Shared):
    """A lock for threads and loops: `with lock:` in a thread, `async with lock:` in a coroutine.

    A thread that waits sleeps, a task that waits lets its loop go on. Who waits gets the lock in
    the order of the asking, threads and tasks in one queue; it goes from hand to hand. It cannot be
    taken twice by the same user.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_held = False
        self._waiting: deque[Turn] = deque()

    @property
    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._is_held

    def _enter(self) -> Turn | None:
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return None
            turn = Turn(self, self._waiting)
            self._waiting.append(turn)
        # Making it may have run the collector, and that may have released the lock.
        self._hand_on(only_if_free=True)
        return turn

    def _hand_on(self, *, only_if_free: bool = False) -> None:
        while True:
            with self._guard:
                if only_if_free and self._is_held:
                    return
                self._is_held = False
                if not self._waiting:
                    return
                turn = self._waiting.popleft()
                self._is_held = True
                turn.state = "given"
            if turn.give():
                return
            turn.state = "gone"
            only_if_free = False

    def _passed_by(self, _turn: Turn) -> None:
        self._hand_on()

    def acquire(self, timeout: float | None = None) -> None:
        """In a thread: wait for the lock.

        Args:
            timeout: Seconds to wait; `None`: for ever.

        Raises:
            DeadlineError: It was not free in time.
            RuntimeError: A loop runs in this thread.
        """
        refuse_loop("SharedLock.acquire()")
        turn = self._enter()
        if turn is not None:
            self._wait(turn, timeout, "the lock")

    async def acquire_in_loop(self) -> None:
        """In a coroutine: wait for the lock."""
        turn = self._enter()
        if turn is not None:
            await self._wait_in_loop(turn)

    def release(self) -> None:
        """Give the lock back, from any thread.

        Raises:
            BusyError: Nobody has it.
        """
        if not self._is_held:
            raise BusyError("release() of a SharedLock that nobody has")
        self._hand_on()

    def statistics(self) -> dict[str, int]:
        """Whether somebody has it, and how many wait."""
        with self._guard:
            return {"held": int(self._is_held), "waiting": len(self._waiting)}

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire_in_loop()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.release()

    def __repr__(self) -> str:
        counts = self.statistics()
        held = "held" if counts["held"] else "free"
        return f"<sennit.SharedLock {held}, {counts['waiting']} waiting>"
