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
    EventLoopPolicy,
    File,
    Reactor,
    SharedLock,
    SharedQueue,
    ThreadPool,
    blocking_call_from_thread,
    call_from_thread,
    call_in_thread,
    current_reactor,
    defer_to_thread,
    open_file,
    read_file,
    run,
    write_file,
)

__all__ = [
    "Deferred",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "EventLoopPolicy",
    "Failure",
    "File",
    "Reactor",
    "SennitError",
    "SharedLock",
    "SharedQueue",
    "ThreadPool",
    "blocking_call_from_thread",
    "call_from_thread",
    "call_in_thread",
    "current_reactor",
    "defer_to_thread",
    "ensure_deferred",
    "fail",
    "first_success",
    "gather_results",
    "inline_callbacks",
    "maybe_deferred",
    "open_file",
    "race",
    "read_file",
    "run",
    "succeed",
    "write_file",
]
