"""How good a wire is: a link's settings, and one direction of it at work."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import TYPE_CHECKING

from sennit.errors import ConfigError
from sennit.testing.clock import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "Link"]

SEGMENT = 1460
"""Bytes that are sent, delayed and lost together where a rate or losses are simulated: what fits
into a packet on Ethernet."""

_MIN_TIMEOUT = SECOND // 5
"""Least time after which TCP sends a lost segment again, on Linux."""

_FIRST_TIMEOUT = SECOND
"""Time after which the opening of a connection is sent again (RFC 6298 section 2.1)."""

_MAX_TIMEOUT = 120 * SECOND
"""Most that the time doubles to, on Linux."""

_LEAST_WINDOW = 64 * 1024
_WINDOW = 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """The qualities of a wire, the same for both directions unless `Network.set_link` says else.

    Every connection has a wire of its own: a rate is not shared between connections.

    Attributes:
        latency: Seconds from one end to the other, at least 0. Connecting takes two of them.
        jitter: Seconds, at least 0: each segment or datagram takes up to so much longer. A stream
            keeps its order; datagrams overtake each other.
        loss: Probability in [0, 1) that a segment or datagram is lost. A stream sends it again
            after `0.2 + 2 * latency` seconds, then after twice that time, and so on; a datagram is
            gone.
        duplicate: Probability in [0, 1) that a datagram arrives twice.
        bandwidth: Bytes a second, more than 0; None is without a limit.
        chunk: A stream arrives in pieces of 1 to so many bytes, each read by itself; 1 dribbles.
            None leaves pieces as they were sent.
        window: Bytes that a direction holds before its writer must wait, at least 1. None is
            enough to fill the wire: `2 * bandwidth * (latency + jitter)`, at least 64 KiB; 1 MiB
            where the bandwidth has no limit.

    Example:
        `Link(latency=0.05, jitter=0.01, loss=0.01, bandwidth=1e6)`: a mobile phone.

    Raises:
        ConfigError: A quality is out of its range.
    """

    latency: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    bandwidth: float | None = None
    chunk: int | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        for name in ("latency", "jitter"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} is {value!r}, it must be seconds of at least 0")
        for name in ("loss", "duplicate"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(f"{name} is {value!r}, it must be a probability in [0, 1)")
        if self.bandwidth is not None and not 0 < self.bandwidth < math.inf:
            raise ConfigError(f"bandwidth is {self.bandwidth!r}, it must be bytes/s above 0")
        for name in ("chunk", "window"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name} is {value!r}, it must be an int of at least 1")

    @property
    def window_size(self) -> int:
        """Bytes that a direction holds before its writer must wait."""
        if self.window is not None:
            return self.window
        if self.bandwidth is None:
            return _WINDOW
        return max(_LEAST_WINDOW, math.ceil(2 * self.bandwidth * (self.latency + self.jitter)))


class Line:
    """One direction of a link at work: says when things arrive. All times are nanoseconds."""

    def __init__(self, link: Link, seed: str) -> None:
        self.link = link
        self.lost = 0
        self._random = random.Random(seed)  # noqa: S311 - reproducible, as is the point
        self._latency = round(link.latency * SECOND)
        self._jitter = round(link.jitter * SECOND)
        self._began = self._sent = self._busy_until = self._last = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Cuts what was written into the pieces that travel by themselves."""
        link = self.link
        whole = len(data)
        if link.bandwidth is not None or link.loss:
            whole = SEGMENT
        start = 0
        while start < len(data):
            size = whole if link.chunk is None else self._random.randint(1, link.chunk)
            yield data[start : start + size]
            start += size

    def arrival(self, now: int, size: int) -> int:
        """When a piece of a stream arrives: never before the piece that was sent before it."""
        time = self._sent_by(now, size) + self._trip(self.retransmit_after)
        # One nanosecond apart: whoever reads has read a chunk before the next one comes.
        step = 0 if self.link.chunk is None else 1
        self._last = max(time, self._last + step)
        return self._last

    def opening(self) -> int:
        """How long the opening of a connection takes, this way."""
        return self._trip(_FIRST_TIMEOUT)

    def datagram_arrivals(self, now: int, size: int) -> list[int]:
        """When a datagram arrives: never, once, or twice."""
        link = self.link
        if link.bandwidth is not None:
            waiting = max(0, self._busy_until - now) * link.bandwidth / SECOND
            if waiting > link.window_size:
                self.lost += 1
                return []
        sent = self._sent_by(now, size)
        if self._chance(link.loss):
            self.lost += 1
            return []
        copies = 2 if self._chance(link.duplicate) else 1
        return [sent + self._latency + self._shaken() for _ in range(copies)]

    @property
    def retransmit_after(self) -> int:
        """How long a stream waits before it sends a lost segment again."""
        return _MIN_TIMEOUT + 2 * self._latency

    def _sent_by(self, now: int, size: int) -> int:
        """When the last byte is on the wire."""
        if self.link.bandwidth is None:
            return now
        if now > self._busy_until:
            self._began, self._sent = now, 0
        # From the beginning of the burst, so that nothing is rounded twice.
        self._sent += size
        self._busy_until = self._began + math.ceil(self._sent * SECOND / self.link.bandwidth)
        return self._busy_until

    def _trip(self, timeout: int) -> int:
        time = self._latency + self._shaken()
        while self._chance(self.link.loss):
            self.lost += 1
            time += timeout
            timeout = min(2 * timeout, _MAX_TIMEOUT)
        return time

    def _shaken(self) -> int:
        return round(self._random.random() * self._jitter) if self._jitter else 0

    def _chance(self, probability: float) -> bool:
        return bool(probability) and self._random.random() < probability
