"""The reactor: one thread, one epoll set, and an asyncio event loop in every respect."""

from sennit.reactor.entry import EventLoopPolicy, current_reactor, run
from sennit.reactor.event_loop import Reactor
from sennit.reactor.executors import defer_to_executor
from sennit.reactor.processes import ProcessPool, defer_to_process

__all__ = [
    "EventLoopPolicy",
    "ProcessPool",
    "Reactor",
    "current_reactor",
    "defer_to_executor",
    "defer_to_process",
    "run",
]
