"""The reactor: one thread, one epoll set, and an asyncio event loop in every respect."""

from sennit.reactor.entry import EventLoopPolicy, current_reactor, run
from sennit.reactor.event_loop import Reactor

__all__ = ["EventLoopPolicy", "Reactor", "current_reactor", "run"]
