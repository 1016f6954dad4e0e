"""Peers, servers and loops that go away under a handler, and that nothing of it is left."""

import asyncio
import gc
import socket
import struct
import weakref
from typing import Any

import pytest
from tests.contract.asking import (
    GET,
    LAST,
    ask,
    bodies,
    variable,
    with_server,
)

import sennit
from sennit import http

# -- the peer goes away ----------------------------------------------------------------------------


def test_a_reset_cancels_a_suspended_handler() -> None:
    heard: list[str] = []

    async def handler(_request: http.Request) -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise
        return "never"

    async def scenario(server: http.Server) -> None:
        reset = socket.create_connection(("127.0.0.1", server.port))
        reset.sendall(GET)
        while server.statistics()["requests"] == 0:
            await asyncio.sleep(0)
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.close()
        while server.statistics()["abandoned"] == 0:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard == ["cancelled"]

    assert with_server(handler, scenario) == []


def test_a_half_close_does_not() -> None:
    async def handler(_request: http.Request) -> str:
        await asyncio.sleep(0.01)
        return "answered"

    async def scenario(server: http.Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        writer.write_eof()
        assert bodies(await reader.read()) == [b"answered"]
        writer.close()

    assert with_server(handler, scenario) == []


def test_a_handler_that_closes_its_own_server() -> None:
    heard: list[str] = []
    servers: list[http.Server] = []

    async def handler(_request: http.Request) -> str:
        try:
            await servers[0].close(0)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise
        return "never"

    async def scenario(server: http.Server) -> None:
        servers.append(server)
        assert await ask(server) == b""
        for _ in range(3):
            await asyncio.sleep(0)
        servers.clear()

    assert with_server(handler, scenario) == []
    assert heard == ["cancelled"]


# -- the end ---------------------------------------------------------------------------------------


def test_a_loop_that_is_closed_takes_everything_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(request: http.Request) -> str:
        if request.path == "/wait":
            await asyncio.get_running_loop().create_future()
        return "ok"

    async def start() -> http.Server:
        server = await http.listen(handlers[0], "http://127.0.0.1:0")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET + b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"ok")
        while len(asyncio.all_tasks()) < 2:
            await asyncio.sleep(0)
        writer.transport.abort()
        return server

    handlers = [handler]
    with asyncio.Runner(loop_factory=sennit.Reactor) as runner:
        server = runner.run(start())
        handler_seen = weakref.ref(handler)
        loop_seen = weakref.ref(runner.get_loop())
    server_seen = weakref.ref(server)
    handlers.clear()
    del server, handler, runner
    gc.collect()
    assert handler_seen() is None
    assert server_seen() is None
    assert loop_seen() is None
    assert caplog.records == []


async def serve_once(kept: list[http.Request]) -> list[weakref.ref[Any]]:
    """A server that is closed, whose handler knows it, and which has kept its request."""

    async def handler(request: http.Request) -> str:
        kept.append(request)
        return str(known)

    async with await http.listen(handler, "http://127.0.0.1:0") as server:
        known = [server, handler]
        await ask(server)
    return [weakref.ref(handler), weakref.ref(server)]


def test_a_closed_server_leaves_nothing_in_a_running_loop() -> None:
    kept: list[http.Request] = []

    async def main() -> None:
        seen = await serve_once(kept)
        gc.collect()
        assert [reference() for reference in seen] == [None, None]

    sennit.run(main())
    assert kept[0].path == "/last"


def count_objects(*names: str) -> dict[str, int]:
    gc.collect()
    counts = dict.fromkeys(names, 0)
    for thing in gc.get_objects():
        name = type(thing).__name__
        if name in counts:
            counts[name] += 1
    return counts


WATCHED = ("Task", "Context", "Request", "Response", "HandlerCoroutine", "coroutine", "Ready")


@pytest.mark.parametrize("kind", ["plain", "async", "suspends", "fails", "timeout", "context"])
def test_ten_thousand_requests_leave_nothing(kind: str) -> None:
    def plain(_request: http.Request) -> http.Response:
        return http.Response("ok", headers={"x-a": "b"})

    async def at_once(request: http.Request) -> http.Response:
        return http.Response(str(request.headers["host"]))

    async def suspends(_request: http.Request) -> str:
        await asyncio.sleep(0)
        return "ok"

    async def fails(_request: http.Request) -> str:
        raise LookupError

    async def timeout(_request: http.Request) -> str:
        async with asyncio.timeout(60):  # noqa: ASYNC100 - entering it is the test
            return "ok"

    async def context(_request: http.Request) -> str:
        variable.set("inside")
        return "ok"

    handlers: dict[str, http.Handler] = {
        "plain": plain,
        "async": at_once,
        "suspends": suspends,
        "fails": fails,
        "timeout": timeout,
        "context": context,
    }

    async def scenario(server: http.Server) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)

        async def batch(count: int) -> None:
            data = await ask(server, GET * (count - 1) + LAST)
            assert data.count(b"HTTP/1.1 ") == count

        await batch(100)
        before = count_objects(*WATCHED)
        for _ in range(10):
            await batch(1000)
        after = count_objects(*WATCHED)
        # Cancelled timers, which hold their contexts, are swept out now and then.
        assert {name for name in WATCHED if after[name] - before[name] > 150} == set()

    with_server(handlers[kind], scenario)
