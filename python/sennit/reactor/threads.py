"""Threads beside the loop: pools whose threads run functions, and ways back into the loop."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from sennit._native import core
from sennit._native.core import call_in_thread, defer_to_thread
from sennit.errors import ClosedError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["ThreadPool", "call_from_thread", "call_in_thread", "defer_to_thread"]

_T = TypeVar("_T")
_log = logging.getLogger("sennit.threads")

_SIZE = min(32, (os.cpu_count() or 1) + 4)
"""Threads of a pool: the number of `concurrent.futures.ThreadPoolExecutor`."""

_MAX_WAITING = 10_000
"""Calls that may wait. One that waits takes half a kilobyte; what comes faster than a pool works is
refused before it takes the memory."""

_GRACE = 10.0
"""Seconds that `stop` waits; the same as `http.serve` and `net.Service` have."""

_pools: weakref.WeakSet[ThreadPool] = weakref.WeakSet()
"""All pools: at the interpreter's end their threads are sent home."""


_running: set[asyncio.AbstractEventLoop] = set()
"""The reactors that run in this process."""


class ThreadPool(core.ThreadPool):
    """Threads that run functions, and a bounded queue of calls that wait for one.

    Every `Reactor` has one, `reactor.threads`, which `defer_to_thread` uses and which is stopped
    when the reactor is closed. One of one's own keeps work apart that would take all threads of
    that one. Threads are started when they are needed, up to the size, and stay; they are
    `threading.Thread`s with the pool's name and a number.

    `async with ThreadPool(...) as pool:` stops it in the end, and lets everything finish that it
    was given.

    Attributes:
        name: What its threads' names begin with.
    """

    def __init__(
        self, size: int | None = None, *, max_waiting: int = _MAX_WAITING, name: str = "sennit"
    ) -> None:
        """Make one; no thread is started yet.

        Args:
            size: Threads it may have, 1 or more; `None`: four more than there are cores, 32 at
                most.
            max_waiting: Calls that may wait for a thread, 0 or more; more are refused with
                `OverloadedError`.
            name: What its threads' names begin with.

        Raises:
            ConfigError: A number makes no sense.
        """
        self.name = name
        self._size, self._max_waiting = _SIZE, _MAX_WAITING
        self._members: set[threading.Thread] = set()
        self._numbers: set[int] = set()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._has_dropped = False
        self._change(_SIZE if size is None else size, max_waiting)
        _pools.add(self)

    def _change(self, size: int, max_waiting: int) -> None:
        if size < 1 or max_waiting < 0:
            raise ConfigError(
                f"size is {size!r}, must be 1 or more; "
                f"max_waiting is {max_waiting!r}, must be 0 or more"
            )
        self._size, self._max_waiting = size, max_waiting
        self._set_limits(size, max_waiting)

    @property
    def size(self) -> int:
        """Threads it may have. A smaller one takes effect as threads finish what they do."""
        return self._size

    @size.setter
    def size(self, size: int) -> None:
        self._change(size, self._max_waiting)

    @property
    def max_waiting(self) -> int:
        """Calls that may wait for a thread."""
        return self._max_waiting

    @max_waiting.setter
    def max_waiting(self, max_waiting: int) -> None:
        self._change(self._size, max_waiting)

    @property
    def state(self) -> str:
        """`NEW`, `RUNNING`, `DRAINING`, `STOPPED`; after a fork `FOREIGN` in the child."""
        return self._state()

    async def stop(self, *, grace: float | None = _GRACE, finish_waiting: bool = True) -> bool:
        """Take no more calls, and wait for those that it was given.

        What has begun is never interrupted: a thread cannot be. What still waits at the end of the
        grace time fails with `ClosedError` and never runs.

        Args:
            grace: Seconds to wait; `None`: for ever.
            finish_waiting: Run what waits; else it fails at once.

        Returns:
            Whether all threads have ended. Those that have not will end after the call that they
            are at, and its result still comes, as long as the loop is there.
        """
        if finish_waiting:
            self._drain()
        else:
            self._halt(self._closed_error, False)
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        self._waiters.append((loop, ended))
        # The last thread looks after it has left, so one of the two sees the other.
        if not self._members:
            return True
        try:
            async with asyncio.timeout(grace):
                await ended
        except TimeoutError:
            self._halt(self._closed_error, False)
            return False
        return True

    def close(self) -> None:
        """Take no more calls, and wait for none: what waits fails with `ClosedError`."""
        self._halt(self._closed_error, False)

    def _close_in_loop(self) -> None:
        """As `close`, in the thread of a loop that will not run again: its Deferreds fail now."""
        self._halt(self._closed_error, True)

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"the pool of threads {self.name!r} was stopped before the call began")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop(grace=None)

    def __repr__(self) -> str:
        state = self._state()
        if state == "FOREIGN":
            return f"<sennit.ThreadPool {self.name!r} of the parent process>"
        counts = self.statistics()
        return (
            f"<sennit.ThreadPool {self.name!r} {state}: {counts['running']} running, "
            f"{counts['waiting']} waiting, {counts['threads']} of {counts['size']} threads>"
        )

    # -- called by the native core -----------------------------------------------------------------

    def _start_thread(self) -> None:
        number = next(
            number for number in range(len(self._numbers) + 1) if number not in self._numbers
        )
        thread = _Worker(self, number)
        self._numbers.add(number)
        self._members.add(thread)
        try:
            thread.start()
        except BaseException:
            self._forget(thread)
            raise

    def _thread_ended(self) -> None:
        thread = threading.current_thread()
        assert isinstance(thread, _Worker)
        self._forget(thread)
        if self._members:
            return
        waiters, self._waiters = self._waiters, []
        for loop, ended in waiters:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish, ended)

    def _forget(self, thread: _Worker) -> None:
        self._members.discard(thread)
        self._numbers.discard(thread.number)

    def _result_dropped(self, function: object) -> None:
        if not self._has_dropped:
            self._has_dropped = True
            _log.warning(
                "the result of %r in thread %s is dropped: its loop is closed (said once)",
                function,
                threading.current_thread().name,
            )


