"""A handler under `sennit.http`: http_handler.py KIND [CERTIFICATE KEY].

KIND is async, def, timeout, features, or sleep (100 ms).
"""

import asyncio
import sys

from serving import serve

from sennit import http, net


async def plain(_request: http.Request) -> http.Response:
    """What most handlers are."""
    return http.Response("Hello, World!")


def function(_request: http.Request) -> http.Response:
    """The same without a coroutine."""
    return http.Response("Hello, World!")


async def guarded(_request: http.Request) -> http.Response:
    """Enters a timeout, as careful handlers do."""
    async with asyncio.timeout(5):  # noqa: ASYNC100 - what is measured
        return http.Response("Hello, World!")


async def waiting(_request: http.Request) -> http.Response:
    """Suspends."""
    await asyncio.sleep(0.1)
    return http.Response("Hello, World!")


async def looking(request: http.Request) -> http.Response:
    """Asks for what most handlers ask for."""
    if request.method != "GET" or request.path != "/" or "host" not in request.headers:
        return http.Response("what?", 400)
    return http.Response("Hello, World!", headers={"x-frame-options": "DENY"})


HANDLERS = {
    "async": plain,
    "def": function,
    "timeout": guarded,
    "sleep": waiting,
    "features": looking,
}


kind, *files = sys.argv[1:]
limits: dict[str, int] = {"max_requests": 2**31, "max_connections": 19_000}
if files:
    tls = net.ServerTls(certificate=files[0], key=files[1])
    serve(HANDLERS[kind], "https://127.0.0.1:0", tls=tls, **limits)
else:
    serve(HANDLERS[kind], **limits)
