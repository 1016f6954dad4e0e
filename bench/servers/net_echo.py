"""An echo protocol under `sennit.net`: net_echo.py URL [CERTIFICATE KEY]."""

import asyncio
import sys
from typing import Any

import sennit
from sennit import net


class Echo(net.Protocol):
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
    url, *files = sys.argv[1:]
    tls = net.ServerTls(certificate=files[0], key=files[1]) if files else None
    # By default a server keeps a fifth of the descriptors for other things.
    server = await net.listen(Echo, url, tls=tls, max_connections=19_500)
    print("PORT", server.port, flush=True)
    await asyncio.Event().wait()


sennit.run(main())
