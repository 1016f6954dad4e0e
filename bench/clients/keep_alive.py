"""GETs over connections that stay open, 64 at once, by one client: prints a line for each round.

    keep_alive.py CLIENT URL COUNT

A line on standard input begins a round of COUNT requests; the answer is a line of JSON.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable

CLIENT, URL, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
AT_ONCE = 64
BODY = b"Hello, World!"

Fetch = Callable[[], Awaitable[bytes]]


async def measure(fetch: Fetch) -> None:
    """Answer lines with rounds."""

    async def worker(count: int) -> None:
        for _ in range(count):
            assert await fetch() == BODY

    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        before = resource.getrusage(resource.RUSAGE_SELF)
        begin = loop.time()
        await asyncio.gather(*(worker(COUNT // AT_ONCE) for _ in range(AT_ONCE)))
        wall = loop.time() - begin
        after = resource.getrusage(resource.RUSAGE_SELF)
        user = after.ru_utime - before.ru_utime
        cpu = user + after.ru_stime - before.ru_stime
        requests = COUNT // AT_ONCE * AT_ONCE
        scale = 1e6 / requests
        print(json.dumps({"cpu_us": cpu * scale, "user_us": user * scale, "wall_us": wall * scale}))
        sys.stdout.flush()


async def sennit_client() -> None:
    """Sennit's."""
    from sennit import http  # noqa: PLC0415 - each client in a process of its own

    async with http.Client() as client:

        async def fetch() -> bytes:
            return await (await client.get(URL)).body()

        await measure(fetch)


async def aiohttp_client() -> None:
    """The client of aiohttp."""
    import aiohttp  # noqa: PLC0415

    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def fetch() -> bytes:
            async with session.get(URL) as response:
                return await response.read()

        await measure(fetch)


async def pyreqwest_client() -> None:
    """A Rust client (reqwest) under asyncio."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415

    async with ClientBuilder().max_connections(AT_ONCE).build() as client:

        async def fetch() -> bytes:
            response = await client.get(URL).build().send()
            return bytes(await response.bytes())

        await measure(fetch)


def main() -> None:
    """Run one client."""
    if CLIENT == "sennit":
        import sennit  # noqa: PLC0415

        sennit.run(sennit_client())
    elif CLIENT == "aiohttp-uvloop":
        import uvloop  # noqa: PLC0415

        uvloop.run(aiohttp_client())
    else:
        asyncio.run({"aiohttp": aiohttp_client, "pyreqwest": pyreqwest_client}[CLIENT]())


main()
