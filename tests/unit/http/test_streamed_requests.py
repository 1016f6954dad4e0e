"""Bodies of requests that come piece by piece, as fast as their handler takes them."""

import asyncio
from typing import Any

import pytest
from tests.unit.http.talking import (
    GET,
    Peer,
    chunked,
    connected,
    eventually,
    post,
    with_peer,
    with_server,
)

from sennit import errors, http

BIG = bytes(range(256)) * 8192  # 2 MiB


async def total(request: http.Request) -> str:
    size = 0
    async for piece in request.stream():
        assert isinstance(piece, bytes)
        assert piece
        size += len(piece)
    return str(size)


@pytest.mark.parametrize(
    "raw",
    [
        post(BIG),
        chunked(*(BIG[at : at + 70_001] for at in range(0, len(BIG), 70_001))),
        chunked(*(BIG[at : at + 10] for at in range(0, 5000, 10))),
        post(b""),
        post(b"x"),
        GET,
    ],
    ids=["length", "chunks", "tiny chunks", "empty", "one byte", "no body"],
)
@pytest.mark.parametrize("size", [1_000_000_000, 65_537, 7])
def test_a_body_is_streamed_whole(raw: bytes, size: int) -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        if size == 7 and len(raw) > 20_000:
            return
        for at in range(0, len(raw), size):
            peer.send(raw[at : at + size])
            await peer.writer.drain()
        body = raw.partition(b"\r\n\r\n")[2]
        if b"chunked" in raw:
            body = BIG if len(raw) > 100_000 else BIG[:5000]
        assert (await peer.answer()).body == str(len(body)).encode()
        # The connection goes on.
        assert (await peer.ask()).body == b"0"
        assert server.statistics()["bodies_too_large"] == 0

    assert with_peer(total, scenario, max_body_size=10) == []


def test_what_nobody_asks_for_is_not_read() -> None:
    sizes: list[int] = []
    go = asyncio.Event()

    async def handler(request: http.Request) -> str:
        async for piece in request.stream():
            sizes.append(len(piece))
            await go.wait()
        return "done"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.writer.transport.set_write_buffer_limits(high=0)
        peer.send(post(b"x" * 50_000_000))
        blocked = asyncio.ensure_future(peer.writer.drain())
        await eventually(lambda: sizes)
        for _ in range(100):
            await asyncio.sleep(0)
        # Most of it waits on the other side.
        assert len(sizes) == 1
        assert not blocked.done()
        go.set()
        assert (await peer.answer()).body == b"done"
        await blocked
        assert sum(sizes) == 50_000_000
        assert max(sizes) <= 512 * 1024

    assert with_peer(handler, scenario) == []


def test_a_continue_is_sent_when_the_stream_is_asked_for() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        head, _, body = post(b"hello", "Expect: 100-continue").partition(b"\r\n\r\n")
        peer.send(head + b"\r\n\r\n")
        assert (await peer.head()).status == 100
        peer.send(body)
        assert (await peer.answer()).body == b"5"

    assert with_peer(total, scenario) == []


def test_a_stream_breaks_off_with_its_connection() -> None:
    seen: list[BaseException] = []

    async def handler(request: http.Request) -> str:
        try:
            async for _ in request.stream():
                pass
        except errors.ConnectionLostError as error:
            seen.append(error)
            raise
        return "never"

    async def scenario(server: http.Server) -> None:
        async with connected(server) as peer:
            peer.send(post(b"x" * 1000)[:-500])
            peer.writer.write_eof()
            assert (await peer.head()).status == 400

    assert with_server(handler, scenario) == []
    assert len(seen) == 1


def test_a_broken_chunk_ends_the_stream_with_an_error() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(chunked(b"hello")[:-5] + b"zz\r\n")
        assert (await peer.answer()).status == 400
        assert await peer.end() == b""

    assert with_peer(total, scenario) == []


def test_what_was_taken_whole_is_one_piece() -> None:
    async def handler(request: http.Request) -> str:
        await request.body()
        pieces = [piece async for piece in request.stream()]
        assert [piece async for piece in request.stream()] == pieces
        return repr(pieces)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(b"hello"))).body == b"[b'hello']"
        assert (await peer.ask(post(b""))).body == b"[]"

    assert with_peer(handler, scenario) == []


