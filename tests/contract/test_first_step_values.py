"""A handler's context, its request, and what it returns or raises, in its first step and later."""

import asyncio
import functools
import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.asking import (
    GET,
    LAST,
    answer_of,
    ask,
    bodies,
    in_every_mode,
    variable,
    with_server,
)

import sennit
from sennit import http

# -- context ---------------------------------------------------------------------------------------


@in_every_mode
def test_each_request_has_a_context_of_its_own(mode: str) -> None:
    async def handler(request: http.Request) -> str:
        before = variable.get()
        variable.set(request.path)
        if request.query:
            await asyncio.sleep(0)
        return f"{before} {variable.get()}"

    async def scenario(server: http.Server) -> None:
        variable.set("later")
        requests = b"".join(
            b"GET /%d%s HTTP/1.1\r\nHost: h\r\n\r\n" % (number, b"?wait" * (number % 2))
            for number in range(6)
        )
        got = bodies(await ask(server, requests + LAST))
        paths = [b"/0", b"/1", b"/2", b"/3", b"/4", b"/5", b"/last"]
        assert got == [b"listening " + path for path in paths]
        assert variable.get() == "later"

    async def main() -> None:
        variable.set("listening")
        loop = asyncio.get_running_loop()
        if mode == "factory":
            loop.set_task_factory(lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw))
        if mode == "eager":
            loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        async with await http.listen(handler, "http://127.0.0.1:0") as server:
            await scenario(server)

    with asyncio.Runner(loop_factory=sennit.Reactor, debug=mode == "debug") as runner:
        runner.run(main())
    assert variable.get() == "unset"


def test_a_variable_that_is_reset_leaves_nothing() -> None:
    async def handler(_request: http.Request) -> str:
        token = variable.set("inside")
        variable.reset(token)
        return variable.get()

    async def scenario(server: http.Server) -> None:
        assert bodies(await ask(server, GET * 20 + LAST)) == [b"unset"] * 21

    assert with_server(handler, scenario) == []


# -- requests that are kept ------------------------------------------------------------------------


@pytest.mark.parametrize("pipelined", [True, False])
@pytest.mark.parametrize("suspends", [True, False])
def test_requests_that_are_kept_stay_right(pipelined: bool, suspends: bool) -> None:
    kept: list[http.Request] = []
    count = 1000

    async def handler(request: http.Request) -> str:
        kept.append(request)
        if suspends and len(kept) % 3 == 0:
            await asyncio.sleep(0)
        return request.path

    def raw(number: int) -> bytes:
        return (
            f"GET /{number}?q={number} HTTP/1.1\r\nHost: h{number}\r\nX-Number: {number}\r\n"
            f"X-Fill: {'x' * (number % 97)}\r\n\r\n"
        ).encode()

    async def scenario(server: http.Server) -> None:
        if pipelined:
            await ask(server, b"".join(raw(number) for number in range(count)) + LAST)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for number in range(count):
                writer.write(raw(number))
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(f"/{number}"))
            writer.close()

    with_server(handler, scenario)
    for number, request in enumerate(kept[:count]):
        assert request.method == "GET"
        assert request.target == f"/{number}?q={number}"
        assert request.headers["host"] == f"h{number}"
        assert request.headers["x-number"] == str(number)
        assert len(request.headers["x-fill"]) == number % 97


def test_a_request_is_kept_when_its_handler_fails() -> None:
    kept: list[http.Request] = []

    def handler(request: http.Request) -> str:
        kept.append(request)
        raise LookupError(request.path)

    async def scenario(server: http.Server) -> None:
        for number in range(20):
            raw = f"GET /{number} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
            await ask(server, raw)

    reports = with_server(handler, scenario)
    assert [request.path for request in kept] == [f"/{number}" for number in range(20)]
    assert len(reports) == 20


# -- exceptions and returned values ----------------------------------------------------------------


@in_every_mode
@pytest.mark.parametrize("suspends", [False, True])
def test_an_exception_is_a_500_and_reported_once(mode: str, suspends: bool) -> None:
    async def handler(request: http.Request) -> str:
        if suspends:
            await asyncio.sleep(0)
        raise LookupError(request.path)

    async def scenario(server: http.Server) -> None:
        data = await ask(server, GET + LAST)
        assert data.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert data.count(b"HTTP/1.1 500 ") == 2
        assert b"LookupError" not in data

    reports = with_server(handler, scenario, mode=mode)
    assert [type(report["exception"]) for report in reports] == [LookupError] * 2
    assert "handler of <sennit.http.Request GET />" in reports[0]["message"]


