"""The wires between a simulated network's hosts: how good each is, and which are cut."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from sennit.testing.hosts import Hosts

if TYPE_CHECKING:
    from sennit.testing.hosts import Host
    from sennit.testing.link import Link

__all__ = ["Wires"]


class Wires:
    """What lies between hosts, and a count of what has gone over it."""

    def __init__(self, seed: int, link: Link | None) -> None:
        self.seed = seed
        self.hosts = Hosts()
        self.counts: collections.Counter[str] = collections.Counter()
        self._link = link
        self._links: dict[tuple[Host, Host], Link] = {}
        self._walls: set[frozenset[Host]] = set()
        self._isolated: set[Host] = set()

    def set(self, link: Link, source: str, destination: str) -> None:
        """See `Network.set_link`."""
        self._links[self.hosts.named(source), self.hosts.named(destination)] = link

    def between(self, source: Host, destination: Host) -> Link | None:
        """The wire in one direction; None: there is nothing that could delay or lose anything."""
        return self._links.get((source, destination), self._link)

    def cut(self, one: str, other: str | None) -> None:
        """See `Network.partition`."""
        if other is None:
            self._isolated.add(self.hosts.named(one))
        else:
            self._walls.add(frozenset((self.hosts.named(one), self.hosts.named(other))))

    def heal(self) -> None:
        """Undo every cut."""
        self._walls.clear()
        self._isolated.clear()

    def can_reach(self, source: Host, destination: Host) -> bool:
        """Whether anything gets through."""
        if source is destination:
            return True
        if source in self._isolated or destination in self._isolated:
            return False
        return frozenset((source, destination)) not in self._walls
