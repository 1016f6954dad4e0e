"""A simulated world for tests: time that jumps, a network in memory, wires as bad as you like.

Nothing of Sennit is faked but the wire and the time: `testing.Reactor` is the reactor, with its
transports and servers, on socket pairs and a clock that is moved when nothing else can happen.
"""

from sennit.errors import DeadlockError
from sennit.testing.entry import connected_pair, run
from sennit.testing.link import Link
from sennit.testing.manual_clock import Clock
from sennit.testing.network import Network
from sennit.testing.reactor import Reactor
from sennit.testing.relay import Connection

__all__ = [
    "Clock",
    "Connection",
    "DeadlockError",
    "Link",
    "Network",
    "Reactor",
    "connected_pair",
    "run",
]