class _Worker(threading.Thread):
    """A thread of a pool; no daemon: the interpreter waits for what runs, as with executors."""

    def __init__(self, pool: ThreadPool, number: int) -> None:
        super().__init__(target=pool._work, name=f"{pool.name}-{number}", daemon=False)  # noqa: SLF001
        self.number = number


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# -- the pool of a loop ----------------------------------------------------------------------------

_shared: ThreadPool | None = None
"""The pool of all loops that are no Reactor: nobody tells us when they end."""


def pool_of(loop: asyncio.AbstractEventLoop) -> ThreadPool:
    """The pool of a loop, made if there is none yet."""
    global _shared  # noqa: PLW0603 - one for the process
    if isinstance(loop, core.Loop):
        kept: ThreadPool | None = loop._kept_threads()  # noqa: SLF001 - the reactor's own room
        if kept is None:
            if loop.is_closed():
                raise ClosedError("the reactor is closed, and its pool of threads with it")
            kept = ThreadPool()
            loop._keep_threads(kept)  # noqa: SLF001
        return kept
    if _shared is None or _shared.state not in {"NEW", "RUNNING"}:
        _shared = ThreadPool()
    return _shared


def _end_threads() -> None:
    for pool in list(_pools):
        pool._drain()  # noqa: SLF001 - one file


core.set_pool_helper(pool_of)
os.register_at_fork(after_in_child=_running.clear)
# Before the interpreter joins its threads and long before it ends: no thread asks for the GIL
# afterwards.
threading._register_atexit(_end_threads)  # type: ignore[attr-defined]  # noqa: SLF001


# -- back into the loop ----------------------------------------------------------------------------


def call_from_thread(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
    """Have the loop call a function soon, from any thread.

    In a function that `defer_to_thread` runs it is the loop which that came from; in a thread where
    a loop runs it is that one; elsewhere, the one Reactor that runs in this process. Use
    `reactor.call_soon_threadsafe(function)` where there are several.

    Args:
        function: Called in the loop's thread, in a copy of this thread's context. What it raises
            goes to the loop's exception handler.
        args: For the function.
        kwargs: For the function.

    Raises:
        RuntimeError: It is not clear which loop is meant, or that loop is closed.
    """
    loop = core.calling_loop() or asyncio._get_running_loop() or _only_loop()  # noqa: SLF001
    if kwargs:
        function = functools.partial(function, **kwargs)
    loop.call_soon_threadsafe(function, *args)


def note_running(loop: asyncio.AbstractEventLoop) -> None:
    """A reactor begins to run."""
    _running.add(loop)


def note_stopped(loop: asyncio.AbstractEventLoop) -> None:
    """A reactor runs no more."""
    _running.discard(loop)


def _only_loop() -> asyncio.AbstractEventLoop:
    running = list(_running)
    if len(running) == 1:
        return running[0]
    raise RuntimeError(
        f"call_from_thread() in a thread that no loop has called, and {len(running)} reactors run: "
        "use reactor.call_soon_threadsafe(function)"
    )
