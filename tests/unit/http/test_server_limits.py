"""Every limit of the server holds, says so to the peer, and is counted."""

import asyncio
import resource
from typing import Any

import pytest
from tests.unit.http.talking import (
    GET,
    LAST,
    Peer,
    chunked,
    connected,
    eventually,
    post,
    with_peer,
    with_server,
)

from sennit import errors, http

SOON = 0.03

COUNTERS = {limit.name: limit.counter for limit in http.LIMITS}


def path(request: http.Request) -> str:
    return request.path


async def echo(request: http.Request) -> bytes:
    return await request.body()


def get(target: str = "/", *fields: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: h", *fields, "", ""]).encode()


# -- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "fits", "too_large", "status"),
    [
        # The line: "GET /", so many x, " HTTP/1.1".
        ({"max_request_line": 64}, get("/" + "x" * 50), get("/" + "x" * 51), 414),
        ({"max_head_size": 200}, get("/", "X: " + "x" * 168), get("/", "X: " + "x" * 169), 431),
        ({"max_header_count": 3}, get("/", "A: 1", "B: 2"), get("/", "A: 1", "B: 2", "C: 3"), 431),
    ],
    ids=["max_request_line", "max_head_size", "max_header_count"],
)
@pytest.mark.parametrize("piecewise", [False, True])
def test_heads(
    settings: dict[str, float], fits: bytes, too_large: bytes, status: int, piecewise: bool
) -> None:
    (name,) = settings

    async def scenario(peer: Peer, server: http.Server) -> None:
        for raw, expected in ((fits, 200), (too_large, status)):
            for at in range(0, len(raw), 7 if piecewise else len(raw)):
                peer.send(raw[at : at + (7 if piecewise else len(raw))])
                await asyncio.sleep(0)
            answer = await peer.answer()
            assert answer.status == expected
        assert name.encode() in answer.body
        assert await peer.end() == b""
        assert server.statistics()[COUNTERS[name]] == 1
        assert server.statistics()["protocol_errors"] == 0
        assert server.statistics()["requests"] == 1

    assert with_peer(path, scenario, **settings) == []


def test_an_endless_line_is_not_collected() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(b"GET /" + b"x" * 100_000)
        assert (await peer.answer()).status == 414

    assert with_peer(path, scenario) == []


@pytest.mark.parametrize("make", [post, chunked], ids=["length", "chunked"])
def test_max_body_size(make: Any) -> None:
    seen: list[errors.RemoteProtocolError] = []

    async def handler(request: http.Request) -> bytes:
        try:
            return await request.body()
        except errors.RemoteProtocolError as error:
            seen.append(error)
            raise

    async def scenario(peer: Peer, server: http.Server) -> None:
        assert len((await peer.ask(make(b"x" * 1000))).body) == 1000
        answer = await peer.ask(make(b"x" * 1001))
        assert answer.status == 413
        assert answer.headers["connection"] == "close"
        assert await peer.end() == b""
        assert server.statistics()["bodies_too_large"] == 1

    assert with_peer(handler, scenario, max_body_size=1000) == []
    assert str(seen[0]) == "request body is larger than 1000 bytes (max_body_size)"
    assert seen[0].hint == 413


def test_a_body_that_announces_too_much_is_refused_at_once() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n")
        peer.send(b"Expect: 100-continue\r\n\r\n")
        assert (await peer.answer()).status == 413
        assert server.statistics()["bodies_too_large"] == 1

    assert with_peer(echo, scenario) == []


def test_max_requests() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(GET * 10)
        answers = [await peer.answer() for _ in range(3)]
        assert ["connection" in answer.headers for answer in answers] == [False, False, True]
        assert await peer.end() == b""
        assert server.statistics()["connections_used_up"] == 1

    assert with_peer(path, scenario, max_requests=3) == []


def test_max_pipelined() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(GET * 10)
        assert [(await peer.answer()).status for _ in range(10)] == [200] * 10
        assert server.statistics()["pipelines_paused"] == 3

    assert with_peer(path, scenario, max_pipelined=3) == []


@pytest.mark.parametrize(
    ("settings", "fits", "too_large", "status"),
    [
        ({"max_chunk_extension": 4}, b"1;abc\r\nx\r\n0\r\n\r\n", b"1;abcd\r\nx\r\n0\r\n\r\n", 400),
        ({"max_trailer_size": 8}, b"0\r\na: 1\r\n\r\n", b"0\r\na: 12\r\n\r\n", 431),
    ],
    ids=["max_chunk_extension", "max_trailer_size"],
)
def test_what_stands_around_chunks(
    settings: dict[str, float], fits: bytes, too_large: bytes, status: int
) -> None:
    (name,) = settings
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def scenario(peer: Peer, server: http.Server) -> None:
        assert (await peer.ask(head + fits)).status == 200
        assert (await peer.ask(head + too_large)).status == status
        assert await peer.end() == b""
        assert server.statistics()[COUNTERS[name]] == 1
        assert server.statistics()["protocol_errors"] == 0

    assert with_peer(echo, scenario, **settings) == []


