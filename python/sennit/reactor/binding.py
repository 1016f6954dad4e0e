"""Binding: sockets at the addresses on which a server is to listen."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sennit.reactor.names import AddressInfo

__all__ = ["bind_all", "bind_path"]


def bind_all(
    addresses: list[AddressInfo], *, reuse_address: bool | None, reuse_port: bool | None
) -> list[socket.socket]:
    """Bound stream sockets, one for each address that is this machine's.

    Args:
        addresses: As `getaddrinfo` gives them; port 0 picks one port for all of them.
        reuse_address: SO_REUSEADDR; None is on.
        reuse_port: SO_REUSEPORT.

    Raises:
        OSError: An address is in use, or none of them is ours.
    """
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


def bind_path(path: str | bytes) -> socket.socket:
    """A bound UNIX socket; a socket that is there already is replaced.

    Raises:
        OSError: The path is in use or cannot be made.
    """
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
