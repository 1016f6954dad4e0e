"""A small application for a long load: routes, a body echoed, a handler that waits."""

import asyncio
import signal

import sennit
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


async def main() -> None:
    """Serve until SIGTERM."""
    server = await http.listen(app, "http://127.0.0.1:0")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print("PORT", server.port, flush=True)
    await stopped.wait()
    await server.close(0)


sennit.run(main())
