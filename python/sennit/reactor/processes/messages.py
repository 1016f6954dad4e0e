"""Messages between a pool and its workers: pickles over a socket, large ones in shared memory.

The laws:

1. A message is one packet of a SOCK_SEQPACKET socket, at most 64 KiB: there is no half a message.
2. What does not fit travels in a memory file (`memory`), whose descriptor goes with the packet:
   the sizes of the buffers, the pickle, then each buffer at a multiple of 64 bytes. One descriptor
   a message, so the kernel's limit of 253 is never met.
3. Buffers that pickle protocol 5 hands out (arrays) are copied once, into the memory file; who
   receives them works on the mapping itself. Large `bytes` are copied in once and out once.
"""

from __future__ import annotations

import errno
import os
import pickle
import socket
import struct
from enum import IntEnum
from typing import Any, NamedTuple

from sennit.errors import TransferError
from sennit.reactor.processes import memory, program

__all__ = ["Kind", "Message", "Outcome", "Parcel", "encode", "receive", "socket_pair", "transmit"]

INLINE = 64 * 1024
"""Bytes that travel in the packet itself, and of a buffer that stays in the pickle: below it,
copying costs less than a memory file. The system's own limit for a packet is about 200 KB."""

_ALIGNMENT = 64
"""What the widest vector instructions like."""

_HEADER = struct.Struct("=BBxxIQQ")
"""Kind, whether __main__ is mentioned, buffers, bytes of the pickle, of the memory file or 0."""

_FRAME = 2 * 64 * 1024
"""The pickler's own pieces are smaller; larger ones are a user's bytes."""

_DESCRIPTOR = struct.Struct("=i")


class Kind(IntEnum):
    """What a message is."""

    SETUP = 1
    CALL = 2
    RESULT = 3
    ERROR = 4


class Outcome(NamedTuple):
    """How a call has failed, as a worker tells it.

    `error` is the pickled exception; empty where it could not be pickled, for the reason `problem`.
    """

    error: bytes
    text: str
    traceback: str
    problem: str


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The pool's end, which does not block, and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    for end in (ours, theirs):
        # Two whole packets fit, the setup and the first call.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * INLINE)
    return ours, theirs


class Parcel:
    """A message that was pickled and is not sent yet."""

    __slots__ = ("buffers", "descriptor", "kind", "mentions_main", "pickled", "pieces", "size")

    def __init__(self, kind: Kind, pieces: list[Any], buffers: list[memoryview]) -> None:
        self.kind = kind
        self.pieces = [memoryview(piece).cast("B") for piece in pieces]
        self.buffers = buffers
        self.descriptor = -1
        self.mentions_main = any(
            program.mentions_main(piece) for piece in self.pieces if len(piece) <= _FRAME
        )
        self.pickled = sum(len(piece) for piece in self.pieces)
        end = 8 * len(buffers) + self.pickled
        for buffer in buffers:
            end = _aligned(end) + len(buffer)
        self.size = end

    @property
    def is_large(self) -> bool:
        """Whether it needs a memory file."""
        return self.size > INLINE

    def fill(self) -> None:
        """Make the memory file with everything; closed when it was sent, or with the object."""
        sizes = memoryview(struct.pack(f"={len(self.buffers)}Q", *map(len, self.buffers)))
        parts, end = [], 0
        for piece in (sizes, *self.pieces):
            parts.append((end, piece))
            end += len(piece)
        for buffer in self.buffers:
            end = _aligned(end)
            parts.append((end, buffer))
            end += len(buffer)
        self.descriptor = memory.fill(parts, self.size)

    def close(self) -> None:
        """Give the memory file back."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    __del__ = close


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


class _Pieces:
    """A file for the pickler that keeps what it is given: large objects are not copied."""

    __slots__ = ("pieces", "write")

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.write = self.pieces.append


def encode(kind: Kind, value: object, max_size: int) -> Parcel:
    """Pickle a value.

    Raises:
        TransferError: The message is larger than `max_size`.
        Exception: The value cannot be pickled.
    """
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:
            # It has gaps: the pickler knows how to copy it.
            return True
        if len(raw) < INLINE:
            return True
        buffers.append(raw)
        return False

    file = _Pieces()
    pickle.Pickler(file, 5, buffer_callback=keep).dump(value)
    parcel = Parcel(kind, file.pieces, buffers)
    if parcel.size > max_size:
        raise TransferError(
            f"it is {parcel.size:,} bytes, limit {max_size:,} (max_message_size): send less, "
            "or raise the limit of the ProcessPool"
        )
    return parcel


def transmit(end: socket.socket, parcel: Parcel) -> None:
    """Send a message; its memory file is made if it is not there yet."""
    kind, count, pickled = parcel.kind, len(parcel.buffers), parcel.pickled
    if not parcel.is_large:
        header = _HEADER.pack(kind, parcel.mentions_main, count, pickled, 0)
        end.sendmsg([header, *parcel.pieces])
        return
    if parcel.descriptor < 0:
        parcel.fill()
    header = _HEADER.pack(kind, parcel.mentions_main, count, pickled, parcel.size)
    right = _DESCRIPTOR.pack(parcel.descriptor)
    end.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, right)])
    parcel.close()


class Message:
    """A message that has come and is not looked at yet."""

    __slots__ = ("_body", "_count", "_descriptor", "_pickled", "kind", "mentions_main", "size")

    def __init__(self, packet: bytes, descriptor: int) -> None:
        kind, mentions_main, self._count, self._pickled, memory_size = _HEADER.unpack_from(packet)
        self.kind = Kind(kind)
        self.mentions_main = bool(mentions_main)
        self._body = memoryview(packet)[_HEADER.size :]
        self._descriptor = descriptor
        self.size = memory_size or len(self._body)

    def load(self) -> Any:
        """What was sent. Buffers in it are views of the memory file, private to this process.

        Raises:
            OSError: No descriptor or no address space was free for it.
            Exception: It cannot be unpickled here.
        """
        if self.size == len(self._body):
            return pickle.loads(self._body)  # noqa: S301 - our own process sent it
        if self._descriptor < 0:
            raise OSError(
                errno.EMFILE,
                f"{self.size:,} bytes from another process could not be taken, no descriptor was "
                "free: keep fewer files open, or raise the limit (ulimit -n)",
            )
        try:
            whole = memory.map_privately(self._descriptor, self.size)
        finally:
            self.close()
        begin = 8 * self._count
        sizes = struct.unpack_from(f"={self._count}Q", whole)
        end = begin + self._pickled
        pickled = whole[begin:end]
        buffers = []
        for size in sizes:
            begin = _aligned(end)
            end = begin + size
            buffers.append(whole[begin:end])
        return pickle.loads(pickled, buffers=buffers)  # noqa: S301 - our own process sent it

    def close(self) -> None:
        """Give the memory file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    __del__ = close


def receive(end: socket.socket) -> Message | None:
    """The next message; `None` when the other end is closed.

    Raises:
        BlockingIOError: There is none, and the socket does not block.
    """
    packet, ancillary, _flags, _address = end.recvmsg(
        INLINE + _HEADER.size, socket.CMSG_SPACE(_DESCRIPTOR.size), socket.MSG_CMSG_CLOEXEC
    )
    if not packet:
        return None
    descriptor = -1
    for _level, _type, data in ancillary:
        (descriptor,) = _DESCRIPTOR.unpack_from(data)
    return Message(packet, descriptor)
