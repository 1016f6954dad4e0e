"""Connecting: stream sockets of our own making become transports."""

from __future__ import annotations

import asyncio
import collections
import functools
import itertools
import os
import socket
from asyncio import staggered, trsock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from sennit.reactor.serving import Serving
from sennit.reactor.tls import native_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sennit.reactor.names import AddressInfo

__all__ = ["Connecting"]

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class _Tls(NamedTuple):
    """The native settings, the name that is asked for, and seconds for the handshake."""

    settings: Any
    server_name: str | None
    timeout: float


class Connecting(Serving):
    """`create_connection` and its relatives, and what a transport knows of its socket."""

    async def create_connection(  # noqa: PLR0913 - asyncio's signature
        self,
        protocol_factory: Callable[[], _P],
        host: str | None = None,
        port: int | str | None = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: tuple[str, int] | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
        **tls: Any,
    ) -> tuple[asyncio.Transport, _P]:
        """Connect over TCP.

        Args:
            protocol_factory: Makes the protocol.
            host: Name or address of the other side.
            port: Its port.
            ssl: A `sennit.net.ClientTls`; an `ssl.SSLContext` comes with a later version.
            family: Only addresses of this family; both by default.
            proto: For `socket.getaddrinfo`.
            flags: For `socket.getaddrinfo`.
            sock: A connected socket, instead of host and port.
            local_addr: Host and port to connect from.
            happy_eyeballs_delay: Seconds before the next address is tried at the same time; None
                tries one after the other. RFC 8305 recommends 0.25.
            interleave: How many addresses of the first family come before the others take turns.
            all_errors: Raise every address's error in an ExceptionGroup.
            **tls: `server_hostname`, `ssl_handshake_timeout`, `ssl_shutdown_timeout`.

        Raises:
            NotImplementedError: TLS was asked for with an `ssl.SSLContext`.
            OSError: No address could be reached.
            ValueError: Both or neither of host/port and sock, or a sock that is no stream socket.
        """
        secure = _tls("create_connection", ssl, tls, host)
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            if sock.type != socket.SOCK_STREAM:
                raise ValueError(f"A Stream Socket was expected, got {sock!r}")
            return await self._connected(sock, protocol_factory, secure)
        if host is None and port is None:
            raise ValueError("host and port was not specified and no sock specified")
        addresses: Sequence[AddressInfo] = await self._addresses(
            host, port, family=family, proto=proto, flags=flags
        )
        local = None
        if local_addr is not None:
            local = await self._addresses(*local_addr, family=family, proto=proto, flags=flags)
        if interleave is None and happy_eyeballs_delay is not None:
            interleave = 1
        if interleave:
            addresses = _interleaved(addresses, interleave)
        sock = await self._connect_any(addresses, local, happy_eyeballs_delay, all_errors)
        return await self._connected_ours(sock, protocol_factory, secure)

    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], _P],
        path: str | os.PathLike[str] | None = None,
        *,
        ssl: Any = None,
        sock: socket.socket | None = None,
        **tls: Any,
    ) -> tuple[asyncio.Transport, _P]:
        """Connect to a UNIX socket.

        Args:
            protocol_factory: Makes the protocol.
            path: Where the socket is.
            ssl: A `sennit.net.ClientTls`; an `ssl.SSLContext` comes with a later version.
            sock: A connected socket, instead of a path.
            **tls: As for `create_connection`.

        Raises:
            NotImplementedError: TLS was asked for with an `ssl.SSLContext`.
            OSError: The socket could not be reached.
            ValueError: Both or neither of path and sock, or a sock that is no UNIX stream socket.
        """
        secure = _tls("create_unix_connection", ssl, tls, None)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await self._connect(sock, os.fspath(path))
            except BaseException:
                sock.close()
                raise
            return await self._connected_ours(sock, protocol_factory, secure)
        if sock is None:
            raise ValueError("no path and sock were specified")
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
        return await self._connected(sock, protocol_factory, secure)

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], _P],
        sock: socket.socket,
        *,
        ssl: Any = None,
        **tls: Any,
    ) -> tuple[asyncio.Transport, _P]:
        """Take over a socket that somebody else has accepted.

        Raises:
            NotImplementedError: TLS was asked for with an `ssl.SSLContext`.
            ValueError: The sock is no stream socket.
        """
        secure = _tls("connect_accepted_socket", ssl, tls, None)
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        return await self._connected(sock, protocol_factory, secure)

    async def _connected(
        self, sock: socket.socket, factory: Callable[[], _P], tls: _Tls | None
    ) -> tuple[asyncio.Transport, _P]:
        """A transport takes the socket over; the socket object itself is detached."""
        sock.setblocking(False)
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = factory()
        if tls is None:
            return self._make_transport(sock.detach(), protocol), protocol
        secured = self.create_future()
        transport = self._make_transport(sock.detach(), protocol, *tls, secured)
        try:
            await secured
        except BaseException:
            transport.abort()
            raise
        finally:
            # Its error knows this frame; see `_connect_any`.
            del secured
        return transport, protocol

    async def _connected_ours(
        self, sock: socket.socket, factory: Callable[[], _P], tls: _Tls | None
    ) -> tuple[asyncio.Transport, _P]:
        """As `_connected`, for a socket that nobody else would close after an error."""
        try:
            return await self._connected(sock, factory, tls)
        except BaseException:
            sock.close()
            raise

    # -- one connection ----------------------------------------------------------------------------

    async def _connect(self, sock: socket.socket, address: Any) -> None:
        try:
            sock.connect(address)
        except (BlockingIOError, InterruptedError):
            pass
        else:
            return
        connected = self.create_future()
        self.add_writer(sock.fileno(), _finish_connect, connected, sock, address)
        try:
            await connected
        finally:
            self.remove_writer(sock.fileno())
            # Its error knows this frame; see `_connect_any`.
            del connected

    async def _connect_from(
        self,
        errors: list[OSError],
        info: AddressInfo,
        local: Sequence[AddressInfo] | None,
    ) -> socket.socket:
        family, kind, proto, _, address = info
        try:
            sock = socket.socket(family, kind, proto)
        except OSError as error:
            errors.append(error)
            raise
        try:
            sock.setblocking(False)
            if local is not None:
                _bind_local(sock, family, local)
            await self._connect(sock, address)
        except OSError as error:
            errors.append(error)
            sock.close()
            raise
        except BaseException:
            sock.close()
            raise
        return sock

    async def _connect_any(
        self,
        addresses: Sequence[AddressInfo],
        local: Sequence[AddressInfo] | None,
        delay: float | None,
        all_errors: bool,
    ) -> socket.socket:
        errors: list[OSError] = []
        if delay is None:
            for info in addresses:
                try:
                    return await self._connect_from(errors, info, local)
                except OSError:
                    continue
        else:
            tries = [functools.partial(self._connect_from, errors, i, local) for i in addresses]
            winner, _, _ = await staggered.staggered_race(tries, delay, loop=self)
            if winner is not None:
                return cast("socket.socket", winner)
        try:
            raise _one_error(errors, all_errors)
        finally:
            # An error knows this frame: if the frame knew the error they would never be freed.
            errors.clear()

    # -- called by the native core -----------------------------------------------------------------

    def _transport_extra(self, transport: Any, name: str, default: Any) -> Any:
        """What `get_extra_info` answers; the socket object is made when it is first asked for."""
        extra: dict[str, Any] = transport._get_extra()  # noqa: SLF001 - the native twin
        if name == "socket" and name not in extra:
            descriptor = transport._fileno()  # noqa: SLF001
            if descriptor < 0:
                return default
            sock = _Lent(fileno=descriptor)
            transport._keep_socket(sock)  # noqa: SLF001
            extra[name] = trsock.TransportSocket(sock)
        elif name in {"peername", "sockname"} and name not in extra:
            address = _address(transport, name)
            if address is None:
                return default
            extra[name] = address
        return extra.get(name, default)


