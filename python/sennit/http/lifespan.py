"""What runs before a server listens and after it has drained."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from sennit.errors import ConfigError

__all__ = ["Hook", "Hooks", "Lifespan", "check_hook", "hooks_of", "layers_of"]

Hook: TypeAlias = Callable[[], Awaitable[object] | object]
"""A `def` or `async def` function without arguments."""


class Hooks(NamedTuple):
    """What belongs together: one router's hooks, or those of one call of `listen`."""

    startup: Iterable[Hook]
    shutdown: Iterable[Hook]


class _State(enum.Enum):
    NEW = enum.auto()
    STARTED = enum.auto()
    STOPPING = enum.auto()
    STOPPED = enum.auto()


def hooks_of(handler: Any) -> list[Hooks]:
    """The hooks of a handler, also of one that middleware is around."""
    for layer in layers_of(handler):
        found = getattr(layer, "_hooks_below", None)
        if found is not None:
            hooks: list[Hooks] = found()
            return hooks
    return []


def layers_of(handler: Any) -> Iterator[Any]:
    """A handler, and what is inside of it as far as middleware says so (`__wrapped__`)."""
    while handler is not None:
        yield handler
        handler = getattr(handler, "__wrapped__", None)


def check_hook(hook: Hook) -> Hook:
    """The hook.

    Raises:
        ConfigError: It cannot be called.
    """
    if not callable(hook):
        raise ConfigError(f"the hook is {hook!r}, which cannot be called")
    return hook


class Lifespan:
    """Runs hooks: groups in order at the start, the other way round at the end.

    A group is shut down if one of its startup hooks has ended well or it has none, so that nothing
    that was opened stays open; a shutdown hook may find that what it ends was never begun.
    """

    def __init__(self, groups: Iterable[Hooks]) -> None:
        self._groups = [
            Hooks([check_hook(hook) for hook in startup], [check_hook(hook) for hook in shutdown])
            for startup, shutdown in groups
        ]
        self._started: list[Hooks] = []
        self._state = _State.NEW
        self._stopping: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to run."""
        return self._state is _State.STOPPED

    async def start(self) -> None:
        """Run the startup hooks.

        Raises:
            Exception: What a hook has raised, after what was started has been shut down.
        """
        self._state = _State.STARTED
        try:
            for group in self._groups:
                if not group.startup:
                    self._started.append(group)
                for number, hook in enumerate(group.startup):
                    await _run(hook)
                    if number == 0:
                        self._started.append(group)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Run the shutdown hooks once, also if the caller is cancelled meanwhile."""
        if self._stopping is None:
            self.stop_soon()
        if self._stopping is not None:
            await asyncio.shield(self._stopping)

    def stop_soon(self, then: Callable[[], object] | None = None) -> None:
        """Begin to run the shutdown hooks, and call a function when they have run."""
        if not any(group.shutdown for group in self._started):
            self._state = _State.STOPPED
            self._started.clear()
        if self._state is not _State.STOPPED and self._stopping is None:
            self._state = _State.STOPPING
            self._stopping = asyncio.get_running_loop().create_task(self._shut_down())
        if then is not None:
            if self._state is _State.STOPPED or self._stopping is None:
                then()
            else:
                self._stopping.add_done_callback(lambda _: then())

    async def _shut_down(self) -> None:
        try:
            while self._started:
                for hook in reversed(list(self._started.pop().shutdown)):
                    await self._run_last(hook)
        finally:
            self._state = _State.STOPPED

    async def _run_last(self, hook: Hook) -> None:
        try:
            await _run(hook)
        except Exception as error:  # noqa: BLE001 - the others have to run, and it is reported
            loop = asyncio.get_running_loop()
            message = f"exception in the shutdown hook {hook!r}"
            loop.call_exception_handler({"message": message, "exception": error})


async def _run(hook: Hook) -> None:
    result: Any = hook()
    if hasattr(result, "__await__"):
        await result
