"""An echo protocol on one of the loops: echo.py LOOP [CERTIFICATE KEY].

The loops are sennit, asyncio, uvloop, rloop; over TLS where a certificate is given.
"""

import asyncio
import ssl
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
    context = None
    if sys.argv[2:]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*sys.argv[2:])
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=65535, ssl=context)
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


new_loop(sys.argv[1]).run_until_complete(main())
