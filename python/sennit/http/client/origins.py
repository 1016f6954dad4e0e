"""The origins that a client knows: their names looked up, looked up again, and forgotten."""

from __future__ import annotations

import asyncio
import math
import os
from typing import TYPE_CHECKING, Any

from sennit.errors import ConnectError
from sennit.net import ClientTls

if TYPE_CHECKING:
    from sennit._native import core
    from sennit.http.policy.hosts import Origin
    from sennit.http.url import Target
    from sennit.reactor import Reactor

__all__ = ["Origins"]

_ADDRESSES_ARE_GOOD_FOR = 60.0
"""Seconds until a name is looked up again: nobody tells us how long the answer is good for."""

_MANY = 256
"""Origins; when there are more, those that nobody uses any more are looked for and forgotten."""


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
    """

    def __init__(
        self,
        reactor: Reactor,
        native: core.HttpClient,
        tls: ClientTls | None,
        unix: str | os.PathLike[str] | None,
    ) -> None:
        self._reactor = reactor
        self._native = native
        self._tls = tls
        self._unix = None if unix is None else os.fsencode(unix)
        self._known: dict[Origin, _Known] = {}
        self._looking_up: dict[Origin, asyncio.Task[int]] = {}
        self._many = _MANY

    def find(self, target: Target, now: float) -> int | None:
        """The native core's number of an origin; None: it has to be looked up."""
        known = self._known.get(target.origin)
        if known is not None and known.fresh_until > now:
            return known.number
        if target.is_numeric or self._unix is not None:
            return self._keep(target.origin, self._places_of(target.origin), math.inf)
        return None

    async def look_up(self, origin: Origin) -> int:
        """The number of an origin, after a look-up that everybody shares who waits for it.

        Raises:
            ConnectError: It has no address.
        """
        lookup = self._looking_up.get(origin)
        if lookup is None:
            lookup = self._reactor.create_task(self._look_up(origin))
            self._looking_up[origin] = lookup
            lookup.add_done_callback(lambda _: self._looking_up.pop(origin, None))
        return await asyncio.shield(lookup)

    def doubt(self, origin: Origin) -> None:
        """No connection could be made: its name is looked up again before the next one."""
        known = self._known.get(origin)
        if known is not None and not math.isinf(known.fresh_until):
            known.fresh_until = 0.0

    async def close(self) -> None:
        """Give up what is being looked up."""
        lookups = list(self._looking_up.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _look_up(self, origin: Origin) -> int:
        try:
            found = await self._reactor.getaddrinfo(origin.host, origin.port, type=1)
        except (OSError, UnicodeError) as error:
            raise ConnectError(f"no address was found for {origin.host}: {error}") from error
        # An address with a scope (fe80::1%eth0) is of one link only; the core does not know it.
        numeric = (info[4][:2] for info in found if "%" not in info[4][0])
        places = list(dict.fromkeys(numeric))
        if not places:
            raise ConnectError(f"no address without a scope was found for {origin.host}")
        return self._keep(origin, places, self._reactor.time() + _ADDRESSES_ARE_GOOD_FOR)

    def _places_of(self, origin: Origin) -> list[Any]:
        return [(origin.host, origin.port)] if self._unix is None else [self._unix]

    def _keep(self, origin: Origin, places: list[Any], fresh_until: float) -> int:
        known = self._known.get(origin)
        if known is not None:
            known.fresh_until = fresh_until
            self._native.set_places(known.number, places)
            return known.number
        tls = self._tls_for(origin)
        number = self._native.add_origin(places, None if tls is None else tls.native, origin.host)
        self._known[origin] = _Known(number, fresh_until)
        if len(self._known) > self._many:
            self._forget_unused(origin)
        return number

    def _tls_for(self, origin: Origin) -> ClientTls | None:
        if origin.scheme != "https":
            return None
        if self._tls is None:
            # Reading the system's authorities takes a while: only who needs them waits for it.
            self._tls = ClientTls()
        return self._tls

    def _forget_unused(self, newest: Origin) -> None:
        """Origins without connections and requests are forgotten."""
        for origin, known in list(self._known.items()):
            if origin != newest and self._native.forget_origin(known.number):
                del self._known[origin]
        # So that a client of very many busy origins does not look at all of them every time.
        self._many = max(_MANY, 2 * len(self._known))
