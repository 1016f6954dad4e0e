"""The loop's many methods, put together in one class from one file for each concern.

The chain reads from the bottom: the native core, scheduling, running, signals, executors and
names, serving, connecting, upgrading, datagrams, and what a later version brings.
"""

from __future__ import annotations

import os

from sennit._native import core
from sennit.reactor.datagrams import Datagrams
from sennit.reactor.later import Later
from sennit.reactor.processes import end_with_loop

__all__ = ["Reactor"]

os.register_at_fork(after_in_child=core.note_fork)


class Reactor(Later, Datagrams):
    """A single-threaded reactor; an `asyncio.AbstractEventLoop` with a native core.

    Make one yourself only where a loop is asked for, as in
    `asyncio.Runner(loop_factory=sennit.Reactor)`; `sennit.run` makes and closes its own.
    Several reactors may run at once, each in a thread of its own.
    """

    def close(self) -> None:
        """Close the loop: end its processes, drop what is scheduled, close what is connected.

        Raises:
            RuntimeError: The loop runs.
        """
        if not self.is_running() and not self.is_closed():
            end_with_loop(self)
        super().close()

    def _hold_time(self, change: int) -> None:
        """Told how many more processes work for the loop; a clock that jumps waits for them."""

    def __repr__(self) -> str:
        state = "closed" if self.is_closed() else "running" if self.is_running() else "idle"
        return f"<sennit.Reactor {state} debug={self.get_debug()}>"
