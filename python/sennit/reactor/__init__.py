"""The reactor: one thread, one epoll set, and an asyncio event loop in every respect."""

from sennit.reactor.entry import EventLoopPolicy, current_reactor, run
from sennit.reactor.event_loop import Reactor
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
    "Reactor",
    "call_later",
    "cooperate",
    "current_reactor",
    "defer_later",
    "run",
]
