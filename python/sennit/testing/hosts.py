"""The machines of a simulated network: their names and addresses, and who is who."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from sennit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LOOPBACK", "Host", "Hosts", "is_unspecified", "normal"]

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104 - simulated
_KINDS = ((socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP))

_current: contextvars.ContextVar[Host | None] = contextvars.ContextVar("_current", default=None)


class Host:
    """One machine: a name, and at most one address of each family."""

    def __init__(self, name: str, addresses: dict[socket.AddressFamily, str]) -> None:
        self.name = name
        self.addresses = addresses

    def __repr__(self) -> str:
        return f"<Host {self.name} {' '.join(self.addresses.values())}>"

    def address(self, family: socket.AddressFamily) -> str:
        """Where it sends from.

        Raises:
            OSError: It has no address of this family.
        """
        if family not in self.addresses:
            raise OSError(errno.ENETUNREACH, f"{self.name} has no address of {family.name}")
        return self.addresses[family]


def normal(address: str) -> str:
    """A numeric address in its one form.

    Raises:
        ValueError: It is a name.
    """
    return str(ipaddress.ip_address(address))


def is_unspecified(address: str) -> bool:
    """Whether a numeric address means every interface."""
    return ipaddress.ip_address(address).is_unspecified


class Hosts:
    """All machines of a network. Every address that nobody else has is the first machine's."""

    def __init__(self) -> None:
        addresses = {socket.AF_INET: "10.0.0.1", socket.AF_INET6: "fd00::1"}
        self.first = Host("localhost", addresses)
        self._names = {"localhost": self.first}
        self._owners: dict[str, Host] = dict.fromkeys(addresses.values(), self.first)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, addresses: tuple[str, ...]) -> Host:
        """Add a machine; see `Network.add_host`."""
        if name in self._names:
            raise ConfigError(f"{name} is a host already: {self._names[name]!r}")
        found: dict[socket.AddressFamily, str] = {}
        for text in addresses:
            try:
                address = ipaddress.ip_address(text)
            except ValueError as error:
                raise ConfigError(f"{name}: {error}") from None
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            if address.is_loopback or address.is_unspecified or str(address) in self._owners:
                raise ConfigError(f"{name} cannot have the address {text}: it is somebody else's")
            if family in found:
                raise ConfigError(
                    f"{name} has two addresses of {family.name}, at most 1 is possible"
                )
            found[family] = str(address)
        if not found:
            raise ConfigError(f"{name} needs an address, such as 10.0.0.7")
        host = self._names[name] = Host(name, found)
        self._owners.update(dict.fromkeys(found.values(), host))
        return host

    def named(self, name: str) -> Host:
        """The machine with a name or address.

        Raises:
            ConfigError: There is none.
        """
        host = self._names.get(name) or self._owners.get(name)
        if host is None:
            raise ConfigError(f"{name} is no host; add_host({name!r}, address) makes it one")
        return host

    def current(self) -> Host:
        """The machine that the running code belongs to."""
        return _current.get() or self.first

    @contextlib.contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Run code as a machine's; see `Network.at`."""
        token = _current.set(self.named(name))
        try:
            yield
        finally:
            _current.reset(token)

    def owner(self, address: str) -> Host:
        """The machine that an address leads to from the current one."""
        known = ipaddress.ip_address(address)
        if known.is_loopback or known.is_unspecified:
            return self.current()
        return self._owners.get(address, self.first)

    # -- names -------------------------------------------------------------------------------------

    def resolve(
        self, host: str | bytes | None, port: Any, family: int, kind: int, flags: int
    ) -> list[tuple[int, int, int, str, Any]]:
        """As `socket.getaddrinfo`, with this network's names.

        Raises:
            socket.gaierror: The name or the port is not known.
        """
        number = _port_number(port)
        found: list[tuple[int, int, int, str, Any]] = []
        for own_family, address in self._look_up(host, family, flags):
            for own_kind, proto in _KINDS:
                if kind in {0, own_kind}:
                    at = (address, number)
                    full = at if own_family == socket.AF_INET else (*at, 0, 0)
                    found.append((own_family, own_kind, proto, "", full))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is no name of this network")
        return found

    def _look_up(
        self, host: str | bytes | None, family: int, flags: int
    ) -> list[tuple[socket.AddressFamily, str]]:
        name = host.decode() if isinstance(host, bytes) else host
        if not name:
            known = dict(_ANY if flags & socket.AI_PASSIVE else LOOPBACK)
        elif name == "localhost":
            known = dict(LOOPBACK)
        elif name in self._names:
            known = self._names[name].addresses
        else:
            try:
                address = ipaddress.ip_address(name)
            except ValueError:
                return []
            known = {socket.AF_INET if address.version == 4 else socket.AF_INET6: str(address)}
        return [(own, text) for own, text in known.items() if family in {0, own}]

    def name_of(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """As `socket.getnameinfo`, with this network's names.

        Raises:
            socket.gaierror: The address has no name, and one was required.
        """
        address, port = normal(sockaddr[0]), str(sockaddr[1])
        if flags & socket.NI_NUMERICHOST:
            return address, port
        owner = self._owners.get(address)
        if owner is None and ipaddress.ip_address(address).is_loopback:
            owner = self.first
        if owner is None and flags & socket.NI_NAMEREQD:
            raise socket.gaierror(socket.EAI_NONAME, f"{address} has no name in this network")
        return (address if owner is None else owner.name), port


def _port_number(port: Any) -> int:
    try:
        number = int(port or 0)
    except ValueError:
        try:
            return socket.getservbyname(port.decode() if isinstance(port, bytes) else port)
        except OSError:
            raise socket.gaierror(socket.EAI_SERVICE, f"{port!r} is no known service") from None
    if not 0 <= number <= 65_535:
        raise OverflowError(f"port is {number}, it must be 0 to 65535")
    return number
