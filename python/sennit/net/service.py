"""A Service: the servers and background tasks of one program, with one start and one end."""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sennit.errors import BusyError, ClosedError, ConfigError, InternalError
from sennit.net.listening import listen
from sennit.net.program import CANCEL_TIME, Program, names_of, notify
from sennit.reactor import current_reactor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

__all__ = ["Service", "ServiceState"]

_logger = logging.getLogger("sennit.service")
_F = TypeVar("_F", bound="Callable[[], Any]")

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class ServiceState(enum.Enum):
    """Where a service is in its life."""

    NEW = enum.auto()
    """Not started, or starting: not everything listens yet."""
    RUNNING = enum.auto()
    """Ready: every part has started."""
    DRAINING = enum.auto()
    """It stops; what is going on may end within the grace time."""
    STOPPED = enum.auto()
    """Nothing of it is left."""


_TRANSITIONS = {
    # A service may be stopped while it starts, and before.
    ServiceState.NEW: {ServiceState.RUNNING, ServiceState.DRAINING, ServiceState.STOPPED},
    ServiceState.RUNNING: {ServiceState.DRAINING},
    ServiceState.DRAINING: {ServiceState.STOPPED},
    ServiceState.STOPPED: set(),
}


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
    stops when it is told to, or when a background task fails, also while it starts. Then all
    servers stop at once and have the grace time together; after them the background tasks are
    cancelled, the last one first, and the functions of `on_stop` are called. What has not ended
    when the grace time is over, and 5 s after it was told to, is named in the log and left behind.

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
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()  # or it will never be ready
        self._stopped = asyncio.Event()

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

        It is cancelled when the service stops. If it raises, the service stops, and `run`,
        `wait_stopped` and the end of `async with` raise that; if it returns, it has done its work.
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
        if self._starting is not None or self._state is not ServiceState.NEW:
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

    def _set(self, state: ServiceState) -> None:
        if state not in _TRANSITIONS[self._state]:
            raise InternalError(f"{self!r} cannot become {state.name}; please report it")
        self._state = state
        if state is ServiceState.RUNNING:
            self._ready.set()
            notify("READY=1")
            _logger.info("%s is ready: %s", self.name, ", ".join(self.urls) or "no server")
        elif state is ServiceState.DRAINING:
            notify("STOPPING=1")
        elif state is ServiceState.STOPPED:
            self._ready.set()
            self._stopped.set()
            _logger.info("%s has stopped", self.name)

    # -- its start ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start every part; returns when the service is ready.

        Raises:
            BusyError: It has started before.
            ClosedError: It was stopped before it was ready.
            Exception: What the first part that could not start has raised; the others are stopped
                again.
        """
        self._begin_start()
        try:
            await self.wait_ready()
        except asyncio.CancelledError:
            await self.stop(0)
            raise

    async def wait_ready(self) -> None:
        """Wait until every part has started.

        Raises:
            ClosedError: It was stopped before it was ready.
            Exception: What kept it from starting.
        """
        await self._ready.wait()
        starting = self._starting
        if starting is None or not starting.done() or starting.cancelled() or starting.exception():
            raise self._failure or ClosedError(f"{self!r} was stopped before it was ready")

    def _begin_start(self) -> None:
        if self._starting is not None or self._state is not ServiceState.NEW:
            raise BusyError(f"{self!r} has started before; make another one")
        reactor = current_reactor()
        self._starting = reactor.create_task(self._start(), name=f"{self.name}: start")
        self._starting.add_done_callback(self._start_ended)

    async def _start(self) -> None:
        for kind, starter in self._parts:
            await self._start_part(kind, starter)
        self._check_wanted()
        self._set(ServiceState.RUNNING)

    def _start_ended(self, starting: asyncio.Task[None]) -> None:
        error = None if starting.cancelled() else starting.exception()
        if self._stopping is None and (error is not None or starting.cancelled()):
            self._failure = self._failure or error
            self.request_stop(0)

    def _check_wanted(self) -> None:
        if self._state is not ServiceState.NEW:
            raise ClosedError(f"{self!r} was stopped before it was ready")

    async def _start_part(self, kind: str, starter: Callable[[], Any]) -> None:
        self._check_wanted()
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
            if self._state is ServiceState.NEW:
                self._servers.append(result)
            else:  # it was told to stop, and this part has not minded its cancellation
                await self._close(result, 0)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        _logger.error("%s failed: the service stops", task.get_name(), exc_info=task.exception())
        self._failure = self._failure or task.exception()
        self.request_stop()

    # -- its end -----------------------------------------------------------------------------------

    def request_stop(self, grace: float | None = None) -> None:
        """Begin to stop, as `stop` does; may be called from any callback of the loop."""
        if self._starting is None:
            if self._state is ServiceState.NEW:
                self._set(ServiceState.STOPPED)
            return
        if self._stopping is None:
            self._set(ServiceState.DRAINING)
            grace = self.grace if grace is None else grace
            reactor = current_reactor()
            self._stopping = reactor.create_task(self._stop(grace), name=f"{self.name}: stop")
            self._stopping.add_done_callback(lambda _: self._set(ServiceState.STOPPED))

    async def stop(self, grace: float | None = None) -> None:
        """Stop every part and wait for the end; a second call waits for the first one.

        Args:
            grace: Seconds; None: the service's own.
        """
        self.request_stop(grace)
        await self._stopped.wait()

    def abort(self) -> None:
        """Stop at once: connections are dropped, tasks cancelled, and nothing is waited for."""
        self.request_stop(0)
        for task in (*self._tasks, self._starting, self._stopping):
            if task is not None:
                task.cancel()
        for server in self._servers:
            abort = getattr(server, "abort", None)
            if abort is not None:
                abort()
            else:
                self._tasks.append(current_reactor().create_task(self._close(server, 0)))

    async def _stop(self, grace: float) -> None:
        _logger.info("%s stops, at most %g s for what is going on", self.name, grace)
        reactor = current_reactor()
        deadline = reactor.time() + grace
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await self._wait([self._starting], deadline)
        closing = [
            reactor.create_task(self._close(server, grace), name=f"{self.name}: {server!r}.close()")
            for server in self._servers
        ]
        await self._wait(closing, deadline)
        for task in reversed(self._tasks):
            task.cancel()
            await self._wait([task], deadline)
        for function in reversed(self._on_stop):
            name = f"{self.name}: {getattr(function, '__name__', function)}"
            await self._wait([reactor.create_task(self._call(function), name=name)], deadline)

    async def _wait(self, tasks: Collection[asyncio.Task[Any]], deadline: float) -> None:
        """Wait for tasks as long as the grace time lasts, and name those that have not ended."""
        if not tasks:
            return
        # What is over just in time still has to be told, and to end.
        seconds = max(deadline - current_reactor().time(), 0) + CANCEL_TIME
        try:
            _, left = await asyncio.wait(tasks, timeout=seconds)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        for task in left:
            task.cancel()
        if left:
            _logger.error("%s stops without %s: still running", self.name, names_of(left))

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
        """Wait until the service has stopped, and raise what made it fail."""
        if self._starting is None:
            raise BusyError(f"{self!r} has not started")
        await self._stopped.wait()
        if self._failure is not None:
            raise self._failure

    async def __aenter__(self) -> Service:
        await self.start()
        return self

    async def __aexit__(self, _kind: object, error: object, _traceback: object) -> None:
        await self.stop(None if error is None else 0)
        if error is None and self._failure is not None:
            raise self._failure

    # -- a whole program ---------------------------------------------------------------------------

    def run(self, *, log_level: int | str | None = logging.INFO) -> None:
        """Run the service as a program, until SIGINT or SIGTERM; a second signal stops it at once.

        A third one ends the process by itself, whatever it is doing. Under systemd the service says
        when it is ready (`Type=notify`, sd_notify(3)).

        Args:
            log_level: Logging is set up to standard error with this level, unless the program has
                set it up already; None leaves it alone.

        Raises:
            Exception: What made the service fail.
            RuntimeError: A loop runs in this thread already.
            SystemExit: With 128 and the signal's number, after a second signal.
        """
        if log_level is not None:
            logging.basicConfig(level=log_level, format=_LOG_FORMAT)
        Program(self).run()

    async def run_to_end(self) -> None:
        """Start, and wait until it has stopped; raises what made it fail."""
        self._begin_start()
        await self.wait_stopped()