def test_max_connections() -> None:
    async def scenario(server: http.Server) -> None:
        async with connected(server) as one, connected(server) as two:
            await one.ask()
            await two.ask()
            async with connected(server) as three:
                refusal = await three.answer()
                assert refusal.status == 503
                assert refusal.headers["retry-after"] == "1"
                assert await three.end() == b""
            assert server.statistics()["refused"] == 1
            assert server.statistics()["open"] == 2
            await one.ask(LAST)
            assert await one.end() == b""
            await eventually(lambda: server.statistics()["open"] == 1)
            async with connected(server) as four:
                assert (await four.ask()).status == 200

    assert with_server(path, scenario, max_connections=2) == []


# -- deadlines ------------------------------------------------------------------------------------


def test_header_timeout_for_a_peer_that_says_nothing() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        assert await peer.end() == b""
        assert server.statistics()["header_timeouts"] == 1

    assert with_peer(path, scenario, header_timeout=SOON) == []


def test_header_timeout_for_a_peer_that_drips() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        await peer.ask()
        begun = asyncio.get_running_loop().time()
        ended = asyncio.ensure_future(peer.end())
        while not ended.done():
            peer.send(b"G")
            await asyncio.sleep(SOON / 3)
        assert asyncio.get_running_loop().time() - begun < 60
        assert server.statistics()["header_timeouts"] == 1
        assert server.statistics()["keep_alive_timeouts"] == 0

    assert with_peer(path, scenario, header_timeout=SOON * 8, keep_alive_timeout=60) == []


def test_keep_alive_timeout() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        await peer.ask()
        assert await peer.end() == b""
        assert server.statistics()["keep_alive_timeouts"] == 1
        assert server.statistics()["header_timeouts"] == 0

    assert with_peer(path, scenario, keep_alive_timeout=SOON) == []


def test_no_deadline_while_a_handler_works() -> None:
    async def handler(_request: http.Request) -> str:
        await asyncio.sleep(SOON * 12)
        return "late"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask()).body == b"late"

    settings = dict.fromkeys(
        ("header_timeout", "keep_alive_timeout", "body_timeout", "write_timeout"), SOON * 8
    )
    assert with_peer(handler, scenario, **settings) == []


@pytest.mark.parametrize("part", [b"", b"123"])
def test_body_timeout(part: bytes) -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n" + part)
        answer = await peer.answer()
        assert answer.status == 408
        assert answer.headers["connection"] == "close"
        assert await peer.end() == b""
        assert server.statistics()["body_timeouts"] == 1

    assert with_peer(echo, scenario, body_timeout=SOON) == []


def test_write_timeout() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.send(GET)
        await eventually(lambda: server.statistics()["write_timeouts"])
        assert server.statistics()["open"] == 0
        assert server.statistics()["keep_alive_timeouts"] == 0

    handler = b"x" * 50_000_000
    assert with_peer(lambda _: handler, scenario, write_timeout=SOON) == []


def test_a_slow_reader_is_not_idle() -> None:
    """An answer that takes longer to read than the keep-alive time is still read to its end."""
    size = 20_000_000

    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(GET)
        await peer.head()
        got = 0
        while got < size:
            got += len(await peer.reader.read(1_000_000))
            await asyncio.sleep(SOON / 5)
        assert got == size
        # Then it is, at the latest.
        assert await peer.end() == b""
        assert server.statistics()["keep_alive_timeouts"] == 1

    answer = b"x" * size
    assert with_peer(lambda _: answer, scenario, keep_alive_timeout=SOON) == []


def test_a_large_answer_is_not_held_twice() -> None:
    """Readers that are slow cost the server no copies of what it sends them."""
    answer = b"x" * 50_000_000

    async def scenario(server: http.Server) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with connected(server) as one, connected(server) as two, connected(server) as three:
            for peer in (one, two, three):
                peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
                peer.send(GET)
            await eventually(lambda: server.statistics()["answered"] == 3)
            for peer in (one, two, three):
                peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
                await peer.head()
                got = 0
                while got < len(answer):
                    got += len(await peer.reader.read(1_000_000))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (after - before) * 1024 < 40_000_000

    assert with_server(lambda _: answer, scenario) == []
