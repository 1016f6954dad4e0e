"""Multicast: what a socket has to say to the kernel to hear a group."""

from __future__ import annotations

import socket
import struct
from typing import Any

from sennit.errors import ConfigError

__all__ = ["change_group", "set_reach"]


def change_group(transport: Any, group: str, local: str | None, *, joins: bool) -> None:
    """Join or leave a multicast group (RFC 1112; RFC 3493, section 5.2).

    Args:
        transport: Of a datagram socket.
        group: The group's address.
        local: Address (IPv4) or name (IPv6) of the interface; None: the system picks one.
        joins: False leaves.

    Raises:
        ConfigError: It is no multicast address, or there is no such interface.
    """
    sock = transport.get_extra_info("socket")
    try:
        if ":" in group:
            index = socket.if_nametoindex(local) if local else 0
            value = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
            name = socket.IPV6_JOIN_GROUP if joins else socket.IPV6_LEAVE_GROUP
            sock.setsockopt(socket.IPPROTO_IPV6, name, value)
        else:
            value = socket.inet_aton(group) + socket.inet_aton(local or "0.0.0.0")  # noqa: S104
            name = socket.IP_ADD_MEMBERSHIP if joins else socket.IP_DROP_MEMBERSHIP
            sock.setsockopt(socket.IPPROTO_IP, name, value)
    except OSError as error:
        at = f" on {local}" if local else ""
        raise ConfigError(f"multicast group {group!r}{at}: {error.strerror or error}") from error


def set_reach(sock: Any, ttl: int, loop: bool) -> None:
    """Say how many routers multicast may pass, and whether this machine hears it too."""
    # One of IPv6 may speak IPv4 as well, with options of its own.
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, loop)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, loop)
