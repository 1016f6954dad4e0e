"""Host names and addresses: looked up in the executor unless they are numbers already."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from sennit.reactor.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AddressInfo", "Names", "Resolver"]

AddressInfo = tuple[int, int, int, str, Any]
"""(family, type, protocol, canonical name, address), as `socket.getaddrinfo` gives it."""

Resolver: TypeAlias = Callable[[str, int], Awaitable[Iterable[str]]]
"""An async function of a host name and a family (`socket.AF_UNSPEC`, `AF_INET`, `AF_INET6`), which
returns addresses as text, the best first, or raises `OSError`."""


def _numeric(
    host: str | bytes | None, port: bytes | str | int | None, family: int, kind: int, proto: int
) -> AddressInfo | None:
    """The one address behind a numeric host and port; None where a look-up is needed."""
    if not isinstance(host, str) or not isinstance(port, int) or "%" in host:
        return None
    if kind not in {socket.SOCK_STREAM, socket.SOCK_DGRAM} or proto not in {
        0,
        socket.IPPROTO_TCP,
        socket.IPPROTO_UDP,
    }:
        return None
    proto = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else socket.IPPROTO_UDP
    for candidate in (socket.AF_INET, socket.AF_INET6):
        if family not in {socket.AF_UNSPEC, candidate}:
            continue
        try:
            socket.inet_pton(candidate, host)
        except OSError:
            continue
        address = (host, port) if candidate == socket.AF_INET else (host, port, 0, 0)
        return candidate, kind, proto, "", address
    return None


def _failed(message: str) -> socket.gaierror:
    """What whoever connects expects of a look-up that has failed: an `OSError`."""
    return socket.gaierror(socket.EAI_FAIL, message)


class Names(Signals):
    """`getaddrinfo` and `getnameinfo`."""

    _resolver: Resolver | None = None

    def set_resolver(self, resolver: Resolver | None) -> None:
        """Say who looks names up, for everything that connects on this reactor.

        Args:
            resolver: See `Resolver`; None: the system's `getaddrinfo`, in a thread.
        """
        self._resolver = resolver

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
        """As `socket.getaddrinfo`, without blocking the loop."""
        known = _numeric(host, port, family, type, proto)
        if known is not None:
            return [known]
        if self._resolver is not None and isinstance(host, str) and isinstance(port, int) and host:
            return await self._resolved(host, port, family, type, proto)
        return await self.run_in_executor(
            None, socket.getaddrinfo, host, port, family, type, proto, flags
        )

    async def _resolved(
        self, host: str, port: int, family: int, kind: int, proto: int
    ) -> list[AddressInfo]:
        assert self._resolver is not None
        found = []
        said = await self._resolver(host, family)
        if isinstance(said, str) or not isinstance(said, Iterable):
            raise _failed(f"the resolver says {said!r} of {host!r}; it must be a list of addresses")
        for address in said:
            info = _numeric(address, port, socket.AF_UNSPEC, kind or socket.SOCK_STREAM, proto)
            if info is None:
                raise _failed(f"the resolver says that {host!r} is at {address!r}: no address")
            if family in {socket.AF_UNSPEC, info[0]}:
                found.append(info)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"the resolver has no address for {host!r}")
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """As `socket.getnameinfo`, without blocking the loop."""
        return await self.run_in_executor(None, socket.getnameinfo, sockaddr, flags)

    async def _addresses(
        self, host: str | None, port: int | str | None, *, family: int, proto: int, flags: int
    ) -> Sequence[AddressInfo]:
        found = await self.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags
        )
        if not found:
            raise OSError(f"getaddrinfo({host!r}, {port!r}) returned no addresses")
        return found
