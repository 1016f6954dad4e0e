"""The origins that a client knows: their names looked up, looked up again, and forgotten."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from sennit._native import core
from sennit.errors import ConfigError, ConnectError
from sennit.http.policy.hosts import Origin, is_address
from sennit.net import ClientTls

if TYPE_CHECKING:
    from sennit.http.policy.proxies import Proxies, Proxy
    from sennit.http.url import Target
    from sennit.reactor import Reactor

__all__ = ["Origins", "in_turns"]

_ADDRESSES_ARE_GOOD_FOR = 60.0
"""Seconds until a name is looked up again: nobody tells us how long the answer is good for."""

_MANY_WAYS = 4096
"""Origins whose proxy is remembered."""

_MANY = 256
"""Origins; when there are more, those that nobody uses any more are looked for and forgotten."""


class Way(NamedTuple):
    """How an origin is reached: by which proxy."""

    origin: Origin
    """That of the proxy itself where it gets absolute targets: it serves all that go through it."""
    proxy: Proxy | None
    is_forwarded: bool = False
    """Whether the proxy gets the request itself, with an absolute target, and is no tunnel."""


class _Known:
    """One origin of the native core's."""

    __slots__ = ("fresh_until", "number")

    def __init__(self, number: int, fresh_until: float) -> None:
        self.number = number
        self.fresh_until = fresh_until


