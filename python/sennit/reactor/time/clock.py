"""What time is asked of: a loop, or a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from sennit.deferred import bridges
from sennit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "call_next_turn", "check_seconds", "clock_or_loop"]


class Clock(bridges.Clock, Protocol):
    """What has `call_later` and `time`: a loop, or `sennit.testing.Clock`.

    Where it has `call_at` and `call_soon` too, as a loop has, they are used.
    """

    def time(self) -> float:
        """The time in seconds, from any beginning."""


def clock_or_loop(clock: Clock | None) -> Clock:
    """The clock that was given, or the running loop.

    Raises:
        RuntimeError: There is neither.
    """
    return asyncio.get_running_loop() if clock is None else clock


def call_next_turn(clock: Clock, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in the loop's next turn; gives something with `cancel()`.

    Not by a timer of no time: a simulated clock would never get beyond that.
    """
    call_soon = getattr(clock, "call_soon", None)
    if call_soon is None:
        return clock.call_later(0, function, *args)
    return call_soon(function, *args)


def check_seconds(name: str, seconds: float) -> None:
    """Let no time pass that is not a number, or negative.

    Raises:
        ConfigError: It is one of these.
    """
    if not seconds >= 0:
        raise ConfigError(f"{name} is {seconds!r} s, must be 0 or more")
