"""Reconnecting: a connection that comes back, after a time that grows."""

from __future__ import annotations

import asyncio
import enum
import logging
import random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sennit.errors import BusyError, ClosedError, ConfigError, SennitError
from sennit.net.connecting import connect_settings, open_connection
from sennit.net.stream import Stream
from sennit.reactor import current_reactor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

__all__ = ["Reconnector", "ReconnectorState"]

_P = TypeVar("_P", bound=asyncio.BaseProtocol)
_logger = logging.getLogger("sennit.net")


class ReconnectorState(enum.Enum):
    """Where a Reconnector is in its life."""

    NEW = enum.auto()
    CONNECTING = enum.auto()
    CONNECTED = enum.auto()
    WAITING = enum.auto()
    STOPPED = enum.auto()


class Reconnector(Generic[_P]):
    """One connection that is opened again whenever it is lost.

    With streams, one connection for each round of the loop; leaving the round closes it:

        async for stream in net.Reconnector("tcp://127.0.0.1:8000"):
            with contextlib.suppress(ConnectionError):
                await talk(stream)

    With a protocol, in the background:

        async with net.Reconnector("tcp://127.0.0.1:8000", Ticker) as reconnector:
            protocol = await reconnector.wait_connected()

    Args:
        url: As for `net.connect`.
        protocol: Makes a protocol for each connection; None: streams.
        first_delay: Seconds before the second attempt; each further one waits `factor` times
            longer.
        max_delay: Seconds that it waits at most.
        factor: At least 1.
        jitter: Share of the delay that chance takes away, 0 to 1, so that the clients of a server
            that comes back do not all come at once.
        max_attempts: Attempts in a row that may fail before it gives up; None: never.
        stable_after: Seconds that a connection has to last before the next delay is `first_delay`
            again: a server that accepts and hangs up is not hammered.
        **options: As for `net.connect`.

    Raises:
        ConfigError: A setting makes no sense.
    """

    def __init__(  # noqa: PLR0913 - each is a number with a name
        self,
        url: str,
        protocol: Callable[[], _P] | None = None,
        *,
        first_delay: float = 0.1,
        max_delay: float = 60.0,
        factor: float = 2.0,
        jitter: float = 0.5,
        max_attempts: int | None = None,
        stable_after: float = 5.0,
        **options: Any,
    ) -> None:
        connect_settings(url, options)
        if not 0 < first_delay <= max_delay:
            raise ConfigError(f"first_delay ({first_delay!r}) must be above 0, up to max_delay")
        if not 1 <= factor < 1e3 or not 0 <= jitter <= 1:
            raise ConfigError(f"factor is {factor!r} (at least 1), jitter is {jitter!r} (0 to 1)")
        if max_attempts is not None and max_attempts < 1:
            raise ConfigError(f"max_attempts is {max_attempts!r}, it must be at least 1")
        self._url = url
        self._protocol = protocol
        self._delays = (first_delay, max_delay, factor, jitter)
        self._max_attempts = max_attempts
        self._stable_after = stable_after
        self._options = options
        self._state = ReconnectorState.NEW
        self._delay = first_delay
        self._failures = 0
        self._counters = {"attempts": 0, "connections": 0, "failures": 0}
        self._current: Any = None
        # What is under way besides the program: a step of the loop's, or all of it.
        self._task: asyncio.Task[Any] | None = None
        self._changed: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"<sennit.net.Reconnector {self._state.name} {self._url}>"

    @property
    def state(self) -> ReconnectorState:
        """Where it is in its life."""
        return self._state

    @property
    def protocol(self) -> _P | None:
        """What is connected now, if anything is."""
        current: _P | None = self._current
        return current

    def statistics(self) -> dict[str, float]:
        """Attempts, connections and failures so far, and the next delay in seconds."""
        return {**self._counters, "next_delay": self._delay}

    # -- one connection after the other ------------------------------------------------------------

    async def _connect(self) -> tuple[Any, Any]:
        """Try until there is a connection.

        Raises:
            SennitError: `max_attempts` in a row have failed.
        """
        reactor = current_reactor()
        while True:
            self._set(ReconnectorState.CONNECTING)
            self._counters["attempts"] += 1
            make: Callable[[], Any] = self._protocol or Stream
            try:
                connected = await open_connection(reactor, self._url, make, self._options)
            except ConfigError:
                raise
            except SennitError as error:
                self._counters["failures"] += 1
                self._failures += 1
                if self._max_attempts is not None and self._failures >= self._max_attempts:
                    error.add_note(f"gave up after {self._failures} attempts (max_attempts)")
                    raise
                _logger.info("%s; trying again in about %.3g s", error, self._delay)
                await self._wait()
            else:
                self._failures = 0
                self._counters["connections"] += 1
                return connected

    async def _wait(self) -> None:
        first, most, factor, jitter = self._delays
        del first
        self._set(ReconnectorState.WAITING)
        # Chance that nobody has to be unable to guess.
        await asyncio.sleep(self._delay * (1 - jitter * random.random()))  # noqa: S311
        self._delay = min(self._delay * factor, most)

    async def _again(self, began: float) -> tuple[Any, Any]:
        """What comes after the end of a connection: a delay, and the next one."""
        self._current = None
        if current_reactor().time() - began >= self._stable_after:
            self._delay = self._delays[0]
        await self._wait()
        return await self._connect()

    async def __aiter__(self) -> AsyncIterator[Stream]:
        if self._protocol is not None:
            raise ConfigError("a Reconnector with a protocol is used by `async with`")
        if self._state is not ReconnectorState.NEW:
            raise BusyError(f"{self!r} is in use; make another one")
        reactor = current_reactor()
        step = self._connect()
        try:
            while (connected := await self._until_closed(step)) is not None:
                transport, stream = connected
                began = reactor.time()
                self._current = stream
                self._set(ReconnectorState.CONNECTED)
                try:
                    yield stream
                finally:
                    transport.close()
                if self.state is ReconnectorState.STOPPED:
                    return
                step = self._again(began)
        finally:
            self._current = None
            self._set(ReconnectorState.STOPPED)

    async def _until_closed(self, step: Coroutine[Any, Any, Any]) -> Any:
        """What a step comes to, or None if `close` has ended it."""
        self._task = task = current_reactor().create_task(step)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(_forget)
            raise
        if self._state is ReconnectorState.STOPPED:
            _forget(task)
            return None
        return task.result()

    # -- in the background -------------------------------------------------------------------------

    async def __aenter__(self) -> Reconnector[_P]:
        if self._state is not ReconnectorState.NEW:
            raise BusyError(f"{self!r} is in use; make another one")
        if self._protocol is None:
            raise ConfigError("a Reconnector without a protocol is used by `async for`")
        self._task = current_reactor().create_task(self._keep())
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop, and close the connection after what is written.

        A loop over streams ends with the round that it is in, in which the stream is closed.
        """
        self._set(ReconnectorState.STOPPED)
        if self._protocol is None and self._current is not None:
            self._current.close()
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        # A task that was cancelled before its first step has not said so itself.
        self._set(ReconnectorState.STOPPED)
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and not isinstance(error, SennitError):
            raise error

    async def _keep(self) -> None:
        reactor = current_reactor()
        step = self._connect()
        try:
            while True:
                transport, protocol = await step
                lost = reactor.create_future()
                transport._when_lost(  # noqa: SLF001 - the native transport's seam for this
                    lambda _reason, lost=lost: lost.done() or lost.set_result(None)
                )
                began = reactor.time()
                self._current = protocol
                self._set(ReconnectorState.CONNECTED)
                try:
                    await lost
                finally:
                    transport.close()
                step = self._again(began)
        finally:
            self._current = None
            self._set(ReconnectorState.STOPPED)

    async def wait_connected(self) -> _P:
        """Wait for a connection, and return its protocol.

        Raises:
            ClosedError: It was closed.
            SennitError: It has given up (`max_attempts`).
        """
        while self._state is not ReconnectorState.CONNECTED:
            if self._state is ReconnectorState.STOPPED:
                if self._task is not None and self._task.done() and not self._task.cancelled():
                    self._task.result()
                raise ClosedError(f"{self!r} was closed")
            if self._changed is None:
                self._changed = asyncio.Event()
            await self._changed.wait()
        connected: _P = self._current
        return connected

    def _set(self, state: ReconnectorState) -> None:
        self._state = state
        if self._changed is not None:
            self._changed.set()
            self._changed = None


def _forget(task: asyncio.Task[Any]) -> None:
    """Drop what a step has come to that nobody waits for any more."""
    if not task.cancelled() and task.exception() is None:
        transport, _ = task.result()
        transport.abort()
