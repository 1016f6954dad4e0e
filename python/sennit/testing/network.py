"""A network in memory: hosts, ports, connections and faults, none of which the machine sees."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import itertools
import os
import socket
from typing import TYPE_CHECKING

from sennit.testing.clock import SECOND
from sennit.testing.datagrams import Exchange
from sennit.testing.hosts import LOOPBACK, is_unspecified, normal
from sennit.testing.link import Line, Link
from sennit.testing.ports import Ports
from sennit.testing.relay import Connection
from sennit.testing.sockets import Address, Socket, address_tuple, family_of, reset
from sennit.testing.wires import Wires

if TYPE_CHECKING:
    import contextlib

    from sennit.testing.clock import Timed
    from sennit.testing.hosts import Host

__all__ = ["Network"]

_RETRIES = (1, 2, 4, 8, 16, 32, 64)
"""Seconds after which an opening that nobody answers is sent again; after the last one connecting
has timed out. Linux's numbers: 127 s in all."""


@dataclasses.dataclass(frozen=True)
class Route:
    """Who wants to reach whom."""

    source: Host
    destination: Host
    local: Address
    remote: Address


class Network:
    """The network of one `testing.Reactor`, which has it as `reactor.network`.

    Every numeric address can be listened on and connected to. What belongs to no other host
    belongs to the first one, `localhost`, which is 10.0.0.1 and fd00::1 to the others.
    """

    def __init__(self, reactor: Timed, seed: int, link: Link | None) -> None:
        self._reactor = reactor
        self._wires = Wires(seed, link)
        self._hosts = self._wires.hosts
        self._ports = Ports(self._hosts)
        self._counts = self._wires.counts
        self._exchange = Exchange(reactor, self._wires, self._ports)
        self._numbers = itertools.count(1)
        self._live: dict[Connection, None] = {}
        self._openings: set[asyncio.Task[None]] = set()

    # -- what a program says of it -----------------------------------------------------------------

    def add_host(self, name: str, *addresses: str) -> None:
        """Add a machine.

        Args:
            name: What `getaddrinfo` finds it by.
            *addresses: Its numeric addresses, one of a family at most.

        Raises:
            ConfigError: The name or an address is taken, or is no address.

        Example:
            `reactor.network.add_host("db.example", "10.0.0.7")`
        """
        self._hosts.add(name, addresses)

    def at(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Run code, and the tasks that it starts, as a machine's.

        It connects from that machine's address; `127.0.0.1` and "every interface" are that
        machine's own.

        Example:
            `with network.at("client.example"): task = asyncio.create_task(client())`
        """
        return self._hosts.at(name)

    def set_link(self, link: Link, source: str, destination: str) -> None:
        """Set the wire from one host to another, for what is connected from now on.

        Args:
            link: Its qualities in this direction; the other direction keeps its own.
            source: Name or address of a host.
            destination: Name or address of a host.

        Raises:
            ConfigError: A name is no host's.
        """
        self._wires.set(link, source, destination)

    def partition(self, one: str, other: str | None = None) -> None:
        """Let nothing through between two hosts, or between one and all others.

        Nobody is told: connecting times out after 127 s, connections over a link stand still,
        datagrams are lost. A connection without a link has no wire that could be cut.

        Raises:
            ConfigError: A name is no host's.
        """
        self._wires.cut(one, other)
        for connection in list(self._live):
            self._mind_walls(connection)

    def heal(self) -> None:
        """Undo every `partition`."""
        self._wires.heal()
        for connection in list(self._live):
            self._mind_walls(connection)

    @property
    def connections(self) -> list[Connection]:
        """The live stream connections that go over a link, oldest first."""
        return list(self._live)

    def statistics(self) -> dict[str, int]:
        """Counters: hosts, streams, datagrams; `open` is of streams over a link."""
        names = ("connected", "refused", "timed_out", "datagrams", "datagrams_lost")
        counts = {name: self._counts[name] for name in names}
        return {"hosts": len(self._hosts), "open": len(self._live), **counts}

    # -- sockets -----------------------------------------------------------------------------------

    def bind(self, address: Address) -> Socket:
        """A stream socket at an address of this network, not listening yet.

        Args:
            address: Host and port, port 0 picks one; or the path of a UNIX socket.

        Raises:
            OSError: The address is in use, or is another host's.
        """
        return self._ports.bind(address)

    async def connect(
        self,
        address: Address,
        *,
        local: tuple[str, int] | None = None,
        link: Link | None = None,
        sock: socket.socket | None = None,
    ) -> socket.socket:
        """A connected stream socket, non-blocking.

        Args:
            address: Host and port, numeric; or the path of a UNIX socket.
            local: Host and port to connect from; port 0 picks one.
            link: The wire, for both directions; None: as the network has it.
            sock: A UNIX socket to connect; None makes one.

        Raises:
            ConnectionRefusedError: Nobody listens there.
            TimeoutError: The host cannot be reached: 127 s later.
            OSError: There is no way from this host to that address.
        """
        route = self._route(address, local)
        ours = Socket() if sock is None else sock
        try:
            ours.setblocking(False)
            await self._pass_walls(route)
            lines = self._lines(route, link)
            if lines is None:
                await self._connect_directly(ours, route)
            else:
                connection, near = self._plug_in(ours, route, lines)
                try:
                    await self._open(connection, near, route, lines)
                except BaseException:
                    near.close()
                    raise
        except BaseException:
            if sock is None:
                ours.close()
            raise
        return ours

    def connect_nowait(self, address: Address) -> Socket:
        """As `connect`, for who cannot wait: over a link the socket is connected later.

        What goes wrong then ends it with a reset.

        Raises:
            OSError: As `connect`, where that is known at once.
        """
        route = self._route(address, None)
        ours = Socket()
        try:
            ours.setblocking(False)
            lines = self._lines(route, None)
            if lines is None and self._wires.can_reach(route.source, route.destination):
                self._ports.name_client(ours, route.local, route.remote)
                self._reach_listener(ours, route)
                return ours
            if self._wires.can_reach(route.source, route.destination):
                self._listener(route)
            # What can be made out only later needs a relay.
            lines = lines or self._lines(route, Link())
            assert lines is not None
            connection, near = self._plug_in(ours, route, lines)
            opening = self._open_later(connection, near, route, lines)
            task = self._reactor.create_task(opening)
            self._openings.add(task)
            task.add_done_callback(self._openings.discard)
        except BaseException:
            ours.close()
            raise
        return ours

    async def _open(
        self, connection: Connection, near: socket.socket, route: Route, lines: tuple[Line, Line]
    ) -> None:
        """Opens the far side after the time of one round trip."""
        await asyncio.sleep((lines[0].opening() + lines[1].opening()) / SECOND)
        await self._pass_walls(route)
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            far.setblocking(False)
            await self._connect_directly(far, route)
            connection._start(near, far)  # noqa: SLF001 - one room
        except BaseException:
            far.close()
            raise
        self._live[connection] = None
        self._mind_walls(connection)

    async def _open_later(
        self, connection: Connection, near: socket.socket, route: Route, lines: tuple[Line, Line]
    ) -> None:
        try:
            await self._pass_walls(route)
            await self._open(connection, near, route, lines)
        except OSError:
            reset(near)
        except BaseException:
            near.close()
            raise

    async def _connect_directly(self, sock: socket.socket, route: Route) -> None:
        self._ports.name_client(sock, route.local, route.remote)
        for wait in (*_RETRIES, None):
            try:
                self._reach_listener(sock, route)
            except BlockingIOError:
                # Its queue is full: as if the opening had been lost.
                if wait is None:
                    break
                await asyncio.sleep(wait)
            else:
                return
        raise self._timed_out(route)

    def _reach_listener(self, sock: socket.socket, route: Route) -> None:
        name = self._listener(route)
        try:
            sock.connect(name)
        except ConnectionRefusedError:
            # It is bound, and does not listen.
            raise self._refused(route) from None
        self._counts["connected"] += 1

    def _listener(self, route: Route) -> bytes:
        name = self._ports.find(route.destination, route.remote)
        if name is None:
            raise self._refused(route)
        return name

    def _refused(self, route: Route) -> OSError:
        self._counts["refused"] += 1
        return _failed(errno.ECONNREFUSED, route)

    def _plug_in(
        self, ours: socket.socket, route: Route, lines: tuple[Line, Line]
    ) -> tuple[Connection, socket.socket]:
        """A connection that is being opened, and the relay's end of its near side."""
        near = self._ports.plug_in(ours, route.local, route.remote)
        hosts = (route.source, route.destination)
        addresses = (route.local, route.remote)
        return Connection(self._reactor, lines, addresses, hosts, self._forget), near

    def _forget(self, connection: Connection) -> None:
        self._live.pop(connection, None)

    def _route(self, address: Address, local: tuple[str, int] | None) -> Route:
        source = self._hosts.current()
        if isinstance(address, str):
            return Route(source, source, "", address)
        family = family_of(address)
        host = LOOPBACK[family] if is_unspecified(address[0]) else normal(address[0])
        destination = self._hosts.owner(host)
        if local is not None and not is_unspecified(local[0]):
            ours = normal(local[0])
            if self._hosts.owner(ours) is not source:
                raise OSError(errno.EADDRNOTAVAIL, f"{ours} is no address of {source.name}")
        else:
            # As Linux: to itself a host sends from the address that it sends to.
            ours = host if destination is source else source.address(family)
        port = local[1] if local is not None else 0
        ours_at = (ours, port or self._ports.next_port(source))
        return Route(source, destination, ours_at, (host, address[1]))

    def _lines(self, route: Route, link: Link | None) -> tuple[Line, Line] | None:
        there = link or self._wires.between(route.source, route.destination)
        back = link or self._wires.between(route.destination, route.source)
        if there is None and back is None:
            return None
        number = next(self._numbers)
        return (
            Line(there or Link(), f"{self._wires.seed}/{number}/there"),
            Line(back or Link(), f"{self._wires.seed}/{number}/back"),
        )

    # -- faults ------------------------------------------------------------------------------------

    async def _pass_walls(self, route: Route) -> None:
        for wait in _RETRIES:
            if self._wires.can_reach(route.source, route.destination):
                return
            await asyncio.sleep(wait)
        if not self._wires.can_reach(route.source, route.destination):
            raise self._timed_out(route)

    def _timed_out(self, route: Route) -> OSError:
        self._counts["timed_out"] += 1
        return _failed(errno.ETIMEDOUT, route)

    def _mind_walls(self, connection: Connection) -> None:
        if self._wires.can_reach(*connection._hosts):  # noqa: SLF001 - one room
            connection._plug("wall")  # noqa: SLF001
        else:
            connection._pull("wall")  # noqa: SLF001

    def _close(self) -> None:
        """Gives every descriptor back."""
        for connection in list(self._live):
            connection._close(socket.socket.close)  # noqa: SLF001 - one room
        self._exchange.close()


def _failed(number: int, route: Route) -> OSError:
    """The error of a connect, in asyncio's words."""
    where = address_tuple(route.remote)
    return OSError(number, f"Connect call failed {where!r}: {os.strerror(number)}")
