"""Framings: how frames are told apart in a stream of bytes, as protocols and as streams.

    frames = stream.frames(Lines(max_size=1000))        # await frames.receive(), frames.send(...)
    class Chat(FrameProtocol): framing = Lines()        # frame_received(frame), send_frame(frame)

Frames are split natively. Whatever the peer sends, no more is held of a frame than its
`max_size`: a length above it is refused before the body comes, a line at its first byte too many.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sennit._native import core
from sennit.errors import ConfigError

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = [
    "FixedSize",
    "FrameProtocol",
    "Framing",
    "LengthPrefixed",
    "Lines",
    "Netstrings",
]

# 64 KiB: what one peer can make us hold at most (as asyncio's streams).
MAX_SIZE = 64 * 1024
# Beyond this a length is a mistake in the unit; a 32-bit prefix cannot announce more.
LARGEST = 2**32 - 1
LONGEST_ENDING = 16
_WIDTHS = (8, 16, 32)


def _check_size(name: str, size: int, least: int, most: int = LARGEST) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or not least <= size <= most:
        raise ConfigError(f"{name} is {size!r}; it must be {least:,} to {most:,} bytes")


@dataclass(frozen=True, slots=True)
class Lines:
    """Frames with an ending behind each; by default lines.

    A CR before the default ending is part of it, so lines of both kinds are read. A frame that
    holds its ending, or a line that ends with a CR, cannot be sent.

    Args:
        max_size: Bytes of a received frame without its ending, 0 to 4,294,967,295. Default 64 KiB.
        ending: What stands behind each frame, 1 to 16 bytes.

    Raises:
        ConfigError: A size or an ending out of range.
    """

    max_size: int = MAX_SIZE
    ending: bytes = b"\n"
    _native: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_size("max_size", self.max_size, 0)
        if not isinstance(self.ending, bytes) or not 1 <= len(self.ending) <= LONGEST_ENDING:
            raise ConfigError(f"ending is {self.ending!r}; it must be 1 to {LONGEST_ENDING} bytes")
        object.__setattr__(self, "_native", ("lines", self.max_size, self.ending))


@dataclass(frozen=True, slots=True)
class Netstrings:
    """Netstrings: the length in decimal, a colon, the frame, a comma.

    Args:
        max_size: Bytes of a received frame, 0 to 4,294,967,295. Default 64 KiB.

    Raises:
        ConfigError: A size out of range.

    Source: https://cr.yp.to/proto/netstrings.txt
    """

    max_size: int = MAX_SIZE
    _native: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_size("max_size", self.max_size, 0)
        object.__setattr__(self, "_native", ("netstrings", self.max_size))


@dataclass(frozen=True, slots=True)
class LengthPrefixed:
    """Frames behind their length.

    Args:
        bits: How wide the length is: 8, 16 or 32.
        max_size: Bytes of a received frame, 0 to 4,294,967,295. Default 64 KiB, or what the width
            allows.
        byte_order: `"big"`, as most protocols have it, or `"little"`.

    Raises:
        ConfigError: A width, a size or an order that there is not.
    """

    bits: Literal[8, 16, 32] = 32
    max_size: int | None = None
    byte_order: Literal["big", "little"] = "big"
    _native: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.bits not in _WIDTHS:
            raise ConfigError(f"bits is {self.bits!r}; a length has 8, 16 or 32 bits")
        if self.byte_order not in ("big", "little"):
            raise ConfigError(f'byte_order is {self.byte_order!r}; it must be "big" or "little"')
        widest = 2**self.bits - 1
        if self.max_size is None:
            object.__setattr__(self, "max_size", min(MAX_SIZE, widest))
        size = self.max_size or 0
        _check_size("max_size", size, 0, widest)
        object.__setattr__(self, "_native", ("prefixed", size, self.bits, self.byte_order))


@dataclass(frozen=True, slots=True)
class FixedSize:
    """Frames that all have the same size.

    Args:
        size: Bytes of each frame, 1 to 4,294,967,295.

    Raises:
        ConfigError: A size out of range.
    """

    size: int
    _native: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_size("size", self.size, 1)
        object.__setattr__(self, "_native", ("fixed", self.size))


Framing: TypeAlias = Lines | Netstrings | LengthPrefixed | FixedSize


class FrameProtocol(core.FrameProtocol, asyncio.Protocol):
    """A protocol that is called with each frame; a subclass says what to do with it.

    It works over every transport of asyncio's kind, and splits natively over those of a Reactor.
    Override `frame_received(frame)`, and whatever else of asyncio's protocol is wanted; a
    `connection_made` that is overridden calls `super().connection_made(transport)`.

    - `send_frame(frame)` queues a frame.
    - `frame_error(error)` is called with a `RemoteProtocolError` when the peer has broken the
      framing, has passed a limit or has ended within a frame. By default it aborts the
      connection, and over a Reactor's transport `connection_lost` gets the error.
    - `set_framing(framing)` holds from the next frame on, also for what has come already.
    - `pause_reading()` and `resume_reading()` stop and continue the frames, those that have come
      too.
    - `take_buffered()` gives the bytes that were not handed out, for a protocol that takes over.

    After `transport.close()` no frame is handed out any more.

    Args:
        framing: How frames are told apart; the class attribute `framing` if it is not given.

    Attributes:
        framing: The framing with which a protocol of this class begins.
        transport: The transport; `None` before there is one.
        buffered: Bytes that came and were not handed out.
    """

    framing: ClassVar[Framing]

    def __init__(self, framing: Framing | None = None) -> None:
        super().__init__()
        if framing is not None:
            self.set_framing(framing)

    def statistics(self) -> dict[str, int]:
        """Bytes `queued`; over TCP also `bytes_received` and `bytes_sent`, as the kernel has it."""
        counters: dict[str, int] = self.transport.statistics()
        return counters
