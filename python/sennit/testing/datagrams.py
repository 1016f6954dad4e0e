"""UDP in memory: endpoints that hand each other datagrams after the time a link takes."""

from __future__ import annotations

import asyncio
import collections
import errno
import os
from typing import TYPE_CHECKING, Any

from sennit.testing.clock import SECOND
from sennit.testing.datagram_socket import DatagramSocket, is_broadcast, is_multicast
from sennit.testing.hosts import LOOPBACK, is_unspecified, normal
from sennit.testing.link import Line, Link
from sennit.testing.ports import in_use
from sennit.testing.sockets import address_tuple, family_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sennit.testing.clock import Timed
    from sennit.testing.hosts import Host
    from sennit.testing.ports import Ports
    from sennit.testing.wires import Wires

__all__ = ["DatagramTransport", "Exchange"]

_MAX_SIZE = 65_507
"""Bytes of a datagram over IPv4: 65,535 less the headers of IP and UDP (RFC 768)."""

_COUNTERS = (
    "received",
    "bytes_received",
    "sent",
    "bytes_sent",
    "dropped_sending",
    "dropped_by_kernel",
    "cut",
    "errors",
)

_Where = tuple[str, int]


class DatagramTransport(asyncio.DatagramTransport):
    """An endpoint of a simulated network; made by `create_datagram_endpoint`."""

    def __init__(
        self, exchange: Exchange, host: Host, protocol: Any, ends: tuple[_Where, _Where | None]
    ) -> None:
        local, remote = ends
        names = {"sockname": address_tuple(local)}
        if remote is not None:
            names["peername"] = address_tuple(remote)
        super().__init__(names)
        self._exchange = exchange
        self._protocol = protocol
        self.host = host
        self.local = local
        self.remote = remote
        self.socket = DatagramSocket(
            family_of(local), names["sockname"], names.get("peername"), host
        )
        self._extra: dict[str, Any] = {**names, "socket": self.socket}
        self._is_closing = False
        self._is_lost = False
        self._watchers: list[Callable[[Exception | None], object]] = []
        self._counts: collections.Counter[str] = collections.Counter()

    def __repr__(self) -> str:
        state = "closing" if self._is_closing else "open"
        return f"<sennit.testing.DatagramTransport {state} {self.local} -> {self.remote}>"

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram.

        Args:
            data: At most 65,507 bytes; more is `error_received`, as of a real socket.
            addr: Where to; None where the endpoint was made with a remote address.

        Raises:
            TypeError: The data is not bytes-like.
            ValueError: The address is missing, or is not the remote one.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__}")
        if self.remote is not None:
            if addr is not None and _where(addr) != self.remote:
                raise ValueError(f"Invalid address: must be None or {self.remote}")
            target = self.remote
        elif addr is None:
            raise ValueError("an endpoint without a remote address needs one to send to")
        else:
            target = _where(addr)
        if self._is_closing:
            return
        number = self._problem(len(data), target)
        if number:
            self.fail(number)
            return
        self._counts["sent"] += 1
        self._counts["bytes_sent"] += len(data)
        self._exchange.send(self, bytes(data), target)

    def _problem(self, size: int, target: _Where) -> int:
        """The error number of what the kernel would not send; 0: it would."""
        if target[1] == 0:
            return errno.EINVAL
        if is_broadcast(target[0]) and not self.socket.may_broadcast():
            return errno.EACCES
        return errno.EMSGSIZE if size > _MAX_SIZE else 0

    def fail(self, number: int) -> None:
        """Tell the protocol of an error, later."""
        error = OSError(number, os.strerror(number))
        self._exchange.reactor.call_soon(self._tell, error)

    def _tell(self, error: OSError) -> None:
        if not self._is_closing:
            self._counts["errors"] += 1
            self._protocol.error_received(error)

    def deliver(self, data: bytes, source: _Where) -> None:
        """A datagram has arrived."""
        if not self._is_closing and self.remote in {None, source}:
            self._counts["received"] += 1
            self._counts["bytes_received"] += len(data)
            self._protocol.datagram_received(data, address_tuple(source))

    def close(self) -> None:
        """Send and hear nothing more."""
        if self._is_closing:
            return
        self._is_closing = True
        self._exchange.forget(self)
        self._exchange.reactor.call_soon(self._lose)

    def _lose(self) -> None:
        self._is_lost = True
        try:
            self._protocol.connection_lost(None)
        finally:
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                watcher(None)

    def abort(self) -> None:
        """As `close`: nothing waits here."""
        self.close()

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._is_closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol."""
        return self._protocol  # type: ignore[no-any-return]

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Put another protocol above."""
        self._protocol = protocol

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent: none, the wire has them at once."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The water marks: none is ever reached."""
        return (0, 0)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As of a real endpoint; nothing waits here."""

    def statistics(self) -> dict[str, int]:
        """The counters of a real endpoint."""
        return {name: self._counts[name] for name in _COUNTERS}

    # -- what the reactor's own endpoints have for the rest of the house ---------------------------

    def _fileno(self) -> int:
        return -1

    def _when_lost(self, callback: Callable[[Exception | None], object]) -> None:
        if self._is_lost:
            self._exchange.reactor.call_soon(callback, None)
        else:
            self._watchers.append(callback)


class Exchange:
    """All datagram endpoints of a network."""

    def __init__(self, reactor: Timed, wires: Wires, ports: Ports) -> None:
        self.reactor = reactor
        self._wires = wires
        self._ports = ports
        self._endpoints: dict[tuple[Host, _Where], DatagramTransport] = {}
        self._lines: dict[tuple[Host, Host, Link], Line] = {}

    def open(
        self, protocol: asyncio.BaseProtocol, local: _Where | None, remote: _Where | None
    ) -> DatagramTransport:
        """An endpoint at an address.

        Raises:
            OSError: The address is in use, or is not this host's.
        """
        hosts, ports = self._wires.hosts, self._ports
        if local is None:
            host = hosts.current()
            destination = None if remote is None else hosts.owner(remote[0])
            if remote is None or destination is None:
                address = "0.0.0.0"  # noqa: S104 - simulated
            elif destination is host:
                address = remote[0]
            else:
                address = host.address(family_of(remote))
            local = (address, 0)
        else:
            local = (normal(local[0]), local[1])
            host = ports.binding_host(local[0])
        if local[1] == 0:
            local = (local[0], ports.next_port(host))
            while self._find(host, local) is not None:
                local = (local[0], ports.next_port(host))
        elif self._find(host, local) is not None:
            raise in_use(local)
        transport = DatagramTransport(self, host, protocol, (local, remote))
        self._endpoints[host, local] = transport
        return transport

    def forget(self, transport: DatagramTransport) -> None:
        """An endpoint is closed."""
        self._endpoints.pop((transport.host, transport.local), None)

    def send(self, sender: DatagramTransport, data: bytes, target: _Where) -> None:
        """Put a datagram on its way."""
        if is_multicast(target[0]) or is_broadcast(target[0]):
            self._send_to_all(sender, data, target)
            return
        family = family_of(target)
        if is_unspecified(target[0]):
            target = (LOOPBACK[family], target[1])
        loops = target[0] == LOOPBACK[family]
        destination = sender.host if loops else self._wires.hosts.owner(target[0])
        self._carry(sender, destination, data, target)

    def _send_to_all(self, sender: DatagramTransport, data: bytes, target: _Where) -> None:
        """To every host that a group, or a broadcast, reaches; each has its own wire."""
        routers, loops = 1, True
        if is_multicast(target[0]):
            routers, loops = sender.socket.reach(target[0])
        for host in dict.fromkeys((sender.host, *(host for host, _ in self._endpoints))):
            is_own = host is sender.host
            if (loops if is_own else routers > 0) and any(self._members(host, target)):
                self._carry(sender, host, data, target)

    def _carry(
        self, sender: DatagramTransport, destination: Host, data: bytes, target: _Where
    ) -> None:
        counts = self._wires.counts
        counts["datagrams"] += 1
        family = family_of(target)
        source = sender.local
        if is_unspecified(source[0]):
            to_itself = destination is sender.host and not self._is_for_all(target)
            source = (target[0] if to_itself else sender.host.address(family), source[1])
        line = self._line(sender.host, destination)
        now = self.reactor._now()  # noqa: SLF001
        arrivals = line.datagram_arrivals(now, len(data))
        if not arrivals:
            counts["datagrams_lost"] += 1
        for time in arrivals:
            arguments = (sender, destination, data, source, target)
            self.reactor.call_at(time / SECOND, self._arrive, *arguments)

    @staticmethod
    def _is_for_all(target: _Where) -> bool:
        return is_multicast(target[0]) or is_broadcast(target[0])

    def _members(self, host: Host, target: _Where) -> list[DatagramTransport]:
        """Who hears what is sent to a group or to all."""
        heard = []
        for (owner, local), transport in self._endpoints.items():
            is_there = owner is host and local[1] == target[1]
            speaks = is_unspecified(local[0]) and (":" not in target[0] or ":" in local[0])
            joined = is_broadcast(target[0]) or target[0] in transport.socket.groups
            if is_there and joined and (speaks or local[0] == target[0]):
                heard.append(transport)
        return heard

    def _line(self, source: Host, destination: Host) -> Line:
        link = self._wires.between(source, destination) or Link()
        key = (source, destination, link)
        if key not in self._lines:
            seed = f"{self._wires.seed}/{source.name}>{destination.name}"
            self._lines[key] = Line(link, seed)
        return self._lines[key]

    def _arrive(
        self,
        sender: DatagramTransport,
        destination: Host,
        data: bytes,
        source: _Where,
        target: _Where,
    ) -> None:
        if not self._wires.can_reach(sender.host, destination):
            self._wires.counts["datagrams_lost"] += 1
            return
        if self._is_for_all(target):
            for member in self._members(destination, target):
                member.deliver(data, source)
            return
        receiver = self._find(destination, target)
        if receiver is not None:
            receiver.deliver(data, source)
        elif sender.remote is not None:
            # The host says that the port is closed; only a connected socket hears of it.
            line = self._line(destination, sender.host)
            for time in line.datagram_arrivals(self.reactor._now(), 0):  # noqa: SLF001
                self.reactor.call_at(time / SECOND, sender.fail, errno.ECONNREFUSED)

    def _find(self, host: Host, where: _Where) -> DatagramTransport | None:
        exact = self._endpoints.get((host, where))
        # One on "::" speaks IPv4 as well.
        everywhere = ("::",) if ":" in where[0] else ("0.0.0.0", "::")  # noqa: S104 - simulated
        found = (self._endpoints.get((host, (address, where[1]))) for address in everywhere)
        return exact or next((one for one in found if one is not None), None)

    def close(self) -> None:
        """Forget everybody."""
        self._endpoints.clear()


def _where(address: Any) -> _Where:
    """An address as this room writes it: normal, without flow and scope."""
    try:
        return normal(address[0]), int(address[1])
    except (TypeError, ValueError, IndexError):
        raise ValueError(f"{address!r} is no address: a numeric host and a port") from None
