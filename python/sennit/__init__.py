"""Sennit: the event-driven network engine for Python.

`sennit.run(main())` runs a coroutine on a `Reactor`, which is an asyncio event loop with a native
core. `sennit.http` serves and fetches over HTTP.
"""

from sennit.errors import SennitError
from sennit.reactor import EventLoopPolicy, Reactor, current_reactor, run

__all__ = ["EventLoopPolicy", "Reactor", "SennitError", "current_reactor", "run"]
