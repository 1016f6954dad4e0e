"""A Service: the servers and background tasks of one program, with one start and one end."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import inspect
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sennit.errors import BusyError, ConfigError
from sennit.net.listening import listen
from sennit.reactor import current_reactor, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Service", "ServiceState"]

_logger = logging.getLogger("sennit.service")
_F = TypeVar("_F", bound="Callable[[], Any]")

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class ServiceState(enum.Enum):
    """Where a service is in its life."""

    NEW = enum.auto()
    RUNNING = enum.auto()
    DRAINING = enum.auto()
    STOPPED = enum.auto()


class _Closable(Protocol):
    """What a starter returns: a server of `net`, of `http`, or anything else that can close."""

    @property
    def close(self) -> Callable[..., Any]:
        """Ends it, within a grace time in seconds if it takes one."""


class Service:
    """Several servers and background tasks that start and stop as one.

        service = net.Service("chat")
        service.listen(Chat, "tcp://127.0.0.1:8000")
        service.start_with(lambda: http.listen(status, "http://127.0.0.1:8080"))

        @service.background
        async def tick() -> None: ...

        service.run()       # until SIGINT or SIGTERM

    Parts start in the order in which they were added; the service is ready when all listen. It
    stops when it is told to, or when a background task fails. Then all servers stop at once and
    have the grace time together; after them the background tasks are cancelled, the last one first,
    and the functions of `on_stop` are called.

    Args:
        name: For logs.
        grace: Seconds that connections have to end.
    """

    def __init__(self, name: str = "sennit", *, grace: float = 30.0) -> None:
        if not 0 <= grace < 1e9:
            raise ConfigError(f"grace is {grace!r}, it must be seconds of at least 0")
        self.name = name
        self.grace = grace
        self._state = ServiceState.NEW
        self._parts: list[tuple[str, Callable[[], Any]]] = []
        self._on_stop: list[Callable[[], Any]] = []
        self._servers: list[Any] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._failure: BaseException | None = None
        self._told_to_stop: asyncio.Event | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._ready: asyncio.Event | None = None
        self._forced_by: int | None = None

    def __repr__(self) -> str:
        return f"<sennit.net.Service {self.name} {self._state.name}>"

    # -- what it is made of ------------------------------------------------------------------------

    def listen(self, factory: Any, *urls: str, **options: Any) -> None:
        """Serve connections: the arguments of `net.listen`."""
        self._add("server", lambda: listen(factory, *urls, **options))

    def start_with(self, starter: Callable[[], Awaitable[_Closable]]) -> None:
        """Add what a function starts: it returns something with `close()`.

        If its `close` takes a grace time in seconds it gets that.
        """
        self._add("server", starter)

    def background(self, function: _F) -> _F:
        """Add an `async def` function that runs as a task; may be used as a decorator.

        It is cancelled when the service stops. If it raises, the service stops, and `run` raises
        that; if it returns, it has done its work.
        """
        if not inspect.iscoroutinefunction(function):
            raise ConfigError(f"{function!r} is no async def function")
        self._add("task", function)
        return function

    def on_start(self, function: _F) -> _F:
        """Call a function, plain or async, when its turn to start has come."""
        self._add("hook", function)
        return function

    def on_stop(self, function: _F) -> _F:
        """Call a function, plain or async, at the very end; the last one first."""
        self._on_stop.append(function)
        return function

    def _add(self, kind: str, starter: Callable[[], Any]) -> None:
        if self._state is not ServiceState.NEW:
            raise BusyError(f"{self!r} has started; add its parts before")
        self._parts.append((kind, starter))

    # -- its life ----------------------------------------------------------------------------------

    @property
    def state(self) -> ServiceState:
        """Where the service is in its life."""
        return self._state

    @property
    def servers(self) -> tuple[Any, ...]:
        """The servers that run, in the order in which they were added."""
        return tuple(self._servers)

    @property
    def urls(self) -> list[str]:
        """Where the servers listen."""
        return [url for server in self._servers for url in getattr(server, "urls", [])]

    def statistics(self) -> dict[str, Any]:
        """The state, and what each server says of itself."""
        return {
            "state": self._state.name,
            "background_tasks": sum(not task.done() for task in self._tasks),
            "servers": [
                {"urls": getattr(server, "urls", []), **server.statistics()}
                for server in self._servers
                if hasattr(server, "statistics")
            ],
        }

    async def start(self) -> None:
        """Start every part; returns when the service is ready.

        Raises:
            BusyError: It has started before.
            Exception: What the first part that could not start has raised; the others are stopped
                again.
        """
        if self._state is not ServiceState.NEW:
            raise BusyError(f"{self!r} has started before; make another one")
        self._state = ServiceState.RUNNING
        self._told_to_stop = asyncio.Event()
        try:
            for kind, starter in self._parts:
                await self._start_part(kind, starter)
        except BaseException:
            await self.stop(0)
            raise
        _notify("READY=1")
        _logger.info("%s is ready: %s", self.name, ", ".join(self.urls) or "no server")

    async def _start_part(self, kind: str, starter: Callable[[], Any]) -> None:
        if kind == "task":
            task = current_reactor().create_task(starter(), name=f"{self.name}: {starter.__name__}")
            task.add_done_callback(self._task_ended)
            self._tasks.append(task)
            return
        result = starter()
        if inspect.isawaitable(result):
            result = await result
        if kind == "server":
            if not callable(getattr(result, "close", None)):
                raise ConfigError(f"{starter!r} returned {result!r}, which has no close()")
            self._servers.append(result)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        _logger.error("%s failed: the service stops", task.get_name(), exc_info=task.exception())
        self._failure = self._failure or task.exception()
        self.request_stop()

    def request_stop(self) -> None:
        """Make `wait_stopped` stop the service; may be called from any callback of the loop."""
        if self._told_to_stop is not None:
            self._told_to_stop.set()

    async def stop(self, grace: float | None = None) -> None:
        """Stop every part and wait for the end; a second call waits for the first one.

        Args:
            grace: Seconds; None: the service's own.
        """
        if self._state is ServiceState.NEW:
            self._state = ServiceState.STOPPED
        if self._state is ServiceState.STOPPED:
            return
        if self._stopping is None:
            grace = self.grace if grace is None else grace
            self._stopping = current_reactor().create_task(self._stop(grace))
        await asyncio.shield(self._stopping)

    async def _stop(self, grace: float) -> None:
        self._state = ServiceState.DRAINING
        _notify("STOPPING=1")
        _logger.info("%s stops, at most %g s for what is going on", self.name, grace)
        try:
            await asyncio.gather(*(self._close(server, grace) for server in self._servers))
            for task in reversed(self._tasks):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
            for function in reversed(self._on_stop):
                await self._call(function)
        finally:
            self._state = ServiceState.STOPPED
            self.request_stop()
            _logger.info("%s has stopped", self.name)

    async def _close(self, server: Any, grace: float) -> None:
        takes_grace = "grace" in inspect.signature(server.close).parameters
        await self._call(functools.partial(server.close, grace) if takes_grace else server.close)

    async def _call(self, function: Callable[[], Any]) -> None:
        try:
            result = function()
            if inspect.isawaitable(result):
                await result
        except Exception:
            _logger.exception("%s: %r failed", self.name, function)

    async def wait_stopped(self) -> None:
        """Wait until the service is told to stop, stop it, and raise what made it fail."""
        if self._told_to_stop is None:
            raise BusyError(f"{self!r} has not started")
        await self._told_to_stop.wait()
        await self.stop()
        if self._failure is not None:
            raise self._failure

    async def __aenter__(self) -> Service:
        await self.start()
        return self

    async def __aexit__(self, _kind: object, error: object, _traceback: object) -> None:
        await self.stop(None if error is None else 0)

    # -- a whole program ---------------------------------------------------------------------------

    def run(self, *, log_level: int | str | None = logging.INFO) -> None:
        """Run the service as a program, until SIGINT or SIGTERM; a second signal stops it at once.

        Under systemd it says when it is ready (`Type=notify`, sd_notify(3)).

        Args:
            log_level: Logging is set up to standard error with this level, unless the program has
                set it up already; None leaves it alone.

        Raises:
            Exception: What made the service fail.
            SystemExit: With 128 and the signal's number, after a second signal.
        """
        if log_level is not None:
            logging.basicConfig(level=log_level, format=_LOG_FORMAT)
        run(self._run())
        if self._forced_by is not None:
            raise SystemExit(128 + self._forced_by)

    async def _run(self) -> None:
        reactor = current_reactor()
        for number in (signal.SIGINT, signal.SIGTERM):
            reactor.add_signal_handler(number, self._signalled, number)
        try:
            await self.start()
            await self.wait_stopped()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                reactor.remove_signal_handler(number)

    def _signalled(self, number: signal.Signals) -> None:
        if self._told_to_stop is not None and not self._told_to_stop.is_set():
            _logger.info("%s", number.name)
            self.request_stop()
            return
        _logger.warning("%s again: stopping at once", number.name)
        self._forced_by = int(number)
        for server in self._servers:
            abort = getattr(server, "abort", None)
            if abort is not None:
                abort()
            else:
                closing = current_reactor().create_task(self._close(server, 0))
                self._tasks.append(closing)
        for task in self._tasks:
            task.cancel()


def _notify(message: str) -> None:
    """Tell systemd, if it has started us and listens (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), "\0" + path[1:] if path[0] == "@" else path)
