"""Binding: `bind` opens a socket for datagrams; `connect` and `listen` come here for `udp://`."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, TypeVar

from sennit.errors import ConfigError, ConnectError, DeadlineError
from sennit.net.datagrams import DatagramSocket
from sennit.net.multicast import change_group, set_reach
from sennit.net.options import DatagramOptions, local_address, merge
from sennit.net.url import Endpoint, parse_endpoint
from sennit.reactor import Reactor, current_reactor
from sennit.reactor.datagrams import set_buffer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["bind", "connect_datagrams", "open_datagrams"]

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


async def open_datagrams(
    reactor: Reactor,
    factory: Callable[[], _P],
    endpoint: Endpoint,
    options: DatagramOptions,
    *,
    is_remote: bool,
) -> tuple[Any, _P]:
    """A socket for datagrams: bound to the endpoint, or connected to it.

    Returns:
        Transport and protocol.

    Raises:
        OSError: An address is in use or not ours, or a name is not known.
        ConfigError: An option makes no sense.
    """
    flags: dict[str, Any] = {
        "reuse_port": options.reuse_port,
        "allow_broadcast": options.broadcast,
    }
    if endpoint.host is None:
        transport, protocol = await reactor._datagrams_everywhere(  # noqa: SLF001 - the seam for this
            factory, endpoint.port, **flags
        )
    else:
        local: tuple[str, int] | None = (endpoint.host, endpoint.port)
        remote = None
        if is_remote:
            remote, local = local, local_address(options.local_address)
        transport, protocol = await reactor.create_datagram_endpoint(
            factory, local, remote, **flags
        )
    try:
        _prepare(transport, options)
        for group in options.groups:
            name, _, interface = group.partition("@")
            change_group(transport, name, interface or None, joins=True)
    except BaseException:
        transport.abort()
        raise
    return transport, protocol


def _prepare(transport: Any, options: DatagramOptions) -> None:
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    set_buffer(sock, socket.SO_RCVBUF, options.receive_buffer)
    if options.send_buffer is not None:
        set_buffer(sock, socket.SO_SNDBUF, options.send_buffer)
    set_reach(sock, options.multicast_ttl, options.multicast_loop)


async def bind(url: str, **options: Any) -> DatagramSocket:
    """Open a socket that receives datagrams at an address.

    Args:
        url: `udp://HOST:PORT`; `*` as the host means every interface, of IPv4 and of IPv6;
            port 0 picks a free one. The options may stand in the query.
        **options: `max_queued` (1,024 datagrams), `receive_buffer` (4 MiB: the system's 208 KiB
            keep some 256 datagrams of a burst; without root at most `net.core.rmem_max`),
            `send_buffer`, `reuse_port`, `broadcast`, `groups` (multicast groups to join, `GROUP` or
            `GROUP@LOCAL`), `multicast_ttl` (1), `multicast_loop` (yes).

    Raises:
        ConfigError: The URL or an option makes no sense.
        OSError: The address is in use or is not ours.
        RuntimeError: No sennit.Reactor runs in this thread.
    """
    reactor = current_reactor()
    endpoint = parse_endpoint(url)
    if endpoint.scheme != "udp":
        raise ConfigError(f"{url} has connections, not datagrams: net.listen serves it")
    table = merge(DatagramOptions, url, endpoint.options, options, place="bind")
    make = lambda: DatagramSocket(table.max_queued)  # noqa: E731 - with the settings of the URL
    return (await open_datagrams(reactor, make, endpoint, table, is_remote=False))[1]


async def connect_datagrams(
    reactor: Reactor, url: str, protocol: Any, given: dict[str, Any]
) -> Any:
    """A socket that talks to one address only, and its protocol.

    Raises:
        ConfigError: The URL or an option makes no sense.
        ConnectError: The address cannot be used.
        DeadlineError: The look-up took longer than `connect_timeout`.
    """
    endpoint = parse_endpoint(url)
    if endpoint.host is None or endpoint.port == 0:
        raise ConfigError(f"{url} says not where to send to; write a host and a port above 0")
    options = merge(DatagramOptions, url, endpoint.options, given, place="connect")
    factory: Callable[[], Any]
    if protocol is None:
        factory = lambda: DatagramSocket(options.max_queued)  # noqa: E731 - as above
    else:
        factory = protocol
    try:
        async with asyncio.timeout(options.connect_timeout):
            opened = await open_datagrams(reactor, factory, endpoint, options, is_remote=True)
    except TimeoutError as error:
        raise DeadlineError(
            f"{url}: no address after {options.connect_timeout:g} s (connect_timeout)"
        ) from error
    except OSError as error:
        raise ConnectError(f"{url}: {error.strerror or error}") from error
    return opened[1]
