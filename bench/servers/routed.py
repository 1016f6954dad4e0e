"""A handler by itself (fixed), one of 500 routes (routed), and one that reads its parameters."""

import asyncio
import signal
import sys

import sennit
from sennit import http

ROUTES = 500


async def fixed(_request: http.Request) -> http.Response:
    """The handler."""
    return http.Response("Hello, World!")


async def reading(request: http.Request) -> http.Response:
    """The same with a look at both parameters."""
    params = request.path_params
    if params["name"] != "ann" or params["id"] != "12":
        return http.Response("what?", 400)
    return http.Response("Hello, World!")


def routed(handler: http.Handler) -> http.Router:
    """The handler among many."""
    router = http.Router()
    for number in range(ROUTES):
        router.add(f"/area/{number}/users/{{name}}/posts/{{id:int}}", handler)
    return router


async def main() -> None:
    """Serve until SIGTERM."""
    kind = sys.argv[1]
    handler: http.Handler = fixed
    if kind == "routed":
        handler = routed(fixed)
    elif kind == "routed, read":
        handler = routed(reading)
    server = await http.listen(handler, "http://127.0.0.1:0", max_requests=2**31)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print("PORT", server.port, flush=True)
    await stopped.wait()
    await server.close(0)


sennit.run(main())
