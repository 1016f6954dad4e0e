"""Sennit: the event-driven network engine for Python.

`sennit.run(main())` runs a coroutine on a `Reactor`, which is an asyncio event loop with a native
core. A `Deferred` is a result that is not there yet: callbacks, and something to await.
`sennit.http` serves and fetches over HTTP, `sennit.net` is for network services of one's own.
"""

from sennit.deferred import (
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    Failure,
    ensure_deferred,
    fail,
    first_success,
    gather_results,
    inline_callbacks,
    maybe_deferred,
    race,
    succeed,
)
from sennit.errors import SennitError
from sennit.reactor import (
    CooperativeTask,
    Cooperator,
    DelayedCall,
    EventLoopPolicy,
    LoopingCall,
    ProcessPool,
    Reactor,
    call_later,
    cooperate,
    current_reactor,
    defer_later,
    defer_to_executor,
    defer_to_process,
    run,
)

__all__ = [
    "CooperativeTask",
    "Cooperator",
    "Deferred",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "DelayedCall",
    "EventLoopPolicy",
    "Failure",
    "LoopingCall",
    "ProcessPool",
    "Reactor",
    "SennitError",
    "call_later",
    "cooperate",
    "current_reactor",
    "defer_later",
    "defer_to_executor",
    "defer_to_process",
    "ensure_deferred",
    "fail",
    "first_success",
    "gather_results",
    "inline_callbacks",
    "maybe_deferred",
    "race",
    "run",
    "succeed",
]
