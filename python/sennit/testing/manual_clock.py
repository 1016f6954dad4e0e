"""A clock for tests without a loop: what is due happens when the time is moved."""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import TYPE_CHECKING, Any

from sennit.errors import ConfigError, OverloadedError

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterable

__all__ = ["Clock"]

_MAX_ROUNDS = 10_000
"""Times that calls of one `advance` may bring about others that are due at once.

A call that does so for ever would never let the test go on."""


class Clock:
    """Time that is moved by hand, for everything that takes a `clock`.

    It begins at 0. `call_later` and `call_at` give an `asyncio.TimerHandle`, as those of a loop do;
    for one that can be moved there is `sennit.call_later(..., clock=clock)`. No loop is needed, and
    none is run: whole programs of coroutines are for `testing.run`.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._calls: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = self._called = 0

    def time(self) -> float:
        """The time in seconds."""
        return self._now

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        /,
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call a function when so many seconds will have passed."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        /,
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call a function when a time is reached.

        Raises:
            ConfigError: The time is not a number.
        """
        if math.isnan(when):
            raise ConfigError("the time of a call is nan, must be a number of seconds")
        handle = asyncio.TimerHandle(when, callback, args, self, context)  # type: ignore[arg-type]
        heapq.heappush(self._calls, (when, self._made, handle))
        self._made += 1
        return handle

    def advance(self, seconds: float) -> None:
        """Let time pass, then make the calls that have become due, in the order of their times.

        Time jumps: all of these calls see the new time, as in a loop that something has blocked.
        `pump` goes in steps; `await reactor.advance(seconds)` of a `testing.Reactor` lets each call
        see its own time.

        An error of a call comes out of here; the calls behind it are made by the next `advance`.

        Args:
            seconds: How much, at least 0.

        Raises:
            ConfigError: The time is negative or not finite.
            OverloadedError: Calls have brought about others that are due at once, again and again.
        """
        if not 0 <= seconds < math.inf:
            raise ConfigError(f"advance({seconds!r}): time goes forward, by a finite number")
        self._now += seconds
        rounds, round_ends = 0, self._made
        while self._calls and self._calls[0][0] <= self._now:
            _, number, handle = heapq.heappop(self._calls)
            if handle.cancelled():
                continue
            if number >= round_ends:
                rounds, round_ends = rounds + 1, self._made
                if rounds > _MAX_ROUNDS:
                    heapq.heappush(self._calls, (handle.when(), number, handle))
                    raise OverloadedError(
                        f"at {self._now:g} s calls have {rounds:,} times brought about others that "
                        f"are due at once, limit {_MAX_ROUNDS:,}: {handle!r} may go on for ever, "
                        "as a LoopingCall of interval 0 does"
                    )
            self._called += 1
            run = handle._context.run  # type: ignore[attr-defined]  # noqa: SLF001
            run(handle._callback, *handle._args)  # type: ignore[attr-defined]  # noqa: SLF001

    def pump(self, steps: Iterable[float]) -> None:
        """Advance by each of some numbers of seconds.

        Args:
            steps: Seconds, each at least 0.
        """
        for seconds in steps:
            self.advance(seconds)

    def statistics(self) -> dict[str, int]:
        """How many calls are pending, and how many were made."""
        pending = sum(not handle.cancelled() for _, _, handle in self._calls)
        return {"pending": pending, "called": self._called}

    def __repr__(self) -> str:
        return f"<sennit.testing.Clock {self._now:g} s, {self.statistics()['pending']} pending>"

    # -- what an asyncio.TimerHandle asks of its loop ----------------------------------------------

    def get_debug(self) -> bool:
        """Whether handles are to remember where they were made: no."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """One will not be called; it leaves when its time has come."""
