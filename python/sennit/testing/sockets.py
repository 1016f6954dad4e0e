"""Sockets of a simulated network: UNIX sockets underneath, with the face of what they stand for.

Their names lie in Linux's abstract namespace, which no file and no port is part of, and hold the
simulated addresses. So whoever has a descriptor can say whom it connects, and nothing need be kept
in tables and cleaned up: the client's end is named after both sides, the listening socket after
itself. The accepted end has the client's name as its peer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import os
import socket
import stat
import struct
from typing import Any

__all__ = [
    "Address",
    "LentSocket",
    "Socket",
    "address_tuple",
    "client_name",
    "desk_name",
    "family_of",
    "listener_name",
    "reset",
]

Address = tuple[str, int] | str
"""Host and port, or the path of a UNIX socket; "" is the unnamed end of one."""

_MAGIC = b"\0snt"
_CLIENT, _LISTENER = b"c", b"l"
_HEAD = struct.Struct("4s8sIc")
_MAX_NAME = 107
_INTERNET_LEVELS = (socket.IPPROTO_IP, socket.IPPROTO_TCP, socket.IPPROTO_IPV6)


@dataclasses.dataclass(frozen=True)
class Face:
    """What a socket of a simulated network stands for."""

    family: socket.AddressFamily
    sockname: Any
    peername: Any


def family_of(address: Address) -> socket.AddressFamily:
    """The family that an address belongs to."""
    if isinstance(address, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def address_tuple(address: Address) -> Any:
    """An address as the socket calls write it."""
    if isinstance(address, str):
        return address
    host, port = address
    return (host, port, 0, 0) if ":" in host else (host, port)


def _pack(address: Address) -> bytes:
    if isinstance(address, str):
        return os.fsencode(address)
    return ipaddress.ip_address(address[0]).packed + struct.pack("!H", address[1])


def _unpack(packed: bytes, family: bytes) -> list[Address]:
    if family == b"u":
        return [os.fsdecode(packed)]
    size = 6 if family == b"4" else 18
    parts = [packed[start : start + size] for start in range(0, len(packed), size)]
    return [(str(ipaddress.ip_address(p[:-2])), struct.unpack("!H", p[-2:])[0]) for p in parts]


def _name(kind: bytes, token: bytes, serial: int, *addresses: Address) -> bytes:
    letters = {socket.AF_INET: b"4", socket.AF_INET6: b"6", socket.AF_UNIX: b"u"}
    letter = letters[family_of(addresses[0])]
    name = _HEAD.pack(_MAGIC, token, serial, kind) + letter + b"".join(map(_pack, addresses))
    if len(name) > _MAX_NAME:
        limit = _MAX_NAME - _HEAD.size - 1
        raise OSError(errno.ENAMETOOLONG, f"path is too long, limit {limit} bytes: {addresses[0]}")
    return name


def client_name(token: bytes, serial: int, local: Address, remote: Address) -> bytes:
    """The name of the end that has connected. That of a UNIX client is its server's path alone."""
    addresses = (remote,) if isinstance(remote, str) else (local, remote)
    return _name(_CLIENT, token, serial, *addresses)


def listener_name(token: bytes, serial: int, address: Address) -> bytes:
    """The name of a listening socket."""
    return _name(_LISTENER, token, serial, address)


def desk_name(token: bytes, serial: int) -> bytes:
    """The name of a relay's end."""
    return _HEAD.pack(_MAGIC, token, serial, b"d")


def _read(name: Any, kind: bytes) -> list[Address]:
    """The addresses in a name of a kind; none in other people's names."""
    if not isinstance(name, bytes) or len(name) <= _HEAD.size or name[:4] != _MAGIC:
        return []
    if _HEAD.unpack_from(name)[3] != kind:
        return []
    addresses = _unpack(name[_HEAD.size + 1 :], name[_HEAD.size : _HEAD.size + 1])
    return ["", *addresses] if isinstance(addresses[0], str) and kind == _CLIENT else addresses


class Socket(socket.socket):
    """A stream socket of a simulated network."""

    __slots__ = ()

    def __init__(self, fileno: int | None = None) -> None:
        if fileno is None:
            super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            super().__init__(fileno=fileno)

    def face(self) -> Face | None:
        """What it stands for; None if it is no socket of a simulated network."""
        with contextlib.suppress(OSError):
            own = super().getsockname()
            if listening := _read(own, _LISTENER):
                peer = self._peer_name()
                if both := _read(peer, _CLIENT):
                    return _face(both[1], both[0])
                return _face(listening[0], None)
            if both := _read(own, _CLIENT):
                return _face(both[0], both[1])
        return None

    def _peer_name(self) -> Any:
        try:
            return super().getpeername()
        except OSError:
            return None

    @property
    def family(self) -> socket.AddressFamily:
        """The family that is simulated."""
        face = self.face() if self.fileno() >= 0 else None
        return socket.AF_UNIX if face is None else face.family

    def getsockname(self) -> Any:
        """The simulated address on this side."""
        face = self.face()
        return super().getsockname() if face is None else face.sockname

    def getpeername(self) -> Any:
        """The simulated address on the other side."""
        face = self.face()
        if face is None:
            return super().getpeername()
        if face.peername is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return face.peername

    def accept(self) -> tuple[Socket, Any]:
        """Take a connection: its socket, and where it comes from."""
        descriptor, _ = self._accept()  # type: ignore[attr-defined]
        sock = Socket(descriptor)
        sock.setblocking(self.gettimeout() is None)
        face = sock.face()
        return sock, None if face is None else face.peername

    def setsockopt(self, level: int, *arguments: Any) -> None:
        """As of a real socket; what only the internet's protocols know changes nothing."""
        if level not in _INTERNET_LEVELS:
            super().setsockopt(level, *arguments)

    def getsockopt(self, level: int, *arguments: Any) -> Any:
        """As of a real socket; what only the internet's protocols know is 1: it is set."""
        if level in _INTERNET_LEVELS:
            return 1 if len(arguments) == 1 else struct.pack("i", 1)
        return super().getsockopt(level, *arguments)


class LentSocket(Socket):
    """A socket object over a descriptor that somebody else closes."""

    __slots__ = ()

    def __del__(self) -> None:
        self.detach()


def _face(own: Address, peer: Address | None) -> Face:
    other = None if peer is None else address_tuple(peer)
    return Face(family_of(own), address_tuple(own), other)


def reset(sock: socket.socket) -> None:
    """Close one end of a UNIX connection so that the other end is told of a reset.

    Linux does that where something is left unread, so a byte is put there, through the other end,
    which is in this process.
    """
    # By another object: one of `ssl` takes the simulated family for the kernel's.
    with socket.fromfd(sock.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as same:
        ours, theirs = same.getsockname(), same.getpeername()
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        number = int(entry)
        with contextlib.suppress(OSError):
            if number == sock.fileno() or not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.fromfd(number, socket.AF_UNIX, socket.SOCK_STREAM) as other:
                if other.getpeername() == ours and other.getsockname() == theirs:
                    other.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    sock.close()
