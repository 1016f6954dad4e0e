"""What the HTTP servers have in common: they say where they listen, and serve until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import sennit
from sennit import http

URL = "http://127.0.0.1:0"


def serve(handler: http.Handler, url: str = URL, **options: Any) -> None:
    """Serve a handler: the whole program."""

    async def main() -> None:
        server = await http.listen(handler, url, **options)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        print("PORT", server.port, flush=True)
        await stopped.wait()
        await server.close(0)

    sennit.run(main())
