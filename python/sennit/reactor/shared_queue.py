"""A bounded queue between threads and loops: it blocks threads, and never a loop."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from sennit.errors import BusyError, ClosedError, ConfigError, OverloadedError
from sennit.reactor.turns import Shared, Turn, refuse_loop

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SharedQueue"]

_T = TypeVar("_T")


_CLOSED = object()
"""What is given to who waits for a queue that is closed."""


class SharedQueue(Shared, Generic[_T]):
    """A bounded queue between threads and loops.

    `put` and `get` are for threads, which sleep while they wait; `put_in_loop` and `get_in_loop`
    are for coroutines; the `_nowait` twins for both. `for item in queue` and `async for item in
    queue` take until the queue is closed and empty. Who waits is served in the order of the asking.

    Attributes:
        max_size: Objects that may be in it.
    """

    def __init__(self, max_size: int) -> None:
        """Make an empty one.

        Args:
            max_size: Objects that may be in it, 1 or more.

        Raises:
            ConfigError: The size makes no sense.
        """
        if max_size < 1:
            raise ConfigError(f"max_size is {max_size!r}, must be 1 or more")
        super().__init__()
        self.max_size = max_size
        self._items: deque[_T] = deque()
        self._getting: deque[Turn] = deque()
        self._putting: deque[Turn] = deque()
        # Places that were given to who waits to put, and are not filled yet.
        self._promised = 0
        self._is_closed = False

    # -- the rules, beneath the guard; who is to be told is told by `_move`, outside ---------------

    def _move(self) -> None:
        """Gives objects to who waits for one, and places to who has one to put."""
        given: list[Turn] = []
        with self._guard:
            while self._items and self._getting:
                turn = self._getting.popleft()
                turn.value, turn.state = self._items.popleft(), "given"
                given.append(turn)
            while self._putting and (self._is_closed or self._has_room()):
                turn = self._putting.popleft()
                turn.state = "given"
                if self._is_closed:
                    turn.value = _CLOSED
                else:
                    self._promised += 1
                given.append(turn)
            while self._is_closed and self._getting and not self._items and not self._promised:
                turn = self._getting.popleft()
                turn.value, turn.state = _CLOSED, "given"
                given.append(turn)
        for turn in given:
            if not turn.give():
                turn.state = "gone"
                self._passed_by(turn)

    def _has_room(self) -> bool:
        return len(self._items) + self._promised < self.max_size

    def _passed_by(self, turn: Turn) -> None:
        if turn.value is not _CLOSED:
            with self._guard:
                if turn.line is self._getting:
                    self._items.appendleft(turn.value)
                else:
                    self._promised -= 1
        self._move()

    def _start_putting(self, item: _T) -> Turn | None:
        with self._guard:
            if self._is_closed:
                raise ClosedError("put() after close() of a SharedQueue")
            if self._has_room() and not self._putting:
                self._items.append(item)
                turn = None
            else:
                turn = Turn(self, self._putting)
                self._putting.append(turn)
        self._move()
        return turn

    def _finish_putting(self, turn: Turn, item: _T) -> None:
        if turn.value is _CLOSED:
            raise ClosedError("the SharedQueue was closed")
        with self._guard:
            self._promised -= 1
            self._items.append(item)
        self._move()

    def _start_getting(self) -> Turn:
        with self._guard:
            turn = Turn(self, self._getting)
            self._getting.append(turn)
        self._move()
        return turn

    @staticmethod
    def _got(turn: Turn) -> _T:
        if turn.value is _CLOSED:
            raise ClosedError("the SharedQueue is closed and empty")
        value: _T = turn.value
        return value

    # -- for threads -------------------------------------------------------------------------------

    def put(self, item: _T, timeout: float | None = None) -> None:
        """In a thread: put an object, and wait for a place.

        Args:
            item: The object.
            timeout: Seconds to wait; `None`: for ever.

        Raises:
            DeadlineError: There was no place in time.
            ClosedError: The queue is closed.
            RuntimeError: A loop runs in this thread.
        """
        refuse_loop("SharedQueue.put()")
        turn = self._start_putting(item)
        if turn is not None:
            self._wait(turn, timeout, "a place")
            self._finish_putting(turn, item)

    def get(self, timeout: float | None = None) -> _T:
        """In a thread: take the next object, and wait for one.

        Args:
            timeout: Seconds to wait; `None`: for ever.

        Raises:
            DeadlineError: There was none in time.
            ClosedError: The queue is closed and empty.
            RuntimeError: A loop runs in this thread.
        """
        refuse_loop("SharedQueue.get()")
        turn = self._start_getting()
        self._wait(turn, timeout, "an object")
        return self._got(turn)

    # -- for coroutines ----------------------------------------------------------------------------

    async def put_in_loop(self, item: _T) -> None:
        """In a coroutine: put an object, and wait for a place."""
        turn = self._start_putting(item)
        if turn is not None:
            await self._wait_in_loop(turn)
            self._finish_putting(turn, item)

    async def get_in_loop(self) -> _T:
        """In a coroutine: take the next object, and wait for one."""
        turn = self._start_getting()
        await self._wait_in_loop(turn)
        return self._got(turn)

    # -- for both ----------------------------------------------------------------------------------

    def put_nowait(self, item: _T) -> None:
        """Put an object.

        Raises:
            OverloadedError: There is no place.
            ClosedError: The queue is closed.
        """
        with self._guard:
            if not self._is_closed and (self._putting or not self._has_room()):
                raise OverloadedError(
                    f"{len(self._items)} objects are there, limit {self.max_size} (max_size)"
                )
            self._start_putting(item)

    def get_nowait(self) -> _T:
        """Take the next object.

        Raises:
            BusyError: There is none.
            ClosedError: The queue is closed and empty.
        """
        with self._guard:
            if not self._items:
                if self._is_closed:
                    raise ClosedError("the SharedQueue is closed and empty")
                raise BusyError("there is no object in the SharedQueue")
            item = self._items.popleft()
        self._move()
        return item

    def close(self) -> None:
        """Take no more objects; those that are there can be got, who waits is told."""
        self._is_closed = True
        self._move()

    def statistics(self) -> dict[str, int]:
        """How many objects are there, and how many users wait for a place or an object."""
        with self._guard:
            counts = len(self._items), len(self._putting), len(self._getting)
        return dict(zip(("items", "putting", "getting"), counts, strict=True))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        try:
            return self.get()
        except ClosedError:
            raise StopIteration from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        try:
            return await self.get_in_loop()
        except ClosedError:
            raise StopAsyncIteration from None

    def __len__(self) -> int:
        return len(self._items)
