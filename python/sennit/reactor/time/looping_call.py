"""A call again and again, at beats that do not drift.

    state      start       its time    function done   function failed   stop or cancel
    IDLE       CALLING *   -           -               -                 IDLE
    WAITING    error       CALLING     -               -                 IDLE
    CALLING    error       -           WAITING         IDLE              STOPPING
    STOPPING   error       -           IDLE            IDLE              STOPPING

    * or WAITING, if the first call is not to be made now

Beat number `k` is at `start + k * interval`, by a multiplication: no error adds up. A beat that
finds the function still at work, or the loop late, is skipped; the next call is told how many beats
it stands for.
"""

from __future__ import annotations

import asyncio
import enum
import math
from typing import TYPE_CHECKING, Any

from sennit.deferred import Deferred, Failure, maybe_deferred
from sennit.deferred.bridges import patient
from sennit.deferred.reporting import maker
from sennit.errors import BusyError, ConfigError, NotActiveError
from sennit.reactor.time.clock import call_next_turn, clock_or_loop
from sennit.reactor.time.delayed_call import DelayedCall

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from sennit.reactor.time.clock import Clock

__all__ = ["LoopingCall"]


class _State(enum.Enum):
    IDLE = enum.auto()
    WAITING = enum.auto()
    CALLING = enum.auto()
    STOPPING = enum.auto()


class LoopingCall:
    """Calls a function at a steady beat.

    A function that returns a Deferred, a coroutine or a future is waited for before it is called
    again.

    Attributes:
        clock: Whose time counts; `None` is the running loop. Read by `start`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            function: What to call.
            args: For the function.
            clock: Whose time counts; the running loop by default.
            kwargs: For the function.
        """
        self.clock = clock
        self._function, self._args, self._kwargs = function, args, kwargs
        self._tells_count = False
        self._state = _State.IDLE
        self._interval: float | None = None
        self._calls = self._skipped = 0
        self._beat = 0
        self._call: Any = None
        self._work: Deferred[Any] | None = None
        self._is_cancelled = False

    @classmethod
    def with_count(
        cls,
        function: Callable[..., Any],
        /,
        *args: Any,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> Self:
        """One whose function is told how many beats have passed since its last call.

        1 is the rule; more says that beats were skipped.

        Args:
            function: What to call.
            args: For the function, behind that number.
            clock: Whose time counts; the running loop by default.
            kwargs: For the function.
        """
        looping = cls(function, *args, clock=clock, **kwargs)
        looping._tells_count = True
        return looping

    @property
    def running(self) -> bool:
        """Whether it goes on: started, not stopped, not failed."""
        return self._state in {_State.WAITING, _State.CALLING}

    @property
    def interval(self) -> float | None:
        """Seconds from beat to beat; `None` before the first start."""
        return self._interval

    def statistics(self) -> dict[str, int]:
        """How many calls were made since it exists, and how many beats were skipped."""
        return {"calls": self._calls, "skipped": self._skipped}

    @maker
    def start(self, interval: float, now: bool = True) -> Deferred[Self]:
        """Begin.

        Args:
            interval: Seconds from beat to beat; 0 calls once in each turn of the loop.
            now: Whether the first call is made at once, in here; otherwise it is one interval away.

        Returns:
            Fires with this object when it was stopped, and fails with the first error of the
            function, which ends it too. Cancelling it stops, and cancels what the function has
            begun.

        Raises:
            BusyError: It runs, or was stopped and the last call is not done.
            ConfigError: The interval makes no sense.
            RuntimeError: No loop runs, and there is no clock.
        """
        if self._state is not _State.IDLE:
            raise BusyError(
                "start() of a LoopingCall that is not done: stop() it, wait for its Deferred"
            )
        if not 0 <= interval < math.inf:
            raise ConfigError(f"interval is {interval!r} s, must be 0 or more")
        self._clock = clock_or_loop(self.clock)
        self._interval = interval
        self._is_cancelled = False
        self._started = self._clock.time()
        deferred, self._target = patient(self._give_up)
        if now:
            self._beat = -1
            self._make_call(0)
        else:
            self._beat = 0
            self._wait()
        return deferred

    def stop(self) -> None:
        """Call no more. A call under way is waited for; stopping twice is no error."""
        if self._state is _State.WAITING:
            self._cancel_timer()
            self._finish()
        elif self._state is _State.CALLING:
            self._state = _State.STOPPING

    def reset(self) -> None:
        """Count the beats from now on: the next call is one interval away.

        Raises:
            NotActiveError: It does not run.
        """
        if not self.running:
            raise NotActiveError("reset() of a LoopingCall that does not run: start() it")
        self._started, self._beat = self._clock.time(), 0
        if self._state is _State.WAITING and self._interval:
            self._next = 1
            self._call.reset(self._interval)

    def _give_up(self) -> None:
        self._is_cancelled = True
        if self._state is _State.WAITING:
            self._cancel_timer()
            self._finish()
        else:
            self._state = _State.STOPPING
            if self._work is not None:
                self._work.cancel()

    def _cancel_timer(self) -> None:
        self._call.cancel()
        self._call = None

    def _reached(self, beat: int) -> int:
        """The last beat that has passed, at least a given one: a clock may fire a hair early."""
        passed = (self._clock.time() - self._started) // self._interval if self._interval else 0
        return max(beat, int(passed))

    def _wait(self) -> None:
        self._state = _State.WAITING
        self._next = self._reached(self._beat) + 1
        if self._interval:
            when = self._started + self._next * self._interval
            self._call = DelayedCall(self._clock, when, self._on_time, ())
        else:
            self._call = call_next_turn(self._clock, self._on_time)

    def _on_time(self) -> None:
        self._call = None
        self._make_call(self._reached(self._next))

    def _make_call(self, beat: int) -> None:
        count, self._beat = beat - self._beat, beat
        self._state = _State.CALLING
        self._calls += 1
        self._skipped += count - 1
        args = (count, *self._args) if self._tells_count else self._args
        try:
            self._work = maybe_deferred(self._function, *args, **self._kwargs)
        except BaseException as error:
            self._finish(error)
            if isinstance(error, (SystemExit, KeyboardInterrupt)):
                raise
            return
        if self._is_cancelled:
            self._work.cancel()
        self._work.add_both(self._on_result)

    def _on_result(self, result: Any) -> None:
        self._work = None
        if isinstance(result, Failure):
            self._finish(result)
        elif self._state is _State.STOPPING:
            self._finish()
        else:
            self._wait()

    def _finish(self, error: BaseException | Failure | None = None) -> None:
        self._state = _State.IDLE
        target = self._target()
        del self._target
        if error is None and self._is_cancelled:
            error = asyncio.CancelledError()
        if error is None:
            target.callback(self)
        else:
            target.errback(error)

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", repr(self._function))
        beat = "" if self._interval is None else f" every {self._interval:g} s"
        return f"<sennit.LoopingCall {name}{beat}, {self._state.name.lower()}>"
