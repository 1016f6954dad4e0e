"""The same handler under aiohttp on asyncio."""

import asyncio

from aiohttp import web


async def hello(_request: web.Request) -> web.Response:
    """Thirteen bytes."""
    return web.Response(text="Hello, World!")


async def main() -> None:
    """Serve until killed."""
    runner = web.ServerRunner(web.Server(hello))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=65535)
    await site.start()
    print("PORT", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
