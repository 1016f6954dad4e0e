"""Responses that are read in pieces: back-pressure, ends, failures, codings."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.unit.http.misbehaving import answering, origin, read_head

import sennit
from sennit import errors, http, testing

PIECE = bytes(range(256)) * 64  # 16 KiB
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def with_server(
    handler: http.Handler, scenario: Callable[[str, http.Client], Awaitable[Any]], **settings: Any
) -> None:
    """Runs a scenario with a server and a client."""

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        async with asyncio.timeout(30), http.Client(**settings) as client:
            await scenario(server.urls[0], client)
        await server.close(0)

    sennit.run(main())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.0005)


def test_pieces_come_in_order_and_the_connection_is_kept() -> None:
    def handler(request: http.Request) -> http.Response:
        if request.path == "/length":
            return http.Response(PIECE * 40)
        return http.Response(iter([PIECE] * 40))

    async def scenario(url: str, client: http.Client) -> None:
        for path in ("/length", "/chunks", "/length"):
            async with client.stream("GET", url + path) as response:
                assert (response.status, response.is_success) == (200, True)
                assert response.raise_for_status() is response
                pieces = [piece async for piece in response.stream()]
            assert all(pieces)
            assert b"".join(pieces) == PIECE * 40
        counted = client.statistics()
        assert (counted["connected"], counted["reused"], counted["responses"]) == (1, 2, 3)

    with_server(handler, scenario)


def test_answers_without_a_body_end_at_once() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        for method, status in (("GET", 204), ("HEAD", 200)):
            async with client.stream(method, f"{url}/{status}") as response:
                assert [piece async for piece in response.stream()] == []
                assert response.status == status
        async with client.stream("GET", url + "/200") as response:
            assert await response.body() == b""
        assert client.statistics()["connected"] == 1

    with_server(lambda request: http.Response(status=int(request.path[1:])), scenario)


def test_a_body_that_nobody_reads_makes_its_origin_wait() -> None:
    made = 0
    ended = asyncio.Event()

    def endless() -> Any:
        nonlocal made
        try:
            while True:
                made += len(PIECE)
                yield PIECE
        finally:
            ended.set()

    async def scenario(url: str, client: http.Client) -> None:
        async with client.stream("GET", url) as response:
            pieces = response.stream()
            assert await anext(pieces)
            before = -1
            # The kernel's buffers are filled, and then nothing moves.
            while made != before:
                before = made
                await asyncio.sleep(0.05)
            assert made < 64 * 2**20
            taken, enough = 0, made + 2**20
            while taken < enough:
                taken += len(await anext(pieces))
            assert made > before
        # What is left is given up, and the origin learns of it.
        await ended.wait()
        assert client.statistics()["open"] == 0

    with_server(lambda _: http.Response(endless()), scenario)


def test_a_response_that_is_forgotten_gives_its_connection_up() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        stream = client.stream("GET", url)
        response = await stream.__aenter__()
        assert client.statistics()["open"] == 1
        del stream, response
        gc.collect()
        assert client.statistics()["open"] == 0

    with_server(lambda _: http.Response(iter([PIECE] * 1000)), scenario)


def test_a_body_is_read_once_and_by_one() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        async with client.stream("GET", url) as response:
            assert await response.text() == "body"
            with pytest.raises(RuntimeError, match="already"):
                await response.body()
        async with client.stream("GET", url) as response:
            pass
        with pytest.raises(errors.ClosedError):
            await response.body()

    with_server(lambda _: "body", scenario)


def test_a_whole_body_has_a_limit() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        for settings, name in (({}, "max_response_size"), ({"max_size": 9_999}, "max_size")):
            async with client.stream("GET", url) as response:
                with pytest.raises(errors.OverloadedError, match=rf"larger than .* \({name}\)"):
                    await response.body(**settings)
        assert client.statistics()["open"] == 0
        async with client.stream("GET", url) as response:
            assert len(await response.body(max_size=16 * 40 * 1024)) == 16 * 40 * 1024

    with_server(lambda _: http.Response(iter([PIECE] * 40)), scenario, max_response_size=20_000)


def test_json_of_a_stream_and_its_errors() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        async with client.stream("GET", url + "/json") as response:
            assert await response.json() == {"a": 1}
        async with client.stream("GET", url + "/text") as response:
            with pytest.raises(errors.RemoteProtocolError, match="JSON"):
                await response.json()
        async with client.stream("GET", url + "/none") as response:
            with pytest.raises(errors.StatusError, match="404"):
                response.raise_for_status()

    pages: dict[str, Any] = {"/json": {"a": 1}, "/text": "no", "/none": http.Response("", 404)}
    with_server(lambda request: pages[request.path], scenario)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            errors.ConnectionLostError,
            "while receiving the response's body: the peer has closed the connection",
        ),
        (CHUNKED + b"4\r\nhalf", errors.ConnectionLostError, "has closed"),
        (CHUNKED + b"4\r\nhalf\r\nxyz\r\n", errors.RemoteProtocolError, "chunk"),
    ],
)
def test_a_body_that_is_cut_short_fails_behind_what_has_come(
    answer: bytes, error: type[Exception], message: str
) -> None:
    async def main() -> None:
        async with origin(answering(answer, close=True)) as url, http.Client() as client:
            got = b""
            async with client.stream("GET", url) as response:
                pieces = response.stream()
                got += await anext(pieces)
                with pytest.raises(error, match=message) as caught:
                    await anext(pieces)
            assert got == b"half"
            told: Any = caught.value
            assert (told.step, told.origin) == ("receiving the response's body", url)
            assert client.statistics()["failures"] == 1

    sennit.run(main())


def test_closing_the_client_ends_who_reads() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(CHUNKED + b"1\r\nx\r\n")
        await reader.read()

    async def main() -> None:
        async with origin(script) as url:
            client = http.Client()
            async with client.stream("GET", url) as response:
                pieces = response.stream()
                assert await anext(pieces) == b"x"
                reading = asyncio.ensure_future(anext(pieces))
                await asyncio.sleep(0)
                await client.close()
                with pytest.raises(errors.ClosedError):
                    await reading

    sennit.run(main())


def test_a_stream_may_take_longer_than_a_request_but_not_be_silent() -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(40)
            yield b"drop"
        await asyncio.sleep(10_000)

    async def main() -> None:
        server = await http.listen(lambda _: http.Response(drip()), "http://127.0.0.1:80")
        client = http.Client(total_timeout=50, read_timeout=45)
        async with client, client.stream("GET", "http://127.0.0.1/") as response:
            pieces = response.stream()
            assert [await anext(pieces) for _ in range(5)] == [b"drop"] * 5
            with pytest.raises(errors.DeadlineError, match=r"longer than read_timeout"):
                await anext(pieces)
        await server.close(0)

    testing.run(main())


def test_whoever_does_not_read_is_not_timed_out() -> None:
    async def main() -> None:
        body = PIECE * 100
        server = await http.listen(
            lambda _: http.Response(iter([PIECE] * 100)), "http://127.0.0.1:80", write_timeout=9e5
        )
        client = http.Client(read_timeout=5)
        async with client, client.stream("GET", "http://127.0.0.1/") as response:
            pieces = response.stream()
            got = await anext(pieces)
            await asyncio.sleep(3600)
            async for piece in pieces:
                got += piece
            assert got == body
        await server.close(0)

    testing.run(main())


def test_redirects_and_cookies_work_for_streams() -> None:
    def handler(request: http.Request) -> http.Response:
        if request.path == "/":
            response = http.Response.redirect("/next")
            response.set_cookie("a", "b")
            return response
        return http.Response(iter([request.cookies["a"]]))

    async def scenario(url: str, client: http.Client) -> None:
        async with client.stream("GET", url) as response:
            assert [one.status for one in response.history] == [302]
            assert response.url == url + "/next"
            assert await response.body() == b"b"

    with_server(handler, scenario)