class _Lent(socket.socket):
    """A socket object over a transport's descriptor, which only the transport closes."""

    __slots__ = ()

    def __del__(self) -> None:
        self.detach()


def _one_error(errors: list[OSError], all_errors: bool) -> Exception:
    if all_errors:
        return ExceptionGroup("create_connection failed", list(errors))
    if len({str(error) for error in errors}) == 1:
        return errors[0]
    return OSError("Multiple exceptions: " + ", ".join(map(str, errors)))


def _address(transport: Any, name: str) -> Any:
    accepted_from = transport._peer() if name == "peername" else None  # noqa: SLF001
    descriptor = transport._fileno()  # noqa: SLF001
    if accepted_from is not None or descriptor < 0:
        return accepted_from
    sock = _Lent(fileno=descriptor)
    try:
        return sock.getpeername() if name == "peername" else sock.getsockname()
    except OSError:
        return None  # the peer is gone already
    finally:
        sock.detach()


def _finish_connect(connected: asyncio.Future[None], sock: socket.socket, address: Any) -> None:
    if connected.done():
        return
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        connected.set_exception(
            OSError(error, f"Connect call failed {address!r}: {os.strerror(error)}")
        )
    else:
        connected.set_result(None)


def _bind_local(sock: socket.socket, family: int, local: Sequence[AddressInfo]) -> None:
    reason: OSError | None = None
    for local_family, _, _, _, address in local:
        if local_family != family:
            continue
        try:
            return sock.bind(address)
        except OSError as error:
            reason = OSError(
                error.errno,
                f"error while attempting to bind on address {address!r}: "
                f"{str(error.strerror).lower()}",
            )
    raise reason or OSError(f"no matching local address with {family=} found")


def _interleaved(addresses: Iterable[AddressInfo], first: int) -> list[AddressInfo]:
    """Addresses with their families taking turns (RFC 8305, section 4)."""
    families: dict[int, list[AddressInfo]] = collections.defaultdict(list)
    for info in addresses:
        families[info[0]].append(info)
    groups = list(families.values())
    ahead = groups[0][: first - 1]
    groups[0] = groups[0][first - 1 :]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    return [*ahead, *(info for info in turns if info is not None)]


def _tls(method: str, ssl: Any, given: dict[str, Any], host: str | None) -> _Tls | None:
    timeouts = (given.pop("ssl_handshake_timeout", None), given.pop("ssl_shutdown_timeout", None))
    name = given.pop("server_hostname", None)
    for unknown in given:
        raise TypeError(f"{method}() got an unexpected keyword argument {unknown!r}")
    settings, timeout = native_tls(method, ssl, *timeouts)
    if settings is None:
        if name is not None:
            raise ValueError("server_hostname is only meaningful with ssl")
        return None
    if name is None and host is None and method != "connect_accepted_socket":
        raise ValueError("You must set server_hostname when using ssl without a host")
    return _Tls(settings, name or host, timeout)
