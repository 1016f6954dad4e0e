"""gevent: greenlets, and an http.client that blocks only the greenlet it is called from."""

from __future__ import annotations

import gevent
from gevent import monkey
from gevent.lock import BoundedSemaphore

# Before anything of it is used. ssl stays as it is: asyncio has imported it already, which is too
# late to patch it, and no request here needs it.
monkey.patch_all(ssl=False)

from sennit.lab.models.http_client import get  # noqa: E402
from sennit.lab.outcome import PACE, Outcome, tally  # noqa: E402

__all__ = ["run"]


def run(url: str, count: int) -> Outcome:
    """Make the requests, each in a greenlet of its own."""
    connecting = BoundedSemaphore(PACE)
    greenlets = [gevent.spawn(get, url, connecting) for _ in range(count)]
    gevent.joinall(greenlets)
    return tally(greenlet.value for greenlet in greenlets)
