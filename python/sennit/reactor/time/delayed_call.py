"""One call, later: it can be moved while it waits, and cancelled.

A call that is moved to a later time leaves its timer where it is. The timer fires at the old time,
sees that the call has moved, and is set again: a deadline that is put off for each packet costs one
store per packet. Only a call that is moved before its timer sets another one.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
import sys
from asyncio import format_helpers
from typing import TYPE_CHECKING, Any

from sennit.deferred import Deferred, maybe_deferred
from sennit.deferred.reporting import maker
from sennit.errors import ConfigError, NotActiveError
from sennit.reactor.time.clock import check_seconds, clock_or_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from sennit.reactor.time.clock import Clock

__all__ = ["DelayedCall", "call_later", "defer_later"]


class DelayedCall(asyncio.TimerHandle):
    """What `call_later` gives: the call can be moved and cancelled as long as it waits.

    It is an `asyncio.TimerHandle`: `cancel()` and `cancelled()` are asyncio's, `when()` is its time
    by its clock.
    """

    __slots__ = ("_armed_for", "_clock", "_timer")

    _callback: Any
    _args: Any
    _timer: Any

    def __init__(
        self, clock: Clock, when: float, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        """Wait; `call_later` is the way to make one.

        Args:
            clock: Whose time counts.
            when: The clock's time to call at.
            function: What to call.
            args: What with.
        """
        # Not by the base's own __init__, which asks more of a loop than a clock has.
        self._clock: Clock = clock
        self._loop = clock
        self._callback, self._args = function, args
        self._context = contextvars.copy_context()
        self._when = when
        self._scheduled, self._cancelled = True, False
        self._repr = self._source_traceback = None
        is_debug = getattr(clock, "get_debug", None)
        if is_debug is not None and is_debug():
            self._source_traceback = format_helpers.extract_stack(sys._getframe(1))  # noqa: SLF001
        self._arm()

    @property
    def active(self) -> bool:
        """Whether it still waits: neither called nor cancelled."""
        return self._scheduled

    def time_left(self) -> float:
        """Seconds until the call; 0 if that time has come, or the call is over."""
        return max(0.0, self._when - self._clock.time()) if self._scheduled else 0.0

    def cancel(self) -> None:
        """Call nothing. As asyncio has it, this is no error for a call that is over."""
        if not self._scheduled:
            return
        self._scheduled, self._cancelled = False, True
        self._callback = self._args = None
        self._timer.cancel()
        self._timer = None

    def reset(self, seconds: float) -> None:
        """Wait for so many seconds from now, whatever was before.

        Args:
            seconds: 0 or more.

        Raises:
            ConfigError: The time makes no sense.
            NotActiveError: The call is over or cancelled.
        """
        # Called for each packet: what is usual is done here.
        if self._scheduled and seconds >= 0:
            self._when = when = self._clock.time() + seconds
            if when < self._armed_for:
                self._arm_anew()
            return
        check_seconds("reset()", seconds)
        raise self._not_active("reset")

    def delay(self, seconds: float) -> None:
        """Wait for so many seconds more than now.

        Args:
            seconds: What to add; less than 0 makes it earlier, at the earliest now.

        Raises:
            ConfigError: The time makes no sense.
            NotActiveError: The call is over or cancelled.
        """
        if not seconds > -math.inf:
            raise ConfigError(f"delay() is {seconds!r} s, must be a number of seconds")
        if not self._scheduled:
            raise self._not_active("delay")
        self._when = max(self._when + seconds, self._clock.time())
        if self._when < self._armed_for:
            self._arm_anew()

    def _not_active(self, method: str) -> NotActiveError:
        state = "cancelled" if self._cancelled else "called"
        return NotActiveError(f"{method}() of a call that was {state} already: make another one")

    def _arm_anew(self) -> None:
        self._timer.cancel()
        self._arm()

    def _arm(self) -> None:
        self._armed_for = self._when
        call_at = getattr(self._clock, "call_at", None)
        if call_at is not None:
            self._timer = call_at(self._when, self._run)
        else:
            seconds = max(0.0, self._when - self._clock.time())
            self._timer = self._clock.call_later(seconds, self._run)

    def _run(self) -> None:
        if self._when > self._armed_for:
            self._arm()
            return
        self._scheduled, self._timer = False, None
        function, args = self._callback, self._args
        self._callback = self._args = None
        try:
            self._context.run(function, *args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            report = getattr(self._clock, "call_exception_handler", None)
            if report is None:
                raise
            source = format_helpers._format_callback_source(function, args)  # noqa: SLF001
            context = {"message": f"Exception in callback {source}", "exception": error}
            if self._source_traceback:
                context["source_traceback"] = self._source_traceback
            report(context | {"handle": self})

    # Two calls are the same if they are one: a time that moves is nothing to compare or to hash.

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        if not self._scheduled:
            return f"<sennit.DelayedCall {'cancelled' if self._cancelled else 'called'}>"
        source = format_helpers._format_callback_source(self._callback, self._args)  # noqa: SLF001
        return f"<sennit.DelayedCall {source} in {self.time_left():g} s>"


def call_later(
    delay: float,
    function: Callable[..., Any],
    /,
    *args: Any,
    clock: Clock | None = None,
    **kwargs: Any,
) -> DelayedCall:
    """Call a function after some seconds, in the context variables of now.

    An error of the function is reported by the loop, as for every callback. A coroutine function is
    for `defer_later`. `Reactor.call_later` is the cheaper one where nothing is to be moved.

    Args:
        delay: Seconds, 0 or more.
        function: What to call.
        args: For the function.
        clock: Whose time counts; the running loop by default.
        kwargs: For the function. One that is called `clock` goes in by `functools.partial`.

    Raises:
        ConfigError: The time makes no sense.
        RuntimeError: No loop runs, and no clock was given.
    """
    check_seconds("delay", delay)
    clock = clock_or_loop(clock)
    if kwargs:
        function = functools.partial(function, **kwargs)
    return DelayedCall(clock, clock.time() + delay, function, args)


@maker
def defer_later(
    delay: float,
    function: Callable[..., Any] | None = None,
    /,
    *args: Any,
    clock: Clock | None = None,
    **kwargs: Any,
) -> Deferred[Any]:
    """The result of a function that is called after some seconds.

    `await sennit.defer_later(1)` just waits. Cancelling it before its time calls nothing,
    afterwards it cancels what the function has begun.

    Args:
        delay: Seconds, 0 or more.
        function: May return a value, a Deferred, a coroutine or a future, or raise; without one,
            the result is `None`.
        args: For the function.
        clock: Whose time counts; the running loop by default.
        kwargs: For the function. One that is called `clock` goes in by `functools.partial`.

    Raises:
        ConfigError: The time makes no sense.
        RuntimeError: No loop runs, and no clock was given.
    """
    check_seconds("delay", delay)

    def call(_result: None) -> Deferred[Any]:
        assert function is not None
        return maybe_deferred(function, *args, **kwargs)

    deferred: Deferred[Any] = Deferred(lambda _deferred: timer.cancel())
    if function is not None:
        deferred.add_callback(call)
    timer = clock_or_loop(clock).call_later(delay, deferred.callback)
    return deferred
