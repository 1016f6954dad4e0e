"""Work for other people's executors: threads, processes, clusters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sennit.deferred import Deferred, fail

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable

__all__ = ["defer_to_executor"]


def defer_to_executor(
    executor: concurrent.futures.Executor,
    function: Callable[..., Any],
    /,
    *args: Any,
    **kwargs: Any,
) -> Deferred[Any]:
    """Call a function in an executor.

    Cancelling the Deferred cancels the executor's future; what runs already goes on unheard unless
    the executor can stop it. A future that is cancelled there fails the Deferred with
    `CancelledError`.

    Args:
        executor: Any `concurrent.futures.Executor`.
        function: What it is to call.
        args: For the function.
        kwargs: For the function.
    """
    loop = asyncio.get_running_loop()
    try:
        future = executor.submit(function, *args, **kwargs)
    except Exception as error:  # noqa: BLE001 - it travels
        return fail(error)
    deferred: Deferred[Any] = Deferred(lambda _deferred: future.cancel())

    def fire() -> None:
        # After a cancellation a Deferred lets one result pass unheard.
        if future.cancelled():
            deferred.errback(asyncio.CancelledError())
        elif (error := future.exception()) is not None:
            deferred.errback(error)
        else:
            deferred.callback(future.result())

    def tell(_future: object) -> None:
        try:
            loop.call_soon_threadsafe(fire)
        except RuntimeError:
            # Nobody is left to hear of it.
            if not loop.is_closed():
                raise

    future.add_done_callback(tell)
    return deferred
