"""asyncio by itself: coroutines, its streams and as much HTTP as one request needs."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from sennit.lab.outcome import BODY, PACE, Outcome, tally

__all__ = ["run"]


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("the answer says no content-length")


async def _get(host: str, port: int, connecting: asyncio.Semaphore) -> bool:
    async with connecting:
        reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: %b:%d\r\n\r\n" % (host.encode(), port))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        return head.startswith(b"HTTP/1.1 200 ") and body == BODY
    finally:
        writer.close()


async def _get_all(url: str, count: int) -> Outcome:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    connecting = asyncio.Semaphore(PACE)
    answers = (_get(host, port, connecting) for _ in range(count))
    return tally(await asyncio.gather(*answers, return_exceptions=True))


def run(url: str, count: int) -> Outcome:
    """Make the requests, each in a task of its own."""
    return asyncio.run(_get_all(url, count))
