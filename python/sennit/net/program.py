"""A Service as a whole program: signals, what systemd hears, and an end that waits for nobody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any, Protocol

from sennit.reactor import Reactor, current_reactor

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["CANCEL_TIME", "Program", "names_of", "notify"]

_logger = logging.getLogger("sennit.service")

CANCEL_TIME = 5.0
"""Seconds that something has to end after it was cancelled, also where no grace time is left."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_LAST_TURNS = 10
"""Turns of the loop that tasks get after a second signal, for what stands in their `finally`."""


class _Service(Protocol):
    """What runs as a program: a `Service`."""

    name: str

    async def run_to_end(self) -> None:
        """Start, and wait until it has stopped."""

    def request_stop(self) -> None:
        """Begin to stop."""

    def abort(self) -> None:
        """Stop at once."""


class Program:
    """Runs a service until it has stopped: by itself, or because of signals."""

    def __init__(self, service: _Service) -> None:
        self._service = service
        self._signals = 0
        self._forced_by: signal.Signals | None = None
        self._left: set[asyncio.Task[Any]] = set()

    def run(self) -> None:
        """Run it; returns after its end, raises what made it fail or what signal ended it."""
        runner = asyncio.Runner(loop_factory=Reactor)
        try:
            runner.run(self._main())
        finally:
            if self._left or self._forced_by is not None:
                # A runner waits for every task, and some have shown that they do not end.
                runner.get_loop().close()
            else:
                runner.close()
        if self._forced_by is not None:
            raise SystemExit(128 + self._forced_by)

    async def _main(self) -> None:
        reactor = current_reactor()
        for number in _SIGNALS:
            reactor.add_signal_handler(number, self._signalled, number)
        try:
            await self._service.run_to_end()
        except Exception:
            if self._forced_by is None:
                raise
        finally:
            if self._forced_by is None:
                for number in _SIGNALS:
                    reactor.remove_signal_handler(number)
            await self._end_tasks()

    async def _end_tasks(self) -> None:
        """What the program has started besides its service ends here, or is left behind."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if self._forced_by is not None:
            for _ in range(_LAST_TURNS):
                await asyncio.sleep(0)
        elif tasks:
            await asyncio.wait(tasks, timeout=CANCEL_TIME)
        self._left = {task for task in tasks if not task.done()}
        if self._left:
            _logger.error(
                "%s ends without %s: cancelled, and still running",
                self._service.name,
                names_of(self._left),
            )
        for task in self._left:
            # It has been reported already.
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001

    def _signalled(self, number: signal.Signals) -> None:
        self._signals += 1
        if self._signals == 1:
            _logger.info("%s", number.name)
            self._service.request_stop()
            return
        _logger.warning("%s again: stopping at once", number.name)
        self._forced_by = number
        reactor = current_reactor()
        for each in _SIGNALS:
            # A third one is the kernel's to act upon, whatever keeps us busy.
            reactor.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        self._service.abort()


def names_of(tasks: Collection[asyncio.Task[Any]]) -> str:
    """The names of tasks, for logs."""
    return ", ".join(sorted(task.get_name() for task in tasks))


def notify(message: str) -> None:
    """Tell systemd, if it has started us and listens (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), "\0" + path[1:] if path[0] == "@" else path)
