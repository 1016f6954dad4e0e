"""Proxies: which one stands between the client and a host, by settings or by the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from sennit.errors import ConfigError
from sennit.http.policy.authentication import Basic, basic_of
from sennit.http.policy.hosts import DEFAULT_PORTS, canonical_host, is_address

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NoProxy", "Proxies", "Proxy"]

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_LONGEST_SOCKS_TEXT = 255
"""Bytes of a SOCKS user name or password: their length is one byte. Source: RFC 1929."""

_BLANK = re.compile(r"[\x00-\x20\x7f]")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxy:
    """A proxy, by its URL: `http://`, `https://`, `socks5://` or `socks5h://`, user and port.

    With `socks5` the client looks the host up, with `socks5h` (and HTTP proxies) the proxy does.

    Args:
        url: Such as `http://user:password@proxy.example:3128`. Without a port it is that of the
            scheme: 80, 443, 1080.

    Raises:
        ConfigError: It is no such URL. The error shows neither user nor password.
    """

    __slots__ = ("authentication", "host", "password", "port", "scheme", "user")

    def __init__(self, url: str) -> None:
        shown = repr(_without_userinfo(url))
        if _BLANK.search(url):
            raise ConfigError(f"proxy {shown} has a blank or control character")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            # With a user in it the error itself may show the password.
            problem = "cannot be read" if "@" in url else str(error)
            raise ConfigError(f"proxy {shown}: {problem}") from None
        if parts.scheme not in _PORTS or "://" not in url:
            known = ", ".join(f"{scheme}://" for scheme in _PORTS)
            raise ConfigError(f"proxy {shown} has none of the schemes {known}")
        if not parts.hostname:
            raise ConfigError(f"proxy {shown} names no host; write {parts.scheme}://HOST:PORT")
        if port == 0:
            raise ConfigError(f"proxy {shown} has port 0; ports are 1 to 65535")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ConfigError(f"proxy {shown} has more than host and port")
        self.scheme = parts.scheme
        self.host = canonical_host(parts.hostname)
        self.port = port or _PORTS[parts.scheme]
        userinfo = parts.netloc.rpartition("@")[0]
        self.authentication: Basic | None = basic_of(userinfo) if userinfo else None
        """What an HTTP proxy gets as `proxy-authorization`."""
        self.user = None if self.authentication is None else self.authentication.user
        self.password = None if self.authentication is None else self.authentication.password
        if self.is_socks:
            for name, text in (("user name", self.user), ("password", self.password)):
                if text is not None and not 1 <= len(text.encode()) <= _LONGEST_SOCKS_TEXT:
                    raise ConfigError(
                        f"proxy {shown} has a {name} of {len(text.encode()):,} bytes, and a SOCKS "
                        f"proxy takes 1 to {_LONGEST_SOCKS_TEXT} (RFC 1929); write "
                        f"{self.scheme}://USER:PASSWORD@HOST:PORT, or neither"
                    )

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS 5 and not HTTP."""
        return self.scheme.startswith("socks")

    @property
    def looks_up_hosts(self) -> bool:
        """Whether it is told names of hosts, and not addresses."""
        return self.scheme != "socks5"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = "" if self.user is None else "***@"
        return f"<sennit.http.Proxy {self.scheme}://{user}{host}:{self.port}>"

    def _key(self) -> tuple[object, ...]:
        return self.scheme, self.host, self.port, self.user, self.password


