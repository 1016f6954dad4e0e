"""Waiting in a thread for what a loop does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import weakref
from typing import TYPE_CHECKING, Any

from sennit.deferred import Deferred, Failure, maybe_deferred
from sennit.errors import ClosedError, DeadlineError, WrongThreadError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["blocking_call_from_thread"]


def blocking_call_from_thread(
    reactor: asyncio.AbstractEventLoop,
    function: Callable[..., Any],
    /,
    *args: Any,
    timeout: float | None = None,
    **kwargs: Any,
) -> Any:
    """Have a loop call a function, and wait in this thread for the result.

    Args:
        reactor: The loop; any asyncio loop that runs in another thread.
        function: Called in the loop's thread, in a copy of this thread's context. It may return a
            value, a Deferred, a coroutine or a future, whose result is waited for.
        args: For the function.
        timeout: Seconds to wait; `None`: for ever. What has begun is cancelled then.
        kwargs: For the function.

    Raises:
        WrongThreadError: A loop runs in this thread, and would stand still.
        DeadlineError: There was no result in time.
        ClosedError: The loop was closed before there was a result, or nobody is left who could give
            it.
        BaseException: Whatever the function or its Deferred has failed with.
    """
    if (here := asyncio._get_running_loop()) is not None:  # noqa: SLF001
        raise WrongThreadError(
            f"blocking_call_from_thread() in the thread of {here!r}, which would stand still: "
            "await instead"
        )
    call = _Call(function, args, kwargs)
    outcome = call.outcome
    try:
        reactor.call_soon_threadsafe(call.begin)
    except RuntimeError as error:
        raise ClosedError(f"{reactor!r} is closed") from error
    begun = weakref.ref(call)
    # From now on only the loop and what it has begun hold the call: if they let go of it, nobody
    # will settle it.
    del call
    try:
        return outcome.result(timeout)
    except concurrent.futures.TimeoutError:
        if outcome.done():
            raise
        if (begun_call := begun()) is not None and not reactor.is_closed():
            reactor.call_soon_threadsafe(begun_call.give_up)
        raise DeadlineError(f"there was no result after {timeout:g} s (timeout)") from None
    except concurrent.futures.CancelledError as error:
        raise asyncio.CancelledError(*error.args) from None


class _Call:
    """One call that a thread waits for."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        # Not held: if whoever is to fire it lets go of it, nobody ever will, and the thread is
        # told.
        self._deferred: weakref.ref[Deferred[Any]] | None = None
        self._work: tuple[Any, ...] | None = (function, args, kwargs)

    def begin(self) -> None:
        """In the loop's thread."""
        if self._work is None:
            return
        (function, args, kwargs), self._work = self._work, None
        deferred = maybe_deferred(function, *args, **kwargs)
        self._deferred = weakref.ref(deferred)
        deferred.add_both(self.settle)

    def settle(self, result: Any) -> None:
        """The result, or the Failure."""
        if isinstance(result, Failure):
            self.outcome.set_exception(result.value)
        else:
            self.outcome.set_result(result)

    def give_up(self) -> None:
        """In the loop's thread: nobody waits any more."""
        self._work = None
        deferred = self._deferred() if self._deferred is not None else None
        if deferred is not None:
            deferred.cancel()

    def __del__(self) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(
                ClosedError(
                    "the loop was closed, or has dropped the call, before there was a result"
                )
            )
