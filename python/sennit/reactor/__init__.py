"""The reactor: one thread, one epoll set, and an asyncio event loop in every respect."""

from sennit.reactor.entry import EventLoopPolicy, current_reactor, run
from sennit.reactor.event_loop import Reactor
from sennit.reactor.executors import defer_to_executor
from sennit.reactor.processes import ProcessPool, defer_to_process
from sennit.reactor.time import (
    CooperativeTask,
    Cooperator,
    DelayedCall,
    LoopingCall,
    call_later,
    cooperate,
    defer_later,
)

__all__ = [
    "CooperativeTask",
    "Cooperator",
    "DelayedCall",
    "EventLoopPolicy",
    "LoopingCall",
    "ProcessPool",
    "Reactor",
    "call_later",
    "cooperate",
    "current_reactor",
    "defer_later",
    "defer_to_executor",
    "defer_to_process",
    "run",
]
