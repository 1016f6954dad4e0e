"""The ports of a simulated network's hosts: who listens where, under which name of the kernel's."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from typing import TYPE_CHECKING

from sennit.testing.hosts import is_unspecified, normal
from sennit.testing.sockets import (
    Address,
    Socket,
    address_tuple,
    client_name,
    desk_name,
    family_of,
    listener_name,
)

if TYPE_CHECKING:
    from sennit.testing.hosts import Host, Hosts

__all__ = ["Ports", "in_use"]

_FIRST_PORT = 49_152
"""First of the ports that are picked (RFC 6335 section 6)."""

_PORTS = 65_536 - _FIRST_PORT


class Ports:
    """Binding and finding stream sockets."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        # Names in the kernel are seen by every process of the machine: each network has its own.
        self._token = os.urandom(8)
        self._serials = itertools.count(1)
        self._next_ports: dict[Host, itertools.cycle[int]] = {}
        self._listeners: dict[tuple[Host, Address], bytes] = {}

    def bind(self, address: Address) -> Socket:
        """A stream socket at an address; see `Network.bind`."""
        if isinstance(address, str):
            host = self._hosts.current()
        else:
            address = (normal(address[0]), address[1])
            host = self.binding_host(address[0])
            if address[1] == 0:
                address = (address[0], self._free_port(host, address[0]))
        if self._is_taken(host, address):
            raise in_use(address)
        name = listener_name(self._token, next(self._serials), address)
        sock = Socket()
        try:
            sock.bind(name)
        except BaseException:
            sock.close()
            raise
        self._listeners[host, address] = name
        return sock

    def find(self, host: Host, address: Address) -> bytes | None:
        """The name of the socket that is bound where an address leads to."""
        name = self._listeners.get((host, address))
        if name is not None and self._is_alive(host, address):
            return name
        if isinstance(address, str):
            return None
        return self._listeners.get((host, (_any(address), address[1])))

    def name_client(self, sock: socket.socket, local: Address, remote: Address) -> None:
        """Give a socket that will connect the name that says so."""
        sock.bind(client_name(self._token, next(self._serials), local, remote))

    def plug_in(self, sock: socket.socket, local: Address, remote: Address) -> socket.socket:
        """Connect a socket to a relay; the relay's end."""
        self.name_client(sock, local, remote)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as desk:
            desk.bind(desk_name(self._token, next(self._serials)))
            desk.listen(1)
            sock.connect(desk.getsockname())
            near = desk.accept()[0]
        near.setblocking(False)
        return near

    def binding_host(self, address: str) -> Host:
        """Whose port is bound. The first host's code may set up all others."""
        owner, current = self._hosts.owner(address), self._hosts.current()
        if owner is not current and current is not self._hosts.first:
            raise OSError(errno.EADDRNOTAVAIL, f"{address} is {owner.name}'s, not {current.name}'s")
        return owner

    def next_port(self, host: Host) -> int:
        """A port that is picked: they come in order."""
        ports = self._next_ports.get(host)
        if ports is None:
            ports = itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + _PORTS))
            self._next_ports[host] = ports
        return next(ports)

    def _free_port(self, host: Host, address: str) -> int:
        for _ in range(_PORTS):
            port = self.next_port(host)
            if not self._is_taken(host, (address, port)):
                return port
        raise OSError(errno.EADDRINUSE, f"{host.name} has no free port")

    def _is_taken(self, host: Host, address: Address) -> bool:
        if isinstance(address, str):
            return self._is_alive(host, address)
        same_port: list[Address] = [
            known
            for owner, known in self._listeners
            if owner is host and known[1] == address[1] and family_of(known) == family_of(address)
        ]
        every = is_unspecified(address[0])
        clashing = [k for k in same_port if every or k == address or is_unspecified(k[0])]
        return any(self._is_alive(host, known) for known in clashing)

    def _is_alive(self, host: Host, address: Address) -> bool:
        name = self._listeners.get((host, address))
        if name is None:
            return False
        # Its socket may have been given away, to the native core for one: the kernel knows.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(name)
            except OSError:
                return True
        del self._listeners[host, address]
        return False


def in_use(address: Address) -> OSError:
    """The error for an address that somebody has, in asyncio's words."""
    where = address_tuple(address)
    message = f"error while attempting to bind on address {where!r}: address already in use"
    return OSError(errno.EADDRINUSE, message)


def _any(address: tuple[str, int]) -> str:
    return "::" if ":" in address[0] else "0.0.0.0"  # noqa: S104 - simulated
