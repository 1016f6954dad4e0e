"""Long work in small steps: iterators take turns, and the loop has its turns between theirs."""

from __future__ import annotations

import asyncio
import contextvars
import enum
import inspect
from collections import deque
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from sennit.deferred import Deferred, Failure, ensure_deferred
from sennit.deferred.reporting import maker
from sennit.errors import ClosedError, ConfigError, NotActiveError
from sennit.reactor.time.clock import call_next_turn, clock_or_loop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sennit.reactor.time.clock import Clock

__all__ = ["CooperativeTask", "Cooperator", "cooperate"]

_END = object()
"""What an iterator that has no more gives here."""


class _State(enum.Enum):
    RUNNING = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()
    STOPPED = enum.auto()


class CooperativeTask:
    """One iterator of a `Cooperator`."""

    @maker
    def __init__(self, cooperator: Cooperator, iterable: Iterable[Any]) -> None:
        """Begin; `cooperate` is the way to make one."""
        self._cooperator = cooperator
        self._iterable = iterable
        self._iterator = iter(iterable)
        self._run = contextvars.copy_context().run
        self._state = _State.RUNNING
        self._pauses = 0
        self._waits_for: Deferred[Any] | None = None
        self._is_stepping = self._is_queued = False
        self._is_ready = True
        self._error: BaseException | Failure | None = None
        self._observers: list[Deferred[Any]] = []
        # Fails if nobody waits for the work. Then it is reported as any Deferred is: when it dies,
        # with the place that has asked for the work.
        self._unheard: Deferred[Any] = Deferred()

    def pause(self) -> None:
        """Take no step until `resume`. Pauses add up: each needs its own `resume`."""
        self._pauses += 1
        self._is_ready = False

    def resume(self) -> None:
        """Undo one `pause`.

        Raises:
            NotActiveError: There is none to be undone.
        """
        if self._pauses == 0:
            raise NotActiveError("resume() without pause() of a CooperativeTask")
        self._pauses -= 1
        self._go_on()

    def stop(self) -> None:
        """Take no more steps; who waits in `when_done` gets a `ClosedError`.

        A generator is closed, a Deferred that it waits for is cancelled. For a task that is over
        this is no error.
        """
        if self._state is not _State.RUNNING:
            return
        self._state, self._is_ready = _State.STOPPED, False
        waits_for, self._waits_for = self._waits_for, None
        if waits_for is not None:
            waits_for.cancel()
        error = None if self._is_stepping else self._close()
        if error is not None:
            self._finish(_State.FAILED, error)
        else:
            self._finish(_State.STOPPED, ClosedError("the work was stopped before its end"))

    @maker
    def when_done(self) -> Deferred[Any]:
        """Fires with what was given to `cooperate` when that has come to its end.

        It fails with the error of the work, or a `ClosedError` if that was stopped. Each call gives
        another Deferred. Cancelling one gives up waiting; the work goes on.
        """
        if self._unheard.done():
            self._unheard.add_errback(lambda _failure: None)
        deferred: Deferred[Any] = Deferred()
        if self._state is _State.RUNNING:
            self._observers.append(deferred)
        else:
            self._tell(deferred)
        return deferred

    def _tell(self, deferred: Deferred[Any]) -> None:
        if self._error is None:
            deferred.callback(self._iterable)
        else:
            deferred.errback(self._error)

    def _finish(self, state: _State, error: BaseException | Failure | None = None) -> None:
        self._state, self._error, self._is_ready = state, error, False
        self._cooperator._forget(self)  # noqa: SLF001 - one room
        observers, self._observers = self._observers, []
        for deferred in observers:
            self._tell(deferred)
        if state is _State.FAILED and not observers:
            self._unheard.errback(error)

    def _close(self) -> BaseException | None:
        """Let a generator leave its blocks; the error that it has left with."""
        if isinstance(self._iterator, GeneratorType):
            try:
                self._run(self._iterator.close)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
                return error
        return None

    def _go_on(self) -> None:
        if self._state is _State.RUNNING and not self._pauses and self._waits_for is None:
            self._is_ready = True
            self._cooperator._add(self)  # noqa: SLF001 - one room

    def _step(self) -> None:
        self._is_stepping = True
        try:
            yielded = self._run(next, self._iterator, _END)
        except BaseException as error:
            # Without this frame: it holds the task, which holds the error.
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            if self._state is _State.RUNNING:
                self._finish(_State.FAILED, error)
            else:
                self._unheard.errback(error)
            if isinstance(error, (SystemExit, KeyboardInterrupt)):
                raise
            return
        finally:
            self._is_stepping = False
        if yielded is None and self._is_ready:
            return
        if self._state is not _State.RUNNING:
            # It has stopped itself, which a generator at work cannot be closed for.
            if (left_with := self._close()) is not None:
                self._unheard.errback(left_with)
        elif yielded is _END:
            self._finish(_State.DONE)
        elif inspect.isawaitable(yielded):
            self._wait_for(yielded)

    def _wait_for(self, awaitable: Any) -> None:
        try:
            deferred = self._run(ensure_deferred, awaitable)
        except Exception as error:  # noqa: BLE001 - there is no loop to run a coroutine
            self._finish(_State.FAILED, error)
            return
        self._waits_for, self._is_ready = deferred, False
        deferred.add_callbacks(self._on_value, self._on_failure)

    def _on_value(self, value: Any) -> Any:
        self._waits_for = None
        self._go_on()
        return value

    def _on_failure(self, failure: Failure) -> Failure | None:
        if self._state is not _State.RUNNING:
            return failure
        self._waits_for = None
        self._finish(_State.FAILED, self._close() or failure)
        return None

    def __repr__(self) -> str:
        state = self._state.name.lower()
        if self._state is _State.RUNNING and not self._is_ready:
            state = "paused" if self._pauses else "waiting"
        return f"<sennit.CooperativeTask {self._iterable!r} {state}>"


