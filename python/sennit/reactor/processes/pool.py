"""A pool of worker processes: a bounded queue in front, one call at a time for each worker.

The laws:

1. A call is run once or not at all. One that was given to a worker is never given to another.
2. A worker is started when a call waits and none is idle, up to `size`; so one that has died is
   replaced when there is work for it.
3. A pool belongs to the loop of its first call and ends with it at the latest.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

from sennit.deferred import Deferred, Failure, fail
from sennit.errors import (
    ClosedError,
    ConfigError,
    OverloadedError,
    TransferError,
    WrongThreadError,
)
from sennit.reactor.processes import program
from sennit.reactor.processes.handle import Call, Worker
from sennit.reactor.processes.messages import Kind, Parcel, encode
from sennit.reactor.processes.states import NEXT_OF_POOL, PoolState, WorkerState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import AsyncGeneratorType
    from typing import Self

__all__ = ["ProcessPool", "abort_pools"]

_MAX_WAITING = 1000
"""Calls that may wait by default; `concurrent.futures` has no limit."""

_MAX_MESSAGE_SIZE = 4 * 2**30
"""Bytes of one call or one result by default: what a mistake may cost in memory."""

_GRACE = 30.0
"""Seconds that calls have to end when their pool is stopped; what orchestrators give a program."""

_all_pools: weakref.WeakSet[ProcessPool] = weakref.WeakSet()


class ProcessPool:
    """Processes that run functions beside the loop, on other cores.

    `await pool.defer(function, *args)` calls a function in a worker. `async with ProcessPool(...)`
    stops the pool at the end of the block; without grace if the block has failed.

    A worker is a fresh interpreter (nothing is forked). Functions travel by reference, so they
    stand at the top level of a module. Arguments are pickled when a worker takes the call, so
    nobody may change them before its end. Context variables do not travel. Arrays arrive as
    private memory: writable, and nobody else sees what is written.

    Attributes:
        size: How many processes there are at most.
        max_waiting: How many calls may wait for one.
        max_calls: After how many calls a worker is replaced; 0: never.
        max_message_size: Bytes that the arguments of a call, or its result, may have.
        name: What messages call the pool.
        state: A `PoolState`.
    """

    def __init__(
        self,
        size: int | None = None,
        *,
        max_waiting: int = _MAX_WAITING,
        max_calls: int = 0,
        max_message_size: int = _MAX_MESSAGE_SIZE,
        name: str = "processes",
    ) -> None:
        """Make a pool; its first call starts the first process.

        Args:
            size: How many processes, 1 or more; by default one for each core.
            max_waiting: Calls that may wait, 0 or more.
            max_calls: Calls after which a worker is replaced, and what they leak with it; 0: never.
            max_message_size: Bytes, 65,536 or more.
            name: For messages.

        Raises:
            ConfigError: A number makes no sense.
        """
        size = (os.cpu_count() or 1) if size is None else size
        for word, value, least in (
            ("size", size, 1),
            ("max_waiting", max_waiting, 0),
            ("max_calls", max_calls, 0),
            ("max_message_size", max_message_size, 65_536),
        ):
            if value < least:
                raise ConfigError(f"{word} is {value!r}, must be {least:,} or more")
        self.size, self.max_waiting, self.max_calls = size, max_waiting, max_calls
        self.max_message_size, self.name = max_message_size, name
        self.state = PoolState.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lifeline = (-1, -1)
        self._workers: set[Worker] = set()
        self._idle: dict[Worker, None] = {}
        self._waiting: OrderedDict[Call, None] = OrderedDict()
        self._running: set[Call] = set()
        self._ended = asyncio.Event()
        self._ending: AsyncGeneratorType[None, None] | None = None
        self._counts = dict.fromkeys(
            ("started", "ended", "succeeded", "failed", "cancelled", "refused"), 0
        )

    # -- calls -----------------------------------------------------------------------------------

    def defer(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Call a function in a worker.

        Cancelling the Deferred takes a call that waits out of the queue, and kills the worker of
        one that runs. The Deferred fails with what the function raises, its traceback as a note,
        or with

        - `TransferError`: something cannot be pickled, or is too large;
        - `ProcessDiedError`: the worker has ended: killed, crashed, out of memory, `sys.exit`;
        - `OverloadedError`: `max_waiting` calls wait already;
        - `ClosedError`: the pool was stopped.

        Args:
            function: Found in its module under its own name.
            args: For the function.
            kwargs: For the function.
        """
        try:
            self._check(asyncio.get_running_loop())
        except Exception as error:  # noqa: BLE001 - it travels
            return fail(error)
        call = Call(function, args, kwargs)
        call.deferred = Deferred(lambda _deferred: self._cancel(call))
        self._waiting[call] = None
        self._dispatch()
        return call.deferred

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.state in {PoolState.DRAINING, PoolState.STOPPED}:
            raise ClosedError(f"the process pool {self.name!r} is {self.state.value}")
        if self.state is PoolState.NEW:
            self._open(loop)
        if loop is not self._loop:
            raise WrongThreadError(
                f"the process pool {self.name!r} belongs to another loop: one pool for each"
            )
        if len(self._waiting) >= self.max_waiting and not self._has_room():
            self._counts["refused"] += 1
            raise OverloadedError(
                f"{len(self._waiting):,} calls wait for a process, limit {self.max_waiting:,} "
                f"(max_waiting of the process pool {self.name!r})"
            )

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        program.check_start()
        self._lifeline = os.pipe()
        self._loop = loop
        self._enter(PoolState.RUNNING)
        _all_pools.add(self)
        # asyncio.Runner and Reactor close what is left of asynchronous generators before the loop:
        # the one hook for its end that every asyncio loop has.
        self._ending = cast("AsyncGeneratorType[None, None]", _until_the_end(self))
        with contextlib.suppress(StopIteration):
            self._ending.__anext__().send(None)

    def _enter(self, state: PoolState) -> None:
        assert state in NEXT_OF_POOL[self.state], (self.state, state)
        self.state = state

    def _has_room(self) -> bool:
        return bool(self._idle) or len(self._workers) < self.size

    def _dispatch(self) -> None:
        while self._waiting and self._has_room():
            call, _ = self._waiting.popitem(last=False)
            try:
                parcel = self._encode(call)
            except TransferError as error:
                self._settle(call, Failure(error))
                continue
            try:
                worker = self._idle.popitem()[0] if self._idle else self._start()
            except OSError as error:
                if not self._workers:
                    self._settle(call, Failure(error))
                    continue
                # Those that are there go on.
                self._put_back(call)
                return
            self._running.add(call)
            worker.run(call, parcel)
        if self.state is PoolState.DRAINING:
            self._drain()

    def _put_back(self, call: Call) -> None:
        self._waiting[call] = None
        self._waiting.move_to_end(call, last=False)

    def _encode(self, call: Call) -> Parcel:
        try:
            return encode(Kind.CALL, (call.function, call.args, call.kwargs), self.max_message_size)
        except Exception as error:
            raise TransferError(
                f"{call.name} and its arguments cannot be sent to a process: {error}; a function "
                "must be found at the top level of its module under its own name"
            ) from error

    def _start(self) -> Worker:
        assert self._loop is not None
        setup = program.describe(self.max_message_size)
        # What the caller has in its context is not to live as long as the worker.
        start = contextvars.Context().run
        worker = start(Worker, self, self._loop, self._lifeline[0], setup)
        self._workers.add(worker)
        self._counts["started"] += 1
        return worker

    def _cancel(self, call: Call) -> None:
        self._counts["cancelled"] += 1
        if call in self._waiting:
            del self._waiting[call]
        else:
            self._running.discard(call)
            if call.worker is not None:
                call.worker.forget_call()
        if self.state is PoolState.DRAINING:
            self._drain()

    def _settle(self, call: Call, result: Any) -> None:
        if isinstance(result, Failure):
            self._counts["failed"] += 1
            call.deferred.errback(result)
        else:
            self._counts["succeeded"] += 1
            call.deferred.callback(result)

    # -- what workers say ------------------------------------------------------------------------

    def call_ended(self, call: Call, result: Any) -> None:
        """A worker has a call's result, or its Failure."""
        if call in self._running:
            self._running.remove(call)
            self._settle(call, result)
        if self.state is PoolState.DRAINING:
            self._drain()

    def worker_leaving(self, worker: Worker, call: Call | None) -> None:
        """A worker will take no more calls, and has not been given this one."""
        self._idle.pop(worker, None)
        if call is not None:
            assert self._loop is not None
            self._running.discard(call)
            self._put_back(call)
            self._loop.call_soon(self._dispatch)

    def worker_idle(self, worker: Worker) -> None:
        """A worker has nothing to do."""
        if self.max_calls and worker.calls >= self.max_calls:
            worker.leave()
            return
        self._idle[worker] = None
        self._dispatch()

    def worker_dead(self, worker: Worker) -> None:
        """A worker's process is gone."""
        self._counts["ended"] += 1
        self._workers.discard(worker)
        self._dispatch()

    # -- the end ---------------------------------------------------------------------------------

    async def stop(self, grace: float = _GRACE) -> None:
        """Take no more calls, let those that are there end, then end the workers.

        Args:
            grace: Seconds for the calls, those that wait included. After them one that waits fails
                with `ClosedError`; a worker that runs one gets SIGTERM, and SIGKILL 5 s later.
        """
        if self.state is PoolState.NEW:
            self._enter(PoolState.STOPPED)
            self._ended.set()
        if self.state is PoolState.STOPPED:
            return
        if self.state is PoolState.RUNNING:
            self._enter(PoolState.DRAINING)
            self._drain()
        assert self._loop is not None
        timer = self._loop.call_later(grace, self._hurry, grace)
        try:
            await self._ended.wait()
        finally:
            timer.cancel()

    def _hurry(self, grace: float) -> None:
        for worker in list(self._workers):
            if worker.state in {WorkerState.PACKING, WorkerState.RUNNING}:
                worker.terminate()
        while self._waiting:
            call, _ = self._waiting.popitem(last=False)
            message = f"the process pool {self.name!r} was stopped before {call.name} had its turn"
            self._settle(call, Failure(ClosedError(f"{message} (grace {grace:g} s)")))
        self._drain()

    def _drain(self) -> None:
        if self.state is not PoolState.DRAINING or self._waiting:
            return
        for worker in list(self._idle):
            worker.leave()
        if not self._workers and not self._running:
            self._finish()

    def _finish(self) -> None:
        self._enter(PoolState.STOPPED)
        self._close_lifeline()
        self._ended.set()
        if self._ending is not None and not self._ending.ag_running:
            with contextlib.suppress(StopIteration, StopAsyncIteration):
                self._ending.aclose().send(None)
        self._ending = None

    def _close_lifeline(self) -> None:
        _all_pools.discard(self)
        for descriptor in self._lifeline:
            os.close(descriptor)

    def _abort(self) -> None:
        """End everything now: the loop is, or will be, closed."""
        workers, self._workers = self._workers, set()
        self._waiting.clear()
        self._running.clear()
        self._idle.clear()
        for worker in workers:
            worker.abort()
        self._finish()

    def _close_after_fork(self) -> None:
        for worker in self._workers:
            worker.close_after_fork()
        self._workers.clear()
        self._idle.clear()
        self._close_lifeline()
        self._enter(PoolState.STOPPED)

    def statistics(self) -> dict[str, int]:
        """How many processes there are and were, and what has become of calls.

        `workers`, of which `idle`; `waiting` and `running` calls; since the beginning: processes
        `started` and `ended`, calls `succeeded`, `failed`, `cancelled`, and `refused` because too
        many waited.
        """
        return {
            "workers": len(self._workers),
            "idle": len(self._idle),
            "waiting": len(self._waiting),
            "running": len(self._running),
            **self._counts,
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_error: object) -> None:
        await self.stop(grace=_GRACE if kind is None else 0)

    def __repr__(self) -> str:
        counts = (
            f"{len(self._workers)} of {self.size} processes, {len(self._waiting)} calls waiting"
        )
        return f"<sennit.ProcessPool {self.name!r} {self.state.value}, {counts}>"


async def _until_the_end(pool: ProcessPool) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await pool.stop(grace=0)


def abort_pools(loop: asyncio.AbstractEventLoop) -> None:
    """End the pools of a loop at once."""
    for pool in list(_all_pools):
        if pool._loop is loop:  # noqa: SLF001 - one file
            pool._abort()  # noqa: SLF001


def _after_fork() -> None:
    for pool in list(_all_pools):
        pool._close_after_fork()  # noqa: SLF001 - one file


os.register_at_fork(after_in_child=_after_fork)