def test_the_log_is_readable(caplog: pytest.LogCaptureFixture) -> None:
    async def deep(request: http.Request) -> None:
        raise LookupError(request.path)

    async def handler(request: http.Request) -> str:
        await deep(request)
        return "never"

    async def main() -> None:
        async with await http.listen(handler, "http://127.0.0.1:0") as server:
            await ask(server)

    with caplog.at_level(logging.ERROR):
        sennit.run(main())
    (record,) = caplog.records
    assert record.exc_info is not None
    text = logging.Formatter().format(record)
    assert text.splitlines()[0] == "exception in the handler of <sennit.http.Request GET /last>"
    assert text.splitlines()[-1] == "LookupError: /last"
    assert ", in handler\n" in text
    assert ", in deep\n" in text


@in_every_mode
@pytest.mark.parametrize("suspends", [False, True])
def test_a_cancelled_error_raised_by_hand_ends_the_connection(mode: str, suspends: bool) -> None:
    async def handler(request: http.Request) -> str:
        if suspends:
            await asyncio.sleep(0)
        if request.path == "/last":
            raise asyncio.CancelledError
        return "ok"

    async def scenario(server: http.Server) -> None:
        assert bodies(await ask(server, GET + LAST)) == [b"ok"]
        assert len(asyncio.all_tasks()) == 1

    assert with_server(handler, scenario, mode=mode) == []


class Unusual(BaseException):
    """Neither an exception that a program handles nor one that ends it."""


@pytest.mark.parametrize("suspends", [False, True])
def test_another_base_exception_is_reported(suspends: bool) -> None:
    async def handler(_request: http.Request) -> str:
        if suspends:
            await asyncio.sleep(0)
        raise Unusual

    async def scenario(server: http.Server) -> None:
        assert await ask(server) == b""
        gc.collect()

    reports = with_server(handler, scenario)
    assert [type(report["exception"]) for report in reports] == [Unusual]


@in_every_mode
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("suspends", [False, True])
def test_the_end_of_the_program_leaves_the_loop(
    mode: str, kind: type[BaseException], suspends: bool
) -> None:
    async def handler(_request: http.Request) -> str:
        if suspends:
            await asyncio.sleep(0)
        raise kind

    loop = sennit.Reactor()
    loop.set_debug(mode == "debug")
    if mode == "factory":
        loop.set_task_factory(lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw))
    if mode == "eager":
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        await ask(server)

    task = loop.create_task(main())
    with pytest.raises(kind):
        loop.run_until_complete(task)
    # The loop is well: it can run again, and the program can clean up.
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


async def generator(_request: http.Request) -> Any:
    yield "ok"


@in_every_mode
@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (lambda _: None, "NoneType"),
        (lambda _: 7, "int"),
        (lambda _: ("ok",), "tuple"),
        (lambda _: bytearray(b"ok"), "bytearray"),
        (generator, "async_generator"),
    ],
)
def test_a_wrong_type_is_a_500_and_named(mode: str, handler: Any, name: str) -> None:
    async def scenario(server: http.Server) -> None:
        assert (await ask(server)).startswith(b"HTTP/1.1 500 ")

    reports = with_server(handler, scenario, mode=mode)
    (report,) = reports
    assert f"the handler returned {name}; return an http.Response" in str(report["exception"])


@in_every_mode
def test_a_foreign_future_is_an_error(mode: str) -> None:
    other = asyncio.new_event_loop()
    foreign = other.create_future()

    async def handler(_request: http.Request) -> str:
        await foreign
        return "never"

    async def scenario(server: http.Server) -> None:
        assert (await ask(server)).startswith(b"HTTP/1.1 500 ")

    reports = with_server(handler, scenario, mode=mode)
    other.close()
    assert "attached to a different loop" in str(reports[0]["exception"])


class ObjectHandler:
    """A handler that is an object."""

    async def __call__(self, request: http.Request) -> str:
        await asyncio.sleep(0)
        return request.path

    async def method(self, request: http.Request) -> str:
        return request.path


class NoCoroutine:
    """Something to await that is no coroutine."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return self.path


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(request: http.Request) -> Any:
        return function(request)

    return wrapper


async def with_two(_first: str, request: http.Request) -> str:
    return request.path


def makes_a_task(request: http.Request) -> asyncio.Task[str]:
    return asyncio.ensure_future(with_two("", request))


HANDLERS = {
    "object": ObjectHandler(),
    "method": ObjectHandler().method,
    "partial": functools.partial(with_two, "first"),
    "decorated": decorated(functools.partial(with_two, "first")),
    "lambda": lambda request: request.path,
    "awaitable": lambda request: NoCoroutine(request.path),
    "task": makes_a_task,
}


@in_every_mode
@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS.keys())
def test_every_kind_of_callable(mode: str, handler: http.Handler) -> None:
    assert answer_of(handler, mode) == b"/last"
