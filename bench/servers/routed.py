"""A handler by itself (fixed), one of 500 routes (routed), and one that reads its parameters."""

import sys

from serving import serve

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


KINDS = {"routed": lambda: routed(fixed), "routed, read": lambda: routed(reading)}
serve(KINDS.get(sys.argv[1], lambda: fixed)(), max_requests=2**31)
