"""Functions in other processes: on other cores, beside the loop, and it lives on if they crash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sennit.deferred import Deferred, fail
from sennit.reactor.processes.pool import ProcessPool, abort_pools
from sennit.reactor.processes.states import PoolState

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PoolState", "ProcessPool", "defer_to_process", "end_with_loop"]

_pools: dict[asyncio.AbstractEventLoop, ProcessPool] = {}
"""The pool of each loop that has used one."""


def defer_to_process(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Call a function in a process of the loop's own pool, which has one for each core.

    The pool is made by the first call and ends with the loop: what then still runs is terminated.
    `ProcessPool.defer` says how calls travel, and how they fail. A pool of one's own has its own
    size and limits, and an orderly stop.

    Args:
        function: Found in its module under its own name.
        args: For the function.
        kwargs: For the function.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError as error:
        return fail(error)
    pool = _pools.get(loop)
    if pool is None:
        _forget_closed()
        pool = _pools[loop] = ProcessPool(name="default")
    return pool.defer(function, *args, **kwargs)


def end_with_loop(loop: asyncio.AbstractEventLoop) -> None:
    """End the pools of a loop that is about to be closed, or is."""
    _pools.pop(loop, None)
    abort_pools(loop)


def _forget_closed() -> None:
    # A loop that was closed without a word to its asynchronous generators has told nobody.
    for loop in [loop for loop in list(_pools) if loop.is_closed()]:
        end_with_loop(loop)