class Cooperator:
    """Lets iterators take steps in turn, and after a while the loop do other things.

    A turn ends when its time is over or its steps are done, whatever comes first. The number of
    steps keeps the loop alive under a clock that stands still while callbacks run, as simulated
    ones do.

    Attributes:
        max_seconds: Seconds that a turn may take; the step that goes beyond is the last one.
        max_steps: Steps that a turn may have.
    """

    def __init__(
        self, *, max_seconds: float = 0.01, max_steps: int = 1000, clock: Clock | None = None
    ) -> None:
        """Make one.

        Args:
            max_seconds: Seconds that a turn may take, more than 0. With the default nobody notices
                that the loop's other work has waited.
            max_steps: Steps that a turn may have, 1 or more. With the default the shortest steps
                make turns of a third of a millisecond, beside which the loop's own cost is small.
            clock: Whose time counts; the running loop by default.

        Raises:
            ConfigError: A limit makes no sense.
        """
        if not max_seconds > 0 or max_steps < 1:
            raise ConfigError(
                f"max_seconds is {max_seconds!r}, must be more than 0; "
                f"max_steps is {max_steps!r}, must be 1 or more"
            )
        self.max_seconds, self.max_steps = max_seconds, max_steps
        self._clock = clock
        self._tasks: set[CooperativeTask] = set()
        self._ready: deque[CooperativeTask] = deque()
        self._scheduled_on: Clock | None = None
        self._turns = self._steps = 0

    @maker
    def cooperate(self, iterator: Iterable[Any]) -> CooperativeTask:
        """Run an iterator to its end in small steps; what it yields is thrown away.

        A Deferred, a coroutine or a future that it yields is waited for, and the error of one fails
        the task. Each step runs in the context variables of now.

        Args:
            iterator: The work; each `yield` of a generator ends a step.

        Raises:
            RuntimeError: No loop runs, and there is no clock.
        """
        clock_or_loop(self._clock)
        task = CooperativeTask(self, iterator)
        self._tasks.add(task)
        self._add(task)
        return task

    def stop(self) -> None:
        """Stop all tasks."""
        for task in list(self._tasks):
            task.stop()

    def statistics(self) -> dict[str, int]:
        """Tasks that are not over, those of them that could take a step, turns and steps so far."""
        ready = sum(task._is_ready for task in self._tasks)  # noqa: SLF001 - one room
        return {
            "tasks": len(self._tasks),
            "ready": ready,
            "turns": self._turns,
            "steps": self._steps,
        }

    def _forget(self, task: CooperativeTask) -> None:
        self._tasks.discard(task)

    def _add(self, task: CooperativeTask) -> None:
        if not task._is_queued:  # noqa: SLF001 - one room
            task._is_queued = True  # noqa: SLF001 - one room
            self._ready.append(task)
        self._schedule(clock_or_loop(self._clock))

    def _schedule(self, clock: Clock) -> None:
        if self._scheduled_on is clock:
            return
        self._scheduled_on = clock
        call_next_turn(clock, self._take_turn, clock)

    def _take_turn(self, clock: Clock) -> None:
        self._turns += 1
        end = clock.time() + self.max_seconds
        ready = self._ready
        try:
            for _ in range(self.max_steps):
                if not ready:
                    break
                task = ready.popleft()
                task._is_queued = False  # noqa: SLF001 - one room
                if not task._is_ready:  # noqa: SLF001 - one room
                    continue
                self._steps += 1
                task._step()  # noqa: SLF001 - one room
                if task._is_ready and not task._is_queued:  # noqa: SLF001 - one room
                    task._is_queued = True  # noqa: SLF001 - one room
                    ready.append(task)
                if clock.time() >= end:
                    break
        finally:
            self._scheduled_on = None
            if ready:
                self._schedule(clock)

    def __repr__(self) -> str:
        return f"<sennit.Cooperator {len(self._tasks)} tasks>"


_ATTRIBUTE = "_sennit_cooperator"


@maker
def cooperate(iterator: Iterable[Any]) -> CooperativeTask:
    """Run an iterator to its end in small steps, beside all else that the running loop does.

    As `Cooperator.cooperate` of a Cooperator that the loop has for everybody.

    Args:
        iterator: The work; each `yield` of a generator ends a step.

    Raises:
        RuntimeError: No loop runs.
    """
    loop = asyncio.get_running_loop()
    cooperator: Cooperator | None = getattr(loop, _ATTRIBUTE, None)
    if cooperator is None:
        cooperator = Cooperator(clock=loop)
        # With the loop, not in a table of ours: they go together.
        setattr(loop, _ATTRIBUTE, cooperator)
    return cooperator.cooperate(iterator)
