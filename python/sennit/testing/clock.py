"""A reactor whose clock is moved by hand, or by itself whenever nothing else can happen."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import pathlib
import time
from typing import TYPE_CHECKING, Any, TypeVar

import sennit.reactor
from sennit.errors import ConfigError, DeadlockError

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Iterator

__all__ = ["SECOND", "Timed"]

_T = TypeVar("_T")

SECOND = 1_000_000_000
"""Nanoseconds: the clock counts them."""

_PACE = SECOND // 1000
"""Time that may run ahead of the system's while work elsewhere holds the clock; epoll sleeps whole
milliseconds."""

_NAMED_TASKS = 20
"""Tasks that a report of a deadlock names."""

_LIBRARIES = tuple(
    str(pathlib.Path(module.__file__).parent)
    for module in (asyncio, sennit.reactor)
    if module.__file__ is not None
)
_OWN = pathlib.Path(__file__).parent.parent


class Timed(sennit.reactor.Reactor):
    """The clock of `sennit.testing.Reactor`.

    `time` starts at 0.0 and stands still while callbacks run. When nothing is ready, the clock
    jumps to the next thing that is due; nobody sleeps.
    """

    _manual_clock = True

    def __init__(self, *, autojump: bool = True) -> None:
        super().__init__()
        self._autojump = autojump
        self._goals: list[tuple[int, int, asyncio.Future[None]]] = []
        self._goal_numbers = itertools.count()
        self._holds = 0
        self._ahead = 0
        self._slept_from: tuple[int, int] | None = None

    async def advance(self, seconds: float) -> None:
        """Let time pass, and return when all that was due meanwhile has happened.

        Every timer on the way sees its own time. This is what moves the clock of a reactor that
        was made with `autojump=False`; otherwise it is a sleep that lets all others go first.

        Args:
            seconds: How much, at least 0.

        Raises:
            ConfigError: The time is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            raise ConfigError(f"advance({seconds!r}): time goes forward, by a finite number")
        reached = self.create_future()
        goal = self._now() + round(seconds * SECOND)
        heapq.heappush(self._goals, (goal, next(self._goal_numbers), reached))
        await reached

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """While this is entered, time runs no faster than the system's.

        For work that the reactor cannot know of: a thread that will call `call_soon_threadsafe`, a
        real socket, a signal. A job of `run_in_executor` or `defer_to_thread` does so by itself.
        Enter and leave it in the reactor's thread.

        Example:
            `with reactor.hold(): await answer_of_a_thread`
        """
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def _hold_time(self, change: int) -> None:
        self._holds += change

    def run_in_executor(  # type: ignore[override]
        self, executor: concurrent.futures.Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """As `sennit.Reactor.run_in_executor`; the clock is held until the result is here."""
        result = super().run_in_executor(executor, func, *args)
        self._holds += 1
        result.add_done_callback(self._job_done)
        return result

    def _job_done(self, _result: asyncio.Future[Any]) -> None:
        self._holds -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """As `sennit.Reactor.shutdown_default_executor`; the clock is held meanwhile."""
        with self.hold():
            await super().shutdown_default_executor(timeout)

    def _now(self) -> int:
        """The time in nanoseconds."""
        return round(self.time() * SECOND)

    # -- called by the native core -----------------------------------------------------------------

    def _idle(self, due: int | None) -> float | None:
        """Nothing is ready, and nothing is due before `due` nanoseconds (None: ever).

        None: look again. A number: sleep at most so many seconds of the system's time.

        Raises:
            DeadlockError: Nothing can happen any more.
        """
        goal = self._goals[0][0] if self._goals else None
        if goal is not None and (due is None or goal < due):
            next_time = goal
        elif due is not None and (self._autojump or goal is not None):
            next_time = due
        elif self._is_held() or not self._autojump:
            return math.inf
        else:
            raise _deadlock(self)
        if self._is_held() and (wait := self._pace(next_time)) > 0:
            return wait / SECOND
        self._slept_from = None
        self._move_clock(next_time)
        if next_time == goal and goal != due:
            while self._goals and self._goals[0][0] <= next_time:
                reached = heapq.heappop(self._goals)[2]
                if not reached.done():
                    reached.set_result(None)
        return None

    def _is_held(self) -> bool:
        return self._holds > 0 or self._calls_out() > 0

    def _pace(self, next_time: int) -> int:
        """Nanoseconds of the system's time to wait for before the clock may move to a time."""
        now, real = self._now(), time.monotonic_ns()
        if self._slept_from is None or self._slept_from[0] != now:
            self._slept_from = (now, real)
        wait = next_time - now + self._ahead - (real - self._slept_from[1])
        if wait >= _PACE:
            return wait
        self._ahead = max(wait, 0)
        return 0


def _deadlock(reactor: Timed) -> DeadlockError:
    tasks = sorted(asyncio.all_tasks(reactor), key=lambda task: (len(task.get_name()), str(task)))
    lines = [f"  {task.get_name()} waits in {_place(task)}" for task in tasks[:_NAMED_TASKS]]
    if len(tasks) > _NAMED_TASKS:
        lines.append(f"  and {len(tasks) - _NAMED_TASKS} more")
    waiting = {0: "no task waits", 1: "1 task waits"}.get(len(tasks), f"{len(tasks)} tasks wait")
    return DeadlockError(
        f"at {reactor.time():g} s nothing is scheduled and nothing can happen: {waiting}"
        + "".join("\n" + line for line in lines)
        + "\n(work in threads of your own, real sockets and signals need `with reactor.hold():`)"
    )


def _place(task: asyncio.Task[Any]) -> str:
    """Where a task waits: the innermost line that is neither asyncio's nor ours."""
    found = last = "an unknown place"
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is not None:
            code = frame.f_code
            last = f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
            own = pathlib.Path(code.co_filename).is_relative_to(_OWN)
            if not own and not code.co_filename.startswith(_LIBRARIES):
                found = last
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return last if found == "an unknown place" else found
