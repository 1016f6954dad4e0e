"""Certificates that change while a server runs, for its new connections."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from sennit.net.tls import ServerTls
    from sennit.reactor import Reactor

__all__ = ["CertificateWatch", "look"]

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
        try:
            for settings in self._settings:
                found = look(settings)
                self.reloads += found is True
                self.failures += found is False
        finally:
            self.start()


def look(settings: ServerTls, now: float | None = None) -> bool | None:
    """Have files that have changed read again.

    Args:
        settings: Whose files.
        now: The loop's time where nobody looks regularly: then once an interval is enough.

    Returns:
        Whether that worked; None if there was nothing to do.
    """
    if now is not None:
        if 0 <= now - settings._looked_at < _INTERVAL:  # noqa: SLF001 - one room
            return None
        settings._looked_at = now  # noqa: SLF001 - as above
    try:
        if not settings.has_changed():
            return None
        settings.reload()
    except Exception as error:  # noqa: BLE001 - whatever it is, the next look may find it mended
        _logger.error("certificates stay as they were: %s", error)
        return False
    _logger.info("certificates were read again, new connections get them")
    return True
