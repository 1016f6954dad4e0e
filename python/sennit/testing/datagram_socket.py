"""What `get_extra_info("socket")` is on a simulated UDP endpoint: its addresses and options."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import Any

__all__ = ["DatagramSocket", "is_broadcast", "is_multicast"]

_BROADCAST = "255.255.255.255"
_JOIN, _LEAVE = "join", "leave"
_CHANGES = {
    (socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP): _JOIN,
    (socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP): _LEAVE,
    (socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP): _JOIN,
    (socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP): _LEAVE,
}
_DEFAULTS = {
    (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL): 1,
    (socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP): 1,
    (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS): 1,
    (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP): 1,
}


def is_multicast(address: str) -> bool:
    """Whether an address is a group's."""
    return ipaddress.ip_address(address).is_multicast


def is_broadcast(address: str) -> bool:
    """Whether an address is everybody's. There are no networks here that had one of their own."""
    return address == _BROADCAST


class DatagramSocket:
    """The face of an endpoint: it has a family, addresses, options, and no descriptor.

    Attributes:
        family: `AF_INET`, or `AF_INET6`, which speaks IPv4 as well if it is bound to everything.
        groups: The multicast groups that were joined.
    """

    type = socket.SOCK_DGRAM
    proto = socket.IPPROTO_UDP

    def __init__(self, family: socket.AddressFamily, own: Any, peer: Any, host: Any) -> None:
        self.family = family
        self.groups: set[str] = set()
        self._names = (own, peer)
        self._host = host
        self._options: dict[tuple[int, int], Any] = dict(_DEFAULTS)

    def fileno(self) -> int:
        """-1: the machine knows nothing of it."""
        return -1

    def getsockname(self) -> Any:
        """Its own address."""
        return self._names[0]

    def getpeername(self) -> Any:
        """The only address that it talks to."""
        if self._names[1] is None:
            raise _error(errno.ENOTCONN)
        return self._names[1]

    def getsockopt(self, level: int, name: int) -> Any:
        """What was set; 0 where nothing was."""
        return self._options.get((level, name), 0)

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        """Set an option. Groups, their reach and broadcast mean something here.

        Raises:
            OSError: The group is none, or no interface has the address.
        """
        change = _CHANGES.get((level, name))
        if change is None:
            self._options[level, name] = value
            return
        size = 4 if level == socket.IPPROTO_IP else 16
        group = str(ipaddress.ip_address(bytes(value[:size])))
        if not is_multicast(group):
            raise _error(errno.EINVAL)
        if size == 4:
            local = str(ipaddress.ip_address(bytes(value[4:8])))
            mine = {"0.0.0.0", "127.0.0.1", *self._host.addresses.values()}  # noqa: S104 - simulated
            if local not in mine:
                raise _error(errno.ENODEV)
        elif struct.unpack("@I", value[16:20])[0] > 1:
            raise _error(errno.ENODEV)  # there is one interface, beside "whichever"
        if (change == _JOIN) == (group in self.groups):
            raise _error(errno.EADDRINUSE if change == _JOIN else errno.EADDRNOTAVAIL)
        (self.groups.add if change == _JOIN else self.groups.discard)(group)

    def may_broadcast(self) -> bool:
        """Whether SO_BROADCAST is set."""
        return bool(self.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))

    def reach(self, group: str) -> tuple[int, bool]:
        """How many routers a datagram to a group may pass, and whether its own host hears it."""
        if ":" in group:
            level, names = (
                socket.IPPROTO_IPV6,
                (
                    socket.IPV6_MULTICAST_HOPS,
                    socket.IPV6_MULTICAST_LOOP,
                ),
            )
        else:
            level, names = socket.IPPROTO_IP, (socket.IP_MULTICAST_TTL, socket.IP_MULTICAST_LOOP)
        return int(self.getsockopt(level, names[0])), bool(self.getsockopt(level, names[1]))


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
