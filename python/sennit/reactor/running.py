"""Running, stopping and closing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
import threading
import warnings
import weakref
from asyncio import events
from typing import TYPE_CHECKING, Any, TypeVar

from sennit.reactor.scheduling import Scheduling
from sennit.reactor.threads import ThreadPool, note_running, note_stopped, pool_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator

__all__ = ["Running"]

_T = TypeVar("_T")
_logger = logging.getLogger("asyncio")

_ORIGIN_DEPTH = 10
"""Frames that debug mode remembers of where a coroutine was made; asyncio's number."""


def _stop_when_done(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        error = future.exception()
        if isinstance(error, SystemExit | KeyboardInterrupt):
            # It has left run_forever already; a stop now would end the next run at once.
            return
    future.get_loop().stop()


class Running(Scheduling):
    """`run_forever` and its relatives, asynchronous generators, the default executor."""

    def __init__(self) -> None:
        super().__init__()
        self._asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self._asyncgens_shut_down = False
        self._default_executor: concurrent.futures.ThreadPoolExecutor | None = None
        self._executor_shut_down = False

    def run_forever(self) -> None:
        """Run until `stop` is called.

        Raises:
            RuntimeError: The loop is closed or runs already, another loop runs in this thread,
                or the loop was made before a fork and this is the child.
        """
        self._check_open()
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:  # noqa: SLF001
            raise RuntimeError("Cannot run the event loop while another loop is running")
        hooks = sys.get_asyncgen_hooks()
        depth = sys.get_coroutine_origin_tracking_depth()
        self._thread_id = threading.get_ident()
        try:
            if self.get_debug():
                sys.set_coroutine_origin_tracking_depth(_ORIGIN_DEPTH)
            sys.set_asyncgen_hooks(self._asyncgen_started, self._asyncgen_dropped)
            events._set_running_loop(self)  # noqa: SLF001
            note_running(self)
            self._before_turns()
            try:
                self._run_turns()
            finally:
                self._after_turns()
        finally:
            self._thread_id = None
            note_stopped(self)
            events._set_running_loop(None)  # noqa: SLF001
            sys.set_coroutine_origin_tracking_depth(depth)
            sys.set_asyncgen_hooks(*hooks)

    def _before_turns(self) -> None:
        """Called in the loop's thread before the first turn of a run."""

    def _after_turns(self) -> None:
        """Called in the loop's thread after the last turn of a run."""

    def run_until_complete(self, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T:
        """Run until a future or coroutine is done, and return its result.

        Raises:
            RuntimeError: As `run_forever`, or the loop was stopped before the future was done.
        """
        self._check_open()
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        is_ours = not asyncio.isfuture(future)
        waited: asyncio.Future[_T] = asyncio.ensure_future(future, loop=self)  # type: ignore[arg-type]
        if is_ours:
            # The caller sees the outcome here; a pending task is then no cause for a report.
            waited._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        waited.add_done_callback(_stop_when_done)
        try:
            self.run_forever()
        except BaseException:
            if is_ours and waited.done() and not waited.cancelled():
                waited.exception()  # it is on its way to the caller: not "never retrieved"
            raise
        finally:
            waited.remove_done_callback(_stop_when_done)
        if not waited.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return waited.result()

    def close(self) -> None:
        """Close the loop: drop what is scheduled, close what is connected, stop its threads.

        A function that runs in a thread goes on to its end, and its result is dropped. What waits
        for a thread never runs; its Deferred fails with `ClosedError`.

        Raises:
            RuntimeError: The loop runs.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        threads = self._kept_threads()
        if threads is not None:
            threads._close_in_loop()  # noqa: SLF001 - one room
        self._close_native()
        executor, self._default_executor = self._default_executor, None
        self._executor_shut_down = True
        if executor is not None:
            executor.shutdown(wait=False)

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self.is_closed():
            return
        _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
        if not self.is_running():
            self.close()

    # -- asynchronous generators -------------------------------------------------------------------

    def _asyncgen_started(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self._asyncgens_shut_down:
            warnings.warn(
                f"asynchronous generator {generator!r} was scheduled after "
                "loop.shutdown_asyncgens() call",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
        self._asyncgens.add(generator)

    def _asyncgen_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens.discard(generator)
        if not self.is_closed():
            # The collector may run in any thread.
            closing: Coroutine[Any, Any, Any] = generator.aclose()
            self.call_soon_threadsafe(self.create_task, closing)

    async def shutdown_asyncgens(self) -> None:
        """Close all asynchronous generators that were not run to their end."""
        self._asyncgens_shut_down = True
        generators = list(self._asyncgens)
        self._asyncgens.clear()
        closings = (generator.aclose() for generator in generators)
        results = await asyncio.gather(*closings, return_exceptions=True)
        for generator, result in zip(generators, results, strict=True):
            if isinstance(result, Exception):
                self.call_exception_handler(
                    {
                        "message": "an error occurred during closing of asynchronous generator "
                        f"{generator!r}",
                        "exception": result,
                        "asyncgen": generator,
                    }
                )

    # -- threads -----------------------------------------------------------------------------------

    @property
    def threads(self) -> ThreadPool:
        """The pool of `sennit.defer_to_thread`, made when it is first asked for."""
        return pool_of(self)

    # -- executors ---------------------------------------------------------------------------------

    def run_in_executor(  # type: ignore[override]
        self, executor: concurrent.futures.Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Call a function in an executor, None for the loop's own pool of threads."""
        self._check_open()
        if self.get_debug():
            self._check_call(func, "run_in_executor")
        if executor is None:
            if self._executor_shut_down:
                raise RuntimeError("Executor shutdown has been called")
            if self._default_executor is None:
                self._default_executor = concurrent.futures.ThreadPoolExecutor(
                    thread_name_prefix="sennit"
                )
            executor = self._default_executor
        return asyncio.wrap_future(executor.submit(func, *args), loop=self)

    def set_default_executor(self, executor: concurrent.futures.ThreadPoolExecutor) -> None:  # type: ignore[override]
        """Use another pool of threads for `run_in_executor(None, ...)`."""
        if not isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        self._default_executor = executor

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the loop's own pools of threads to finish.

        Args:
            timeout: Seconds to wait; None waits for ever. A pool that is not done by then is
                reported by a RuntimeWarning and left to finish alone.
        """
        threads = self._kept_threads()
        if threads is not None and not await threads.stop(grace=timeout):
            warnings.warn(
                f"{threads!r} did not finish its work within {timeout} seconds",
                RuntimeWarning,
                stacklevel=2,
            )
        self._executor_shut_down = True
        executor = self._default_executor
        if executor is None:
            return
        done = self.create_future()

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        def wait() -> None:
            try:
                executor.shutdown(wait=True)
            finally:
                if not self.is_closed():
                    self.call_soon_threadsafe(finish)

        thread = threading.Thread(target=wait, name="sennit-executor-shutdown")
        thread.start()
        try:
            async with asyncio.timeout(timeout):
                await done
        except TimeoutError:
            warnings.warn(
                f"The executor did not finish its work within {timeout} seconds",
                RuntimeWarning,
                stacklevel=2,
            )
            executor.shutdown(wait=False)
        else:
            thread.join()
