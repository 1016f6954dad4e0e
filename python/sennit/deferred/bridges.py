"""Ways into a Deferred and out of it: values, functions, coroutines, futures, time."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Protocol

from sennit._native import core
from sennit._native.core import Deferred
from sennit.deferred.failure import Failure
from sennit.deferred.reporting import maker
from sennit.errors import ConfigError, DeadlineError

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Awaitable, Callable

__all__ = ["Clock", "ensure_deferred", "fail", "install", "maybe_deferred", "settle", "succeed"]


class Clock(Protocol):
    """What has `call_later`: a loop, or `sennit.testing.Clock`."""

    def call_later(self, delay: float, callback: Callable[..., Any], /, *args: Any) -> Any:
        """Call a function after some seconds; gives something with `cancel()`."""


_LATER = object()
"""The result of a cancelled Deferred whose work has been told to stop and has not stopped yet."""


@maker
def succeed(value: Any = None) -> Deferred[Any]:
    """A Deferred that has its result already."""
    deferred: Deferred[Any] = Deferred()
    deferred.callback(value)
    return deferred


@maker
def fail(error: BaseException | Failure | None = None) -> Deferred[Any]:
    """A Deferred that has failed already; without an error, with the one being handled."""
    deferred: Deferred[Any] = Deferred()
    deferred.errback(error)
    return deferred


@maker
def maybe_deferred(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Call a function; whatever comes of it is a Deferred.

    Args:
        function: May return a value, a Deferred, a coroutine, a future or a Failure, or raise.
        args: For the function.
        kwargs: For the function.
    """
    try:
        result = function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        return fail(error)
    if isinstance(result, Deferred):
        return result
    if asyncio.iscoroutine(result) or asyncio.isfuture(result):
        return ensure_deferred(result)
    return succeed(result)


@maker
def ensure_deferred(awaitable: Awaitable[Any]) -> Deferred[Any]:
    """A Deferred for a coroutine, which becomes a task, for a future, or for what is one already.

    Raises:
        TypeError: It cannot be awaited.
    """
    if isinstance(awaitable, Deferred):
        return awaitable
    if asyncio.isfuture(awaitable):
        return _from_future(Deferred, awaitable)
    return _from_coroutine(Deferred, awaitable)


def settle(deferred: Deferred[Any], value: Any) -> None:
    """Fire with what may be a Deferred or a Failure itself."""
    if isinstance(value, Deferred):
        value.chain(deferred)
    else:
        deferred.callback(value)


@maker
def patient(
    stop: Callable[[], object], cls: type[Deferred[Any]] = Deferred
) -> tuple[Deferred[Any], Callable[[], Deferred[Any]]]:
    """A Deferred whose work needs a while to stop when it is cancelled.

    Its `cancel()` tells the work to stop and waits for what the work makes of that; a second
    `cancel()` does not wait.

    Args:
        stop: Tells the work to stop.
        cls: The class of the Deferred; it is called with a canceller.

    Returns:
        The Deferred, and a function that gives the one to be fired.
    """
    actual: Deferred[Any] = Deferred()
    target: Deferred[Any]

    def give_up(_deferred: Deferred[Any]) -> None:
        nonlocal target
        target = actual
        deferred.callback(_LATER)
        stop()

    target = deferred = cls(give_up)
    deferred.add_callback(lambda result: actual if result is _LATER else result)
    return deferred, lambda: target


@maker
def _from_future(cls: type[Deferred[Any]], future: Any) -> Deferred[Any]:
    if not asyncio.isfuture(future):
        raise TypeError(f"from_future() takes a future, not {future!r}")
    deferred, target = patient(future.cancel, cls)

    def fire(done: asyncio.Future[Any]) -> None:
        # No error is raised here: its traceback would hold this frame, which holds the Deferred.
        if done.cancelled():
            target().errback(_cancelled_error(done))
        elif (error := done.exception()) is not None:
            target().errback(error)
        else:
            settle(target(), done.result())

    future.add_done_callback(fire)
    return deferred


def _cancelled_error(future: asyncio.Future[Any]) -> BaseException:
    try:
        future.result()
    except asyncio.CancelledError as error:
        return error.with_traceback(None)
    raise AssertionError("it was cancelled")


@maker
def _from_coroutine(cls: type[Deferred[Any]], coroutine: Any) -> Deferred[Any]:
    if not inspect.isawaitable(coroutine):
        raise TypeError(f"a coroutine or something else to await is needed, not {coroutine!r}")
    if not asyncio.iscoroutine(coroutine):
        coroutine = _wait_for(coroutine)
    task = asyncio.get_running_loop().create_task(coroutine)
    return _from_future(cls, task)


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _as_future(deferred: Deferred[Any]) -> asyncio.Future[Any]:
    future = asyncio.get_running_loop().create_future()
    is_over = False

    def fire(result: Any) -> None:
        nonlocal is_over
        is_over = True
        if future.done():
            return
        if not isinstance(result, Failure):
            future.set_result(result)
        elif isinstance(result.value, asyncio.CancelledError):
            future.cancel()
        elif isinstance(result.value, StopIteration):
            # A future refuses it: it would end whoever awaits as if that had returned.
            error = RuntimeError("a Deferred has failed with StopIteration")
            error.__cause__ = result.value
            future.set_exception(error)
        else:
            future.set_exception(result.value)

    def cross(done: asyncio.Future[Any]) -> None:
        if done.cancelled() and not is_over:
            deferred.cancel()

    deferred.add_both(fire)
    future.add_done_callback(cross)
    return future


def _deliver(
    function: Callable[[Deferred[Any]], object],
    deferred: Deferred[Any],
    context: contextvars.Context,
) -> None:
    """Run a done callback; a Deferred that waits again meanwhile is done when it is done again."""
    if deferred.done():
        function(deferred)
    else:
        deferred.add_done_callback(function, context=context)


def _add_timeout(
    deferred: Deferred[Any],
    seconds: float,
    on_timeout: Callable[[Failure, float], Any] | None = None,
    *,
    clock: Clock | None = None,
) -> Deferred[Any]:
    """Cancel after a time.

    Args:
        deferred: What may take too long.
        seconds: How long it may take, 0 or more.
        on_timeout: Called with the Failure and the time; what it returns is the result. Without one
            it is a `DeadlineError`.
        clock: What has `call_later`; the running loop by default.

    Raises:
        ConfigError: The time makes no sense.
    """
    if not seconds >= 0:
        raise ConfigError(f"timeout is {seconds!r} s, must be 0 or more")
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        deferred.cancel()

    timer = (clock or asyncio.get_running_loop()).call_later(seconds, expire)

    def judge(result: Any) -> Any:
        timer.cancel()
        if (
            not expired
            or not isinstance(result, Failure)
            or not result.check(asyncio.CancelledError)
        ):
            return result
        if on_timeout is not None:
            return on_timeout(result, seconds)
        raise DeadlineError(
            f"there was no result after {seconds:g} s (add_timeout)"
        ) from result.value

    return deferred.add_both(judge)


def install() -> None:
    """Tell the native core of these."""
    core.set_deferred_helpers(
        add_timeout=_add_timeout,
        from_coroutine=_from_coroutine,
        from_future=_from_future,
        as_future=_as_future,
        deliver=_deliver,
    )
