"""The reactor: one thread, one epoll set, and an asyncio event loop in every respect."""

from sennit.reactor.blocking import blocking_call_from_thread
from sennit.reactor.entry import EventLoopPolicy, current_reactor, run
from sennit.reactor.event_loop import Reactor
from sennit.reactor.files import File, open_file, read_file, write_file
from sennit.reactor.shared_lock import SharedLock
from sennit.reactor.shared_queue import SharedQueue
from sennit.reactor.threads import ThreadPool, call_from_thread, call_in_thread, defer_to_thread

__all__ = [
    "EventLoopPolicy",
    "File",
    "Reactor",
    "SharedLock",
    "SharedQueue",
    "ThreadPool",
    "blocking_call_from_thread",
    "call_from_thread",
    "call_in_thread",
    "current_reactor",
    "defer_to_thread",
    "open_file",
    "read_file",
    "run",
    "write_file",
]
