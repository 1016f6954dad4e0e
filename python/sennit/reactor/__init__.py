"""The reactor: one thread, one epoll set, and an asyncio event loop in every respect."""

from sennit.reactor.blocking import blocking_call_from_thread
from sennit.reactor.entry import EventLoopPolicy, current_reactor, run
from sennit.reactor.event_loop import Reactor
from sennit.reactor.executors import defer_to_executor
from sennit.reactor.files import File, open_file, read_file, write_file
from sennit.reactor.processes import ProcessPool, defer_to_process
from sennit.reactor.shared_lock import SharedLock
from sennit.reactor.shared_queue import SharedQueue
from sennit.reactor.threads import ThreadPool, call_from_thread, call_in_thread, defer_to_thread
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
    "File",
    "LoopingCall",
    "ProcessPool",
    "Reactor",
    "SharedLock",
    "SharedQueue",
    "ThreadPool",
    "blocking_call_from_thread",
    "call_from_thread",
    "call_in_thread",
    "call_later",
    "cooperate",
    "current_reactor",
    "defer_later",
    "defer_to_executor",
    "defer_to_process",
    "defer_to_thread",
    "open_file",
    "read_file",
    "run",
    "write_file",
]