class Origins:
    """Whom a client talks to.

    Args:
        reactor: Looks names up.
        native: Where the connections are made.
        tls: For https; None: the system's authorities are trusted.
        unix: Every origin is behind this UNIX socket; None: each is where its name leads.
        proxies: Between here and the origins; None: there are none.

    Raises:
        ConfigError: There are a UNIX socket and proxies.
    """

    def __init__(
        self,
        reactor: Reactor,
        native: core.HttpClient,
        tls: ClientTls | None,
        unix: str | os.PathLike[str] | None,
        proxies: Proxies | None,
    ) -> None:
        if unix is not None and proxies is not None:
            raise ConfigError("unix and proxies are given; requests take one way")
        self._reactor = reactor
        self._native = native
        self._tls = tls
        self._unix = None if unix is None else os.fsencode(unix)
        self._proxies = proxies
        self._ways: dict[Origin, Way] = {}
        self._known: dict[Origin | Way, _Known] = {}
        self._looking_up: dict[Origin | Way, asyncio.Task[int]] = {}
        self._many = _MANY

    @property
    def has_proxies(self) -> bool:
        """Whether requests may go through a proxy."""
        return self._proxies is not None

    def find(self, target: Target, now: float) -> int | None:
        """The native core's number of an origin; None: it has to be looked up.

        Raises:
            ConfigError: Its proxy cannot be used for it.
        """
        way = target.origin if self._proxies is None else self._way(target.origin)
        known = self._known.get(way)
        if known is not None and known.fresh_until > now:
            return known.number
        if self._unix is not None:
            return self._keep(way, [self._unix], None, math.inf)
        host, port = _place_of(way)
        is_numeric = target.is_numeric if way is target.origin else is_address(host)
        if is_numeric and not _is_looked_up(way):
            return self._keep(way, [(host, port)], None, math.inf)
        return None

    async def look_up(self, target: Target) -> int:
        """The number of an origin, after a look-up that everybody shares who waits for it.

        Raises:
            ConnectError: It has no address.
        """
        way = target.origin if self._proxies is None else self._way(target.origin)
        lookup = self._looking_up.get(way)
        if lookup is None:
            lookup = self._reactor.create_task(self._look_up(way))
            self._looking_up[way] = lookup
            lookup.add_done_callback(lambda _: self._looking_up.pop(way, None))
        return await asyncio.shield(lookup)

    def doubt(self, target: Target) -> None:
        """No connection could be made: its name is looked up again before the next one."""
        way = target.origin if self._proxies is None else self._way(target.origin)
        known = self._known.get(way)
        if known is not None and not math.isinf(known.fresh_until):
            known.fresh_until = 0.0

    def forwarded(self, target: Target, path_and_query: str, fields: bytes) -> tuple[str, bytes]:
        """The request target and fields for a proxy that passes requests on; others' are as given.

        Source: RFC 9112 section 3.2.2.
        """
        way = self._way(target.origin)
        if not way.is_forwarded or way.proxy is None:
            return path_and_query, fields
        authentication = way.proxy.authentication
        if authentication is not None:
            fields += core.render_fields([("proxy-authorization", authentication.field()[1])])
        return f"http://{target.authority}{path_and_query}", fields

    def _way(self, origin: Origin) -> Way:
        way = self._ways.get(origin)
        if way is None:
            if len(self._ways) >= _MANY_WAYS:
                self._ways.clear()
            way = self._ways[origin] = self._find_way(origin)
        return way

    def _find_way(self, origin: Origin) -> Way:
        assert self._proxies is not None
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        proxy = self._proxies.proxy_for(urlsplit(f"{origin.scheme}://{host}:{origin.port}"))
        if proxy is None or proxy.is_socks:
            return Way(origin, proxy)
        if proxy.scheme == "https" and origin.scheme == "https":
            raise ConfigError(
                f"{proxy!r} is reached over TLS; TLS to an origin inside of that is not supported, "
                "use an http:// or socks5:// proxy for https URLs"
            )
        if origin.scheme == "https":
            return Way(origin, proxy)
        return Way(Origin(proxy.scheme, proxy.host, proxy.port), proxy, is_forwarded=True)

    async def close(self) -> None:
        """Give up what is being looked up."""
        lookups = list(self._looking_up.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _look_up(self, way: Origin | Way) -> int:
        places = await self._addresses(*_place_of(way))
        address = None
        if _is_looked_up(way) and isinstance(way, Way):
            address = (await self._addresses(way.origin.host, way.origin.port))[0][0]
        return self._keep(way, places, address, self._reactor.time() + _ADDRESSES_ARE_GOOD_FOR)

    async def _addresses(self, host: str, port: int) -> list[tuple[str, int]]:
        try:
            found = await self._reactor.getaddrinfo(host, port, type=1)
        except (OSError, UnicodeError) as error:
            raise ConnectError(f"no address was found for {host}: {error}") from error
        # An address with a scope (fe80::1%eth0) is of one link only; the core does not know it.
        numeric = (info[4][:2] for info in found if "%" not in info[4][0])
        places: list[tuple[str, int]] = list(dict.fromkeys(numeric))
        if not places:
            raise ConnectError(f"no address without a scope was found for {host}")
        return in_turns(places)

    def _keep(
        self, way: Origin | Way, places: list[Any], address: str | None, fresh_until: float
    ) -> int:
        known = self._known.get(way)
        if known is not None:
            known.fresh_until = fresh_until
            self._native.set_places(known.number, places)
            return known.number
        origin = way.origin if isinstance(way, Way) else way
        tls = self._tls_for(origin)
        number = self._native.add_origin(
            places, _asked(way, address), None if tls is None else tls.native, origin.host
        )
        self._known[way] = _Known(number, fresh_until)
        if len(self._known) > self._many:
            self._forget_unused(way)
        return number

    def _tls_for(self, origin: Origin) -> ClientTls | None:
        if origin.scheme != "https":
            return None
        if self._tls is None:
            # Reading the system's authorities takes a while: only who needs them waits for it.
            self._tls = ClientTls()
        return self._tls

    def _forget_unused(self, newest: Origin | Way) -> None:
        """Origins without connections and requests are forgotten."""
        for origin, known in list(self._known.items()):
            if origin != newest and self._native.forget_origin(known.number):
                del self._known[origin]
        # So that a client of very many busy origins does not look at all of them every time.
        self._many = max(_MANY, 2 * len(self._known))


def in_turns(places: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Addresses of both families in turns, beginning with that of the first. RFC 8305 section 4.

    Where one family does not work at all, the second address tried is one of the other.
    """
    families: dict[bool, list[tuple[str, int]]] = {}
    for place in places:
        families.setdefault(":" in place[0], []).append(place)
    turns = itertools.zip_longest(*families.values())
    return [place for turn in turns for place in turn if place is not None]


def _place_of(way: Origin | Way) -> tuple[str, int]:
    """Host and port that connections are made to."""
    if isinstance(way, Way) and way.proxy is not None:
        return way.proxy.host, way.proxy.port
    origin = way.origin if isinstance(way, Way) else way
    return origin.host, origin.port


def _is_looked_up(way: Origin | Way) -> bool:
    """Whether the origin's own name has to be looked up for its proxy."""
    if not isinstance(way, Way) or way.proxy is None or way.proxy.looks_up_hosts:
        return False
    return not is_address(way.origin.host)


def _asked(
    way: Origin | Way, address: str | None
) -> bytes | tuple[str, int, str | None, str | None] | None:
    """How the proxy of an origin is asked for a tunnel; None: it has none.

    Source: RFC 9110 section 9.3.6; RFC 1928.
    """
    if not isinstance(way, Way) or way.proxy is None or way.is_forwarded:
        return None
    proxy, origin = way.proxy, way.origin
    if proxy.is_socks:
        return address or origin.host, origin.port, proxy.user, proxy.password
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
    if proxy.authentication is not None:
        lines.append(f"Proxy-Authorization: {proxy.authentication.field()[1]}")
    return "\r\n".join((*lines, "", "")).encode()
