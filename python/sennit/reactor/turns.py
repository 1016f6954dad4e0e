"""Places in a queue of threads and tasks: a thread sleeps meanwhile, a task lets its loop go on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from sennit.errors import DeadlineError

if TYPE_CHECKING:
    from collections import deque

__all__ = ["Shared", "Turn", "refuse_loop"]


class Turn:
    """A place in a queue of threads and tasks: given once, to be taken by who waits.

    | state | becomes | when |
    | --- | --- | --- |
    | waiting | given | it is this one's turn |
    | waiting | gone | who waited has given up |
    | given | taken | who waits has noticed |
    | given | gone | nobody has noticed: the turn goes on to the next |
    """

    __slots__ = ("_loop", "_owner", "_waiter", "line", "state", "value")

    def __init__(self, owner: Shared, line: deque[Turn]) -> None:
        self.state = "waiting"
        self.line = line
        self.value: Any = None
        self._owner = owner
        self._loop = asyncio._get_running_loop()  # noqa: SLF001
        self._waiter: Any
        if self._loop is None:
            self._waiter = threading.Lock()
            self._waiter.acquire()
        else:
            self._waiter = self._loop.create_future()

    def give(self) -> bool:
        """Tell who waits; False: nobody can be told any more. Not under the owner's guard."""
        if self._loop is None:
            self._waiter.release()
            return True
        try:
            self._loop.call_soon_threadsafe(self._notice)
        except RuntimeError:
            return False
        return True

    def _notice(self) -> None:
        if not self._waiter.done():
            self._waiter.set_result(None)

    def wait(self, timeout: float | None) -> bool:
        """In a thread: whether the turn was given in time."""
        return bool(self._waiter.acquire(timeout=-1 if timeout is None else max(timeout, 0)))

    async def wait_in_loop(self) -> None:
        """In a task."""
        await self._waiter

    def __del__(self) -> None:
        # A loop was closed between the giving and the noticing.
        if self.state == "given":
            self._owner._passed_by(self)  # noqa: SLF001 - one file


class Shared:
    """A guard, and the rules of waiting beneath it.

    The guard can be entered again: the collector may run anywhere, and end a `Turn` that goes on to
    the next.
    """

    def __init__(self) -> None:
        self._guard = threading.RLock()

    def _passed_by(self, turn: Turn) -> None:
        raise NotImplementedError

    def _give_up(self, turn: Turn) -> bool:
        """Who waited waits no more. False: the turn was given already."""
        with self._guard:
            if turn.state != "waiting":
                return False
            turn.state = "gone"
            turn.line.remove(turn)
            return True

    def _wait(self, turn: Turn, timeout: float | None, what: str) -> None:
        """In a thread."""
        try:
            in_time = turn.wait(timeout)
        except BaseException:
            if not self._give_up(turn):
                turn.state = "gone"
                self._passed_by(turn)
            raise
        if not in_time and self._give_up(turn):
            raise DeadlineError(f"{what} was not free after {timeout:g} s (timeout)")
        turn.state = "taken"

    async def _wait_in_loop(self, turn: Turn) -> None:
        try:
            await turn.wait_in_loop()
        except BaseException:
            if not self._give_up(turn):
                turn.state = "gone"
                self._passed_by(turn)
            raise
        turn.state = "taken"


def refuse_loop(what: str) -> None:
    """Refuses to block a loop."""
    if asyncio._get_running_loop() is not None:  # noqa: SLF001
        raise RuntimeError(
            f"{what} would block the loop that runs in this thread: use async with, or await"
        )
