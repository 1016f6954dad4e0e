"""An echo protocol on one of the loops: sennit, asyncio, uvloop, rloop."""

import asyncio
import sys
from typing import Any

from loops import new_loop


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    __slots__ = ("_transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self._transport.write(data)


async def main() -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=65535)
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


new_loop(sys.argv[1]).run_until_complete(main())
