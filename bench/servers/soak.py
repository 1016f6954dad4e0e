"""A small application for a long load: routes, a body echoed, a handler that waits."""

import asyncio

from serving import serve

from sennit import http

app = http.Router()


@app.get("/")
async def root(_request: http.Request) -> http.Response:
    """What most requests ask for."""
    return http.Response("Hello, World!")


@app.get("/users/{id:int}")
def user(request: http.Request) -> http.Response:
    """Looks at what a handler looks at."""
    assert request.path_params["id"] == "17"
    assert request.headers["user-agent"] == "soak"
    return http.Response("Hello, World!", headers={"x-frame-options": "DENY"})


@app.get("/sleep")
async def sleep(_request: http.Request) -> http.Response:
    """Suspends."""
    await asyncio.sleep(0.001)
    return http.Response("Hello, World!")


@app.post("/echo")
async def echo(request: http.Request) -> http.Response:
    """Reads a body."""
    return http.Response(await request.body())


serve(app)
