"""Asking a handler, in each way in which its loop may make tasks."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import sennit
from sennit import http

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def ask(server: http.Server, raw: bytes = LAST) -> bytes:
    """Everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(raw)
        return await reader.read()
    finally:
        writer.close()


def bodies(data: bytes) -> list[bytes]:
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        found.append(data[:length])
        data = data[length:]
    return found


Scenario = Callable[[http.Server], Awaitable[Any]]


def with_server(
    handler: http.Handler, scenario: Scenario, *, mode: str = "plain", **settings: float
) -> list[dict[str, Any]]:
    """Runs a scenario against a handler; what the loop's exception handler was told."""
    reports: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        if mode == "factory":
            loop.set_task_factory(lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw))
        if mode == "eager":
            loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        async with await http.listen(handler, "http://127.0.0.1:0", **settings) as server:
            await scenario(server)

    with asyncio.Runner(loop_factory=sennit.Reactor, debug=mode == "debug") as runner:
        runner.run(main())
    return reports


MODES = [
    "plain",
    "debug",
    "factory",
    pytest.param(
        "eager",
        marks=pytest.mark.skipif(
            not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with Python 3.12"
        ),
    ),
]
in_every_mode = pytest.mark.parametrize("mode", MODES)


def answer_of(handler: http.Handler, mode: str = "plain") -> bytes:
    """The body of the one answer; nothing may be reported."""
    got: list[bytes] = []

    async def scenario(server: http.Server) -> None:
        got.extend(bodies(await ask(server)))

    reports = with_server(handler, scenario, mode=mode)
    assert reports == []
    (body,) = got
    return body
