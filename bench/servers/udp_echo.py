"""An echo of datagrams: udp_echo.py LOOP, or `socket` for a DatagramSocket of sennit.net."""

import asyncio
import sys
from typing import Any

from loops import new_loop


class Echo(asyncio.DatagramProtocol):
    """Sends back what comes."""

    __slots__ = ("_transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Send it back."""
        self._transport.sendto(data, addr)


async def by_protocol() -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", 0))
    print("PORT", transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


async def by_socket() -> None:
    """Serve until killed, with await."""
    from sennit import net  # noqa: PLC0415 - the other loops need none of it

    async with await net.bind("udp://127.0.0.1:0") as ours:
        print("PORT", ours.port, flush=True)
        async for data, address in ours:
            ours.send(data, address)


if sys.argv[1] == "socket":
    new_loop("sennit").run_until_complete(by_socket())
else:
    new_loop(sys.argv[1]).run_until_complete(by_protocol())
