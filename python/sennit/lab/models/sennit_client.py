"""Sennit as a program uses it: coroutines on a Reactor, one `http.Client`.

Connections are not kept: with the other models as well each request has a new one.
"""

from __future__ import annotations

import asyncio

from sennit.http import Client
from sennit.lab.outcome import BODY, PACE, Outcome, tally
from sennit.reactor import run as run_on_reactor

__all__ = ["run"]

# The lab has a deadline of its own; this one only must not come first.
_TOTAL_TIMEOUT_S = 600.0


async def _get(client: Client, url: str) -> bool:
    response = await client.get(url)
    return response.status == 200 and await response.body() == BODY


async def _get_all(url: str, count: int) -> Outcome:
    async with Client(
        max_connections=count,
        max_connections_per_origin=count,
        max_connecting=PACE,
        total_timeout=_TOTAL_TIMEOUT_S,
        keep_alive=False,
    ) as client:
        answers = (_get(client, url) for _ in range(count))
        return tally(await asyncio.gather(*answers, return_exceptions=True))


def run(url: str, count: int) -> Outcome:
    """Make the requests, each in a task of its own."""
    return run_on_reactor(_get_all(url, count))