@pytest.mark.parametrize("raw", [post(b"0123456789"), chunked(b"01234", b"56789")])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", ["body", "text", "json", "form", "stream"])
def test_a_body_that_a_stream_has_begun_is_nobody_else_s(
    raw: bytes, whole: bool, name: str
) -> None:
    async def handler(request: http.Request) -> str:
        other = request.stream()
        stream = request.stream()
        got = await anext(stream)
        if whole:
            got += b"".join([piece async for piece in stream])
        with pytest.raises(errors.BusyError, match="a stream has begun to take this body"):
            await anext(other)
        with pytest.raises(errors.BusyError, match="a stream has begun to take this body"):
            await getattr(request, name)()
        # The stream itself goes on.
        return (got + b"".join([piece async for piece in stream])).decode()

    async def scenario(peer: Peer, _server: http.Server) -> None:
        for at in range(0, len(raw), 7):
            peer.send(raw[at : at + 7])
            await asyncio.sleep(0)
        assert (await peer.answer()).body == b"0123456789"

    assert with_peer(handler, scenario) == []


def test_a_body_that_is_waited_for_is_not_streamed() -> None:
    async def handler(request: http.Request) -> str:
        given_up = asyncio.ensure_future(request.body())
        await asyncio.sleep(0)
        body = asyncio.ensure_future(request.body())
        await asyncio.sleep(0)
        with pytest.raises(errors.BusyError, match="waiting for the whole of this body"):
            await anext(request.stream())
        given_up.cancel()
        if request.path == "/given-up":
            body.cancel()
            return b"".join([piece async for piece in request.stream()]).decode()
        return (await body).decode()

    async def scenario(server: http.Server) -> None:
        for path in ("/", "/given-up"):
            async with connected(server) as peer:
                peer.send(post(b"hello", path=path)[:-3])
                await asyncio.sleep(0.01)
                peer.send(b"llo")
                assert (await peer.answer()).body == b"hello"

    assert with_server(handler, scenario) == []


def test_text_and_json_have_limits_of_their_own() -> None:
    async def handler(request: http.Request) -> Any:
        read = request.json if request.path == "/json" else request.text
        limit = request.headers.get("limit")
        return [await read(max_size=int(limit) if limit else None)]

    async def scenario(server: http.Server) -> None:
        async def ask(path: str, size: int, *fields: str) -> int:
            async with connected(server) as peer:
                return (await peer.ask(post(b"1" * size, *fields, path=path))).status

        for path in ("/json", "/text"):
            assert await ask(path, 10) == 200
            assert await ask(path, 11) == 413
            assert await ask(path, 20, "limit: 20") == 200
            assert await ask(path, 21, "limit: 20") == 413
            assert await ask(path, 4, "limit: 3") == 413
        assert server.statistics()["bodies_too_large"] == 6

    assert with_server(handler, scenario, max_body_size=10) == []


def test_two_tasks_cannot_wait_for_one_stream() -> None:
    async def handler(request: http.Request) -> str:
        stream = request.stream()
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task is waiting"):
            await anext(stream)
        return (await first).decode()

    async def scenario(peer: Peer, _server: http.Server) -> None:
        head, _, body = post(b"hello").partition(b"\r\n\r\n")
        peer.send(head + b"\r\n\r\n")
        await asyncio.sleep(0.01)
        peer.send(body)
        assert (await peer.answer()).body == b"hello"

    assert with_peer(handler, scenario) == []


def test_a_handler_may_stop_reading() -> None:
    async def handler(request: http.Request) -> str:
        return str(len(await anext(request.stream())) > 0)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(post(b"x" * 1_000_000))
        answer = await peer.answer()
        # Nobody will read the rest: the connection ends.
        assert (answer.body, answer.headers["connection"]) == (b"True", "close")

    assert with_peer(handler, scenario) == []


def test_a_larger_body_may_be_asked_for() -> None:
    async def handler(request: http.Request) -> str:
        if request.path == "/small":
            with pytest.raises(errors.RemoteProtocolError, match="larger than 3 bytes"):
                await request.body(max_size=3)
            return "refused"
        return str(len(await request.body(max_size=100)))

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(b"x" * 50))).body == b"50"
        assert (await peer.ask(post(b"xxxx", path="/small"))).body == b"refused"

    assert with_peer(handler, scenario, max_body_size=10) == []


def test_an_echo_streams_both_ways_at_once() -> None:
    async def handler(request: http.Request) -> http.Response:
        async def back() -> Any:
            async for piece in request.stream():
                yield piece

        return http.Response(back())

    async def scenario(peer: Peer, server: http.Server) -> None:
        for _ in range(2):
            peer.send(post(BIG))
            assert (await peer.in_chunks())[1] == BIG
        assert server.statistics()["accepted"] == 1

    assert with_peer(handler, scenario) == []
