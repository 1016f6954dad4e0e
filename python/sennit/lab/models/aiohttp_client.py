"""aiohttp on asyncio: coroutines, one `ClientSession` without a bound on its connections."""

from __future__ import annotations

import asyncio

import aiohttp

from sennit.lab.outcome import BODY, Outcome, tally

__all__ = ["get_all", "run"]


async def _get(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url) as response:
        return response.status == 200 and await response.read() == BODY


async def get_all(url: str, count: int) -> Outcome:
    """Make the requests on whatever loop runs, each in a task of its own."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        answers = (_get(session, url) for _ in range(count))
        return tally(await asyncio.gather(*answers, return_exceptions=True))


def run(url: str, count: int) -> Outcome:
    """Make the requests on asyncio's own loop."""
    return asyncio.run(get_all(url, count))
