"""Certificates that change while a server runs, for its new connections."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sennit.errors import ConfigError

if TYPE_CHECKING:
    import asyncio

    from sennit.net.tls import ServerTls
    from sennit.reactor import Reactor

__all__ = ["CertificateWatch"]

_logger = logging.getLogger("sennit.net")

_INTERVAL = 1.0
"""Seconds between two looks at the files of certificates."""


class CertificateWatch:
    """Looks at the files of a server's certificates, and has them read again when they change."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._settings: list[ServerTls] = []
        self._timer: asyncio.TimerHandle | None = None
        self.reloads = 0
        """How often certificates were read again."""
        self.failures = 0
        """How often that failed, so that they stayed as they were."""

    def add(self, settings: ServerTls) -> None:
        """Look at the files of these settings too; once, however often they are given."""
        if settings not in self._settings:
            self._settings.append(settings)

    def start(self) -> None:
        """Begin to look, if there is anything to look at."""
        if self._settings:
            self._timer = self._reactor.call_later(_INTERVAL, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        for settings in self._settings:
            if settings.has_changed():
                try:
                    settings.reload()
                except ConfigError as error:
                    self.failures += 1
                    _logger.error("certificates stay as they were: %s", error)
                else:
                    self.reloads += 1
                    _logger.info("certificates were read again, new connections get them")
        self.start()
