"""Server-sent events: an answer that goes on for as long as there is something to tell.

Source: the HTML standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from sennit.errors import ConfigError, LocalProtocolError
from sennit.http.message import Response

__all__ = ["Event", "EventStream"]

HEARTBEAT = 15.0
"""Seconds; proxies often cut connections that are silent for 30 or 60."""


class Event(NamedTuple):
    """One event."""

    data: str
    """May have several lines."""
    event: str | None = None
    """Its type; None: `message`."""
    id: str | None = None
    """What a browser that reconnects sends as `last-event-id`."""
    retry: float | None = None
    """Seconds that a browser waits before it reconnects, from now on."""

    def encode(self) -> str:
        """The lines of the event.

        Raises:
            LocalProtocolError: Type or id has a line break, or the id a zero character.
        """
        lines = []
        for name, value in (("event", self.event), ("id", self.id)):
            if value is None:
                continue
            if any(character in value for character in "\r\n\0"):
                raise LocalProtocolError(f"{name} is {value!r}; it may have no CR, LF or NUL")
            lines.append(f"{name}: {value}\n")
        if self.retry is not None:
            lines.append(f"retry: {round(self.retry * 1000)}\n")
        # CR alone ends a line as well; str.splitlines would also split at others, which do not.
        text = self.data.replace("\r\n", "\n").replace("\r", "\n")
        lines += [f"data: {line}\n" for line in text.split("\n")]
        return "".join((*lines, "\n"))


Events: TypeAlias = AsyncIterable[Event | str]


class EventStream(Response):
    """An answer of `text/event-stream`.

    Args:
        events: Gives events, or `str` for their data alone. It is closed when the client goes.
        heartbeat: Seconds of silence after which a comment is sent, so that nobody between the two
            ends takes the connection for dead, and a client that is gone is noticed. None: never.
        headers: More fields.

    Raises:
        ConfigError: The heartbeat is no number of seconds above 0.
    """

    def __new__(  # noqa: D102 - the class says it
        cls,
        events: Events,
        *,
        heartbeat: float | None = HEARTBEAT,
        headers: Mapping[str, str] | None = None,
    ) -> EventStream:
        _check_heartbeat(heartbeat)
        fields = {"cache-control": "no-store", "x-accel-buffering": "no"} | dict(headers or {})
        pieces = _pieces(aiter(events), heartbeat)
        return super().__new__(cls, pieces, headers=fields, content_type="text/event-stream")


def _check_heartbeat(heartbeat: float | None) -> None:
    if heartbeat is None:
        return
    is_number = isinstance(heartbeat, int | float) and not isinstance(heartbeat, bool)
    # Not a number is not above 0 either.
    if not is_number or not 0 < heartbeat < math.inf:
        raise ConfigError(
            f"heartbeat is {heartbeat!r}, it must be a number of seconds above 0, or None for never"
        )


async def _pieces(
    events: AsyncIterator[Event | str], heartbeat: float | None
) -> AsyncIterator[str]:
    # The head leaves now: a browser waits for it before it takes the stream for open.
    yield ""
    coming: asyncio.Task[Any] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait((coming,), timeout=heartbeat)
            if not done:
                yield ":\n\n"
                continue
            event, coming = coming.result(), None
            if event is None:
                return
            yield (Event(event) if isinstance(event, str) else event).encode()
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait((coming,))
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


async def _next(events: AsyncIterator[Event | str]) -> Event | str | None:
    return await anext(events, None)
