"""A result that is not there yet: chains of callbacks that can also be awaited.

A `Deferred` is what Twisted calls one, and a future in all that asyncio looks at: callbacks run at
once and in their order, `await` works in every coroutine, cancellation crosses both ways.
"""

from sennit._native.core import Deferred
from sennit.deferred import bridges, reporting
from sennit.deferred.bridges import ensure_deferred, fail, maybe_deferred, succeed
from sennit.deferred.combine import DeferredList, first_success, gather_results, race
from sennit.deferred.failure import Failure
from sennit.deferred.generators import inline_callbacks
from sennit.deferred.locks import DeferredLock, DeferredSemaphore
from sennit.deferred.queue import DeferredQueue
from sennit.deferred.reporting import set_debug

__all__ = [
    "Deferred",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "Failure",
    "ensure_deferred",
    "fail",
    "first_success",
    "gather_results",
    "inline_callbacks",
    "maybe_deferred",
    "race",
    "set_debug",
    "succeed",
]

reporting.install()
bridges.install()
