"""pyreqwest: a Rust client with a runtime thread of its own, awaited from asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pyreqwest.client import ClientBuilder

from sennit.lab.outcome import BODY, Outcome, tally

if TYPE_CHECKING:
    from pyreqwest.client import Client

__all__ = ["run"]


async def _get(client: Client, url: str) -> bool:
    response = await client.get(url).build().send()
    return response.status == 200 and await response.bytes() == BODY


async def _get_all(url: str, count: int) -> Outcome:
    # No connection is kept for another request: each has a new one, as with the other models.
    async with ClientBuilder().pool_max_idle_per_host(0).build() as client:
        answers = (_get(client, url) for _ in range(count))
        return tally(await asyncio.gather(*answers, return_exceptions=True))


def run(url: str, count: int) -> Outcome:
    """Make the requests, each in a task of its own."""
    return asyncio.run(_get_all(url, count))
