"""Large bodies: /up is streamed and thrown away, /big is a file, /made is made."""

import sys
from collections.abc import Iterator
from pathlib import Path

from serving import serve

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


serve(handler)
