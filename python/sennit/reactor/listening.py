"""Listening sockets: bound to every address of a name, and to paths."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sennit.reactor.names import AddressInfo

__all__ = [
    "FULL_BACKLOG",
    "bind_all",
    "bind_path",
    "check_stream",
    "listen",
    "prepare",
]

FULL_BACKLOG = 65_535
"""Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`. asyncio's
100 makes a burst of more connections than that wait a second for the next try."""


def check_stream(sock: socket.socket) -> socket.socket:
    """Refuse a socket that carries no stream."""
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")
    return sock


def prepare(sock: socket.socket, *, keep_alive: bool | None) -> None:
    """Options that accepted sockets inherit."""
    sock.setblocking(False)
    if sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def bind_all(
    addresses: list[AddressInfo], *, reuse_address: bool | None, reuse_port: bool | None
) -> list[socket.socket]:
    """Sockets bound to all of the addresses that this machine has; at least one."""
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for family, kind, proto, _, address in addresses:
            try:
                sock = socket.socket(family, kind, proto)
            except OSError:
                # The kernel does not know the family; another address may do.
                continue
            stack.callback(sock.close)
            if reuse_address or reuse_address is None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # IPv4 has a socket of its own, on the same port.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if _bind(sock, address, sockets):
                sockets.append(sock)
            else:
                sock.close()
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, f"none of {addresses!r} can be bound here")
        stack.pop_all()
    return sockets


def _bind(sock: socket.socket, address: Any, others: list[socket.socket]) -> bool:
    if address[1] == 0 and others:
        # "Any free port" means one port for all addresses.
        address = (address[0], others[0].getsockname()[1], *address[2:])
    try:
        sock.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return False
        raise OSError(
            error.errno,
            f"error while attempting to bind on address {address!r}: {str(error.strerror).lower()}",
        ) from error
    return True


def listen(sock: socket.socket, backlog: int) -> None:
    """Listen; an error names the address."""
    try:
        sock.listen(backlog)
    except OSError as error:
        # Two sockets may be bound to one port; only one of them may listen.
        reason = str(error.strerror).lower()
        message = f"error while attempting to listen on address {sock.getsockname()!r}: {reason}"
        raise OSError(error.errno, message) from error


def bind_path(path: str | bytes) -> socket.socket:
    """A UNIX socket at a path; a socket that was left there is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path[:1] not in {"", "\0", b"", b"\0"}:
            # Left behind by a server that is gone, or a mistake: only sockets are removed.
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116 - str and bytes alike
                    os.remove(path)  # noqa: PTH107 - as above
        sock.bind(path)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from error
        raise
    except BaseException:
        sock.close()
        raise
    return sock
