"""`testing.Reactor`: the reactor itself, on a clock and a network of its own."""

from __future__ import annotations

import socket
from asyncio import trsock
from typing import TYPE_CHECKING, Any, TypeVar

from sennit.testing.clock import Timed
from sennit.testing.network import Network
from sennit.testing.sockets import LentSocket

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from sennit.testing.link import Link

__all__ = ["Reactor"]

_P = TypeVar("_P", bound="asyncio.BaseProtocol")


class Reactor(Timed):
    """A `sennit.Reactor` whose time is simulated and whose network is in memory.

    Programs run on it unchanged: transports, framing, streams, servers are the real ones, over
    socket pairs. Only the wire and the time are made up, so a test of a timeout of an hour takes no
    time, and the same seed gives the same run, byte for byte. No port of the machine is used.

    What is given explicitly, as `sock=` is, stays real, and so do files and signals.

    Args:
        seed: What all chance of this network comes from.
        link: The wire of every connection; None connects the two ends directly.
        autojump: The clock jumps to the next thing that is due when nothing else can happen; False
            leaves it to `advance`.

    Raises:
        DeadlockError: Out of `run_forever` and its relatives: every task waits, and nothing is left
            that could happen. Never with `autojump=False`.

    Example:
        `asyncio.Runner(loop_factory=functools.partial(testing.Reactor, seed=7))`
    """

    def __init__(self, *, seed: int = 0, link: Link | None = None, autojump: bool = True) -> None:
        super().__init__(autojump=autojump)
        self.network = Network(self, seed, link)

    def close(self) -> None:
        """Close the reactor and its network."""
        if not self.is_running() and not self.is_closed():
            self.network._close()  # noqa: SLF001 - one room
        super().close()

    # -- names -------------------------------------------------------------------------------------

    async def getaddrinfo(
        self,
        host: str | bytes | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's word
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As `socket.getaddrinfo`, with the names of `network.add_host`."""
        return self.network._hosts.resolve(host, port, family, type, flags)  # noqa: SLF001

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """As `socket.getnameinfo`, with the names of `network.add_host`."""
        return self.network._hosts.name_of(sockaddr, flags)  # noqa: SLF001

    # -- datagrams ---------------------------------------------------------------------------------

    async def create_datagram_endpoint(  # noqa: PLR0913 - asyncio's signature
        self,
        protocol_factory: Callable[[], _P],
        local_addr: tuple[str, int] | str | None = None,
        remote_addr: tuple[str, int] | str | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[asyncio.DatagramTransport, _P]:
        """A UDP endpoint of the network.

        Args:
            protocol_factory: Makes the protocol.
            local_addr: Host and port to be reached at; port 0 picks one.
            remote_addr: The only host and port to talk to.
            family: Only addresses of this family.
            proto: For asyncio's sake.
            flags: For asyncio's sake.
            reuse_address: For asyncio's sake.
            reuse_port: For asyncio's sake: a port has one endpoint here.
            allow_broadcast: Whether 255.255.255.255 may be sent to.
            sock: A real socket, used as it is.

        Raises:
            OSError: A name is not known, an address is in use or not this host's.
            ValueError: An address is a path.
        """
        if sock is not None:
            return await super().create_datagram_endpoint(protocol_factory, sock=sock)
        local = await self._datagram_address(local_addr, family)
        remote = await self._datagram_address(remote_addr, family)
        protocol = protocol_factory()
        transport = self.network._exchange.open(protocol, local, remote)  # noqa: SLF001
        if allow_broadcast:
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        protocol.connection_made(transport)
        return transport, protocol

    async def _datagrams_everywhere(
        self, factory: Callable[[], _P], port: int, **options: Any
    ) -> tuple[asyncio.DatagramTransport, _P]:
        return await self.create_datagram_endpoint(factory, ("::", port), **options)

    async def _datagram_address(
        self, address: tuple[str, int] | str | None, family: int
    ) -> tuple[str, int] | None:
        if address is None:
            return None
        if not isinstance(address, tuple):
            raise ValueError(f"{address!r} is no host and port; a simulated UDP needs both")
        found = await self.getaddrinfo(
            address[0] or None,
            address[1],
            family=family or (socket.AF_INET if not address[0] else 0),
            type=socket.SOCK_DGRAM,
            flags=socket.AI_PASSIVE,
        )
        return found[0][4][0], found[0][4][1]

    # -- what the reactor's own room asks of the network -------------------------------------------

    def _bind_all(self, addresses: list[Any], **_options: Any) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        try:
            for _, _, _, _, (host, port, *_rest) in addresses:
                # "Any free port" means one port for all addresses.
                number = port or (sockets[0].getsockname()[1] if sockets else 0)
                sockets.append(self.network.bind((host, number)))
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    def _bind_path(self, path: str | bytes) -> socket.socket:
        return self.network.bind(path if isinstance(path, str) else path.decode())

    async def _connect_from(
        self, errors: list[OSError], info: Any, local: Sequence[Any] | None
    ) -> socket.socket:
        family, address = info[0], info[4]
        try:
            own = None
            if local is not None:
                same = [found[4] for found in local if found[0] == family]
                if not same:
                    raise OSError(f"no matching local address with {family=} found")
                own = (same[0][0], same[0][1])
            return await self.network.connect((address[0], address[1]), local=own)
        except OSError as error:
            errors.append(error)
            raise

    async def _connect(self, sock: socket.socket, address: Any) -> None:
        path = address if isinstance(address, str) else address.decode()
        await self.network.connect(path, sock=sock)

    def _transport_extra(self, transport: Any, name: str, default: Any) -> Any:
        extra: dict[str, Any] = transport._get_extra()  # noqa: SLF001 - the native twin
        if name in {"socket", "sockname", "peername"} and name not in extra:
            descriptor = transport._fileno()  # noqa: SLF001
            if descriptor >= 0:
                sock = LentSocket(descriptor)
                face = sock.face()
                if face is not None and name == "socket":
                    transport._keep_socket(sock)  # noqa: SLF001
                    extra["socket"] = trsock.TransportSocket(sock)
                elif face is not None:
                    extra[name] = getattr(face, name)
        return super()._transport_extra(transport, name, default)

    # -- called by the native core -----------------------------------------------------------------

    def _open_stream(self, host: str, port: int) -> int:
        """A descriptor that is being connected, or a negative error number."""
        try:
            return self.network.connect_nowait((host, port)).detach()
        except OSError as error:
            return -(error.errno or 1)
