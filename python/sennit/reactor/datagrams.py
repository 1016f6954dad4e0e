"""Datagrams: UDP and UNIX sockets become datagram transports."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING, Any, TypeVar

from sennit.reactor.upgrading import Upgrading

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["RECEIVE_BUFFER", "Datagrams", "set_buffer"]

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes that the kernel keeps for a bound socket: 208 KiB, the default, hold some 256 of a burst.
It is a limit, not an allocation."""

_FORCED = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}
"""SO_SNDBUFFORCE and SO_RCVBUFFORCE of asm-generic/socket.h; the `socket` module names neither."""

_P = TypeVar("_P", bound="asyncio.BaseProtocol")
_Address = tuple[Any, ...] | str | None


class Datagrams(Upgrading):
    """`create_datagram_endpoint`."""

    async def create_datagram_endpoint(  # type: ignore[override]  # noqa: PLR0913 - asyncio's
        self,
        protocol_factory: Callable[[], _P],
        local_addr: tuple[str, int] | str | None = None,
        remote_addr: tuple[str, int] | str | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[asyncio.DatagramTransport, _P]:
        """Open a datagram socket; the protocol gets what comes.

        Args:
            protocol_factory: Makes the protocol.
            local_addr: Host and port to bind to, for UNIX a path; None: where the system likes.
            remote_addr: The only address to talk to; None: any.
            family: `AF_INET`, `AF_INET6` or `AF_UNIX`; by default as the addresses say.
            proto: For `socket.getaddrinfo`.
            flags: For `socket.getaddrinfo`.
            reuse_port: SO_REUSEPORT: several sockets share the port.
            allow_broadcast: SO_BROADCAST.
            sock: A socket of one's own instead of all of that.

        Raises:
            OSError: No address could be found, bound or connected.
            ValueError: The arguments contradict each other.
        """
        if sock is not None:
            given = {
                "local_addr": local_addr,
                "remote_addr": remote_addr,
                "family": family,
                "proto": proto,
                "flags": flags,
                "reuse_port": reuse_port,
                "allow_broadcast": allow_broadcast,
            }
            return self._datagrams_over(sock, protocol_factory, _only_socket(sock, given))
        pairs = await self._datagram_addresses(local_addr, remote_addr, family, proto, flags)
        errors: list[OSError] = []
        for number, ends in pairs:
            try:
                sock = await self._datagram_socket(
                    (number, proto), ends, bool(reuse_port), bool(allow_broadcast)
                )
            except OSError as error:
                errors.append(error)
            else:
                return self._datagrams_over(sock, protocol_factory, ends[1])
        raise errors[0]

    async def _datagram_socket(
        self,
        kind: tuple[int, int],
        ends: tuple[Any, Any],
        reuse_port: bool,
        allow_broadcast: bool,
    ) -> socket.socket:
        family, proto = kind
        local, remote = ends
        sock = socket.socket(family, socket.SOCK_DGRAM, proto)
        try:
            sock.setblocking(False)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if allow_broadcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if local is not None:
                sock.bind(local)
                set_buffer(sock, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if remote is not None:
                await self._connect(sock, remote)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _datagrams_everywhere(
        self,
        factory: Callable[[], _P],
        port: int,
        *,
        reuse_port: bool = False,
        allow_broadcast: bool = False,
    ) -> tuple[asyncio.DatagramTransport, _P]:
        """A socket on every address of both families; those of IPv4 are written as IPv4's.

        Raises:
            OSError: The port is in use.
        """
        sock = _dual_socket()
        if sock is None:
            at = ("0.0.0.0", port)  # noqa: S104 - what was asked for
            return await self.create_datagram_endpoint(
                factory, at, reuse_port=reuse_port, allow_broadcast=allow_broadcast
            )
        try:
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if allow_broadcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind(("::", port))
            set_buffer(sock, socket.SO_RCVBUF, RECEIVE_BUFFER)
        except BaseException:
            sock.close()
            raise
        return self._datagrams_over(sock, factory, None, is_dual=True)

    def _datagrams_over(
        self,
        sock: socket.socket,
        factory: Callable[[], _P],
        remote: Any,
        *,
        is_dual: bool = False,
    ) -> tuple[asyncio.DatagramTransport, _P]:
        """A transport takes the socket over; the socket object itself is detached."""
        sock.setblocking(False)
        protocol = factory()
        transport = self._make_datagrams(sock.detach(), protocol, remote, is_dual)
        return transport, protocol

    async def _datagram_addresses(
        self, local: _Address, remote: _Address, family: int, proto: int, flags: int
    ) -> list[tuple[int, tuple[Any, Any]]]:
        """(family, (local, remote)) of each way to open the socket."""
        if local is None and remote is None:
            if family == 0:
                raise ValueError("unexpected address family")
            return [(family, (None, None))]
        if family == socket.AF_UNIX:
            if not all(isinstance(end, str | None) for end in (local, remote)):
                raise TypeError("string is expected")
            _remove_old_socket(local)
            return [(family, (local, remote))]
        found: list[dict[tuple[int, int], Any]] = []
        for end in (local, remote):
            if end is None:
                continue
            if not (isinstance(end, tuple) and len(end) == 2):
                raise TypeError("2-tuple is expected")
            infos = await self.getaddrinfo(
                *end, family=family, type=socket.SOCK_DGRAM, proto=proto, flags=flags
            )
            found.append({(info[0], info[2]): info[4] for info in reversed(infos)})
        pairs = [
            (key[0], (address if local else None, found[-1][key] if remote else None))
            for key, address in reversed(found[0].items())
            if key in found[-1]
        ]
        if not pairs:
            raise ValueError("can not get address information")
        return pairs


def set_buffer(sock: Any, kind: int, size: int) -> None:
    """Set SO_RCVBUF or SO_SNDBUF: root may pass `net.core.rmem_max`, others get as much as that."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _FORCED[kind], size)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, kind, size)


def _dual_socket() -> socket.socket | None:
    """A socket of IPv6 that speaks IPv4 as well; None on a machine without IPv6."""
    try:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError:
        return None
    try:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        sock.close()
        return None
    return sock


def _only_socket(sock: socket.socket, given: dict[str, Any]) -> Any:
    """The peer of a socket that was given, which is all that may be given then."""
    if sock.type == socket.SOCK_STREAM:
        raise ValueError(f"A datagram socket was expected, got {sock!r}")
    others = ", ".join(f"{name}={value}" for name, value in given.items() if value)
    if others:
        raise ValueError(
            f"socket modifier keyword arguments can not be used when sock is specified. ({others})"
        )
    try:
        return sock.getpeername()
    except OSError:
        return None


def _remove_old_socket(path: Any) -> None:
    """Left behind by a socket that is gone: only sockets are removed."""
    if path and path[0] not in {0, "\0"}:
        try:
            if stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116 - a path as it was given
                os.remove(path)  # noqa: PTH107 - as above
        except FileNotFoundError:
            pass