class NoProxy:
    """The hosts that are reached without a proxy.

    Args:
        text: Parted by commas or blanks: `example.com` (and every host below it, with or without a
            dot in front), `10.0.0.0/8`, `::1`, each also with a port (`example.com:8080`,
            `[::1]:443`); `*` for every host. An entry that is none of these matches nothing.
    """

    __slots__ = ("_is_all", "_names", "_networks")

    def __init__(self, text: str = "") -> None:
        self._is_all = False
        self._names: list[tuple[str, int | None]] = []
        self._networks: list[tuple[_Network, int | None]] = []
        for entry in text.replace(",", " ").split():
            host, port = _split_port(entry.lower())
            network = _network_of(host)
            if host == "*" and port is None:
                self._is_all = True
            elif network is not None:
                self._networks.append((network, port))
            else:
                name = _name_of(host)
                if name:
                    self._names.append((name, port))

    def matches(self, host: str, port: int) -> bool:
        """Whether a host (IPv6 without brackets) is reached without a proxy."""
        if self._is_all:
            return True
        host = canonical_host(host).rstrip(".")
        if is_address(host):
            address = ipaddress.ip_address(host.partition("%")[0])
            return any(
                address in network and wanted in {None, port} for network, wanted in self._networks
            )
        return any(
            (host == name or host.endswith("." + name)) and wanted in {None, port}
            for name, wanted in self._names
        )


class Proxies:
    """Which proxy a request goes through.

    Args:
        http: For `http://`; a URL, or a proxy.
        https: For `https://`.
        other: For whatever has none of its own.
        no_proxy: The hosts that are reached without one, as `NoProxy` takes them.

    Raises:
        ConfigError: A URL is not that of a proxy.
    """

    __slots__ = ("_by_scheme", "_no_proxy", "_other")

    def __init__(
        self,
        *,
        http: Proxy | str | None = None,
        https: Proxy | str | None = None,
        other: Proxy | str | None = None,
        no_proxy: str = "",
    ) -> None:
        plain, secure = _proxy(http), _proxy(https)
        self._by_scheme = {"http": plain, "ws": plain, "https": secure, "wss": secure}
        self._other = _proxy(other)
        self._no_proxy = NoProxy(no_proxy)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Proxies:
        """As `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say, the way curl reads them.

        Lower case wins over upper case, and a variable that is empty does not count. `HTTP_PROXY`
        is not looked at: in a CGI program it is a field of the request, and so anybody's
        (CVE-2016-5385). A proxy without a scheme is an `http://` one.

        Args:
            environment: The process's own by default.

        Raises:
            ConfigError: A variable is not the URL of a proxy; the message names it.
        """
        variables = os.environ if environment is None else environment

        def proxy(*names: str) -> Proxy | None:
            name = next((name for name in names if variables.get(name)), None)
            if name is None:
                return None
            url = variables[name]
            try:
                return Proxy(url if "://" in url else f"http://{url}")
            except ConfigError as error:
                raise ConfigError(f"environment variable {name}: {error}") from error

        return cls(
            http=proxy("http_proxy"),
            https=proxy("https_proxy", "HTTPS_PROXY"),
            other=proxy("all_proxy", "ALL_PROXY"),
            no_proxy=variables.get("no_proxy") or variables.get("NO_PROXY") or "",
        )

    def proxy_for(self, url: SplitResult) -> Proxy | None:
        """The proxy for a request; None: go there directly."""
        proxy = self._by_scheme.get(url.scheme) or self._other
        if proxy is None:
            return None
        port = url.port or DEFAULT_PORTS.get(url.scheme, 0)
        return None if self._no_proxy.matches(url.hostname or "", port) else proxy


def _proxy(proxy: Proxy | str | None) -> Proxy | None:
    return Proxy(proxy) if isinstance(proxy, str) else proxy


def _without_userinfo(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else url.rpartition("@")[2]


def _split_port(entry: str) -> tuple[str, int | None]:
    """The host of an entry, without brackets, and its port."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        if not rest:
            return host, None
        port = rest.removeprefix(":")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    else:
        return entry, None
    # A port that is none must not let the whole host through: -1 is no connection's port.
    return host, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1


def _name_of(entry: str) -> str:
    """The name that hosts are compared with; empty if it is none."""
    try:
        return canonical_host(entry.removeprefix("*").removeprefix(".").rstrip("."))
    except ConfigError:
        return ""


def _network_of(text: str) -> _Network | None:
    if not is_address(text.partition("/")[0]):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
