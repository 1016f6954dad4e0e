"""Large bodies: /up is streamed and thrown away, /big is a file, /made is made."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import sennit
from sennit import http

with Path(sys.argv[1]).open("rb") as file:
    BIG = http.FileBody(file)
PIECE = b"x" * 65536


def pieces() -> Iterator[bytes]:
    """A gigabyte."""
    for _ in range(1 << 14):
        yield PIECE


async def handler(request: http.Request) -> http.Response | str:
    """What is asked for."""
    if request.method == "PUT":
        size = 0
        async for piece in request.stream():
            size += len(piece)
        return str(size)
    return http.Response(BIG if request.path == "/big" else pieces())


async def main() -> None:
    """Serve until SIGTERM."""
    server = await http.listen(handler, "http://127.0.0.1:0")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print("PORT", server.port, flush=True)
    await stopped.wait()
    await server.close(0)


sennit.run(main())
