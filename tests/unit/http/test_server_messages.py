"""The server: requests in any cut, answers in their order, and when a connection goes on."""

import asyncio

import pytest
from tests.unit.http.talking import (
    GET,
    LAST,
    Peer,
    chunked,
    connected,
    post,
    with_peer,
    with_server,
)

from sennit import errors, http


async def echo(request: http.Request) -> http.Response:
    body = await request.body()
    return http.Response(body, headers={"x-path": request.path})


def path(request: http.Request) -> str:
    return request.path


# -- keep-alive and order -------------------------------------------------------------------------


def test_a_connection_is_kept() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        for _ in range(20):
            answer = await peer.ask()
            assert (answer.status, answer.body) == (200, b"/")
            assert "connection" not in answer.headers
        answer = await peer.ask(LAST)
        assert answer.headers["connection"] == "close"
        assert await peer.end() == b""
        assert server.statistics()["accepted"] == 1
        assert server.statistics()["answered"] == 21

    assert with_peer(path, scenario) == []


def test_an_answer_has_date_type_and_length() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        answer = await peer.ask()
        assert list(answer.headers) == ["date", "content-type", "content-length"]
        assert answer.headers["date"].endswith(" GMT")

    assert with_peer(path, scenario) == []


def test_pipelined_answers_keep_their_order() -> None:
    async def handler(request: http.Request) -> str:
        number = int(request.path[1:])
        if number % 3 == 0:
            await asyncio.sleep(0.002)
        elif number % 3 == 1:
            await asyncio.sleep(0)
        return request.path

    async def scenario(peer: Peer, _server: http.Server) -> None:
        for number in range(60):
            peer.send(f"GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        for number in range(60):
            assert (await peer.answer()).body == f"/{number}".encode()

    assert with_peer(handler, scenario) == []


@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("size", [10, 15_000, 100_000, 1_000_000])
def test_pipelined_large_answers_all_come(size: int, suspends: bool) -> None:
    async def handler(_request: http.Request) -> bytes:
        if suspends:
            await asyncio.sleep(0)
        return b"x" * size

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(GET * 20)
        for _ in range(20):
            assert len((await peer.answer()).body) == size
        peer.send(GET * 20 + b"GET / HTTP/1.1\r\nHo")
        for _ in range(20):
            assert len((await peer.answer()).body) == size
        assert len((await peer.ask(b"st: h\r\n\r\n")).body) == size

    assert with_peer(handler, scenario) == []


def test_answers_to_a_pipeline_do_not_pile_up() -> None:
    calls = []

    def handler(request: http.Request) -> bytes:
        calls.append(request.path)
        return b"x" * 16_000

    async def scenario(peer: Peer, _server: http.Server) -> None:
        # Far more than the sockets take; the peer does not read.
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.send(GET * 2000)
        before = -1
        while len(calls) != before:
            before = len(calls)
            await asyncio.sleep(0.05)
        assert before < 1500
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(2000):
            await peer.answer()

    assert with_peer(handler, scenario) == []


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ("", False),
        ("Connection: keep-alive\r\n", True),
        ("Connection: close\r\n", False),
    ],
)
def test_http_1_0(fields: str, kept: bool) -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        answer = await peer.ask(f"GET / HTTP/1.0\r\n{fields}\r\n".encode())
        assert answer.body == b"1.0"
        if kept:
            assert answer.headers["connection"] == "keep-alive"
            assert (await peer.ask()).body == b"1.1"
        else:
            assert answer.headers["connection"] == "close"
            assert await peer.end() == b""

    assert with_peer(lambda request: request.http_version, scenario) == []


def test_head_has_the_length_and_no_body() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        for size in (5, 100_000):
            peer.send(b"HEAD /%d HTTP/1.1\r\nHost: h\r\n\r\n" % size)
            answer = await peer.answer(to_head=True)
            assert answer.status == 200
            assert answer.headers["content-length"] == str(size)
            assert (await peer.ask(b"GET /3 HTTP/1.1\r\nHost: h\r\n\r\n")).body == b"xxx"

    assert with_peer(lambda request: b"x" * int(request.path[1:]), scenario) == []


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body(status: int) -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(GET)
        answer = await peer.answer()
        assert answer.status == status
        assert "content-length" not in answer.headers
        assert (await peer.ask(LAST)).status == status
        assert await peer.end() == b""

    assert with_peer(lambda _: http.Response("not sent", status), scenario) == []


# -- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000, 3_000_000])
def test_bodies(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        for _ in range(2):
            assert (await peer.ask(post(body))).body == body
            pieces = [body[at : at + 70_000] for at in range(0, size, 70_000)]
            assert (await peer.ask(chunked(*pieces))).body == body

    assert with_peer(echo, scenario) == []


MESSAGES = post(b"one") + chunked(b"tw", b"o") + GET + chunked() + post(b"") + post(b"last")


@pytest.mark.parametrize("suspends", [False, True])
def test_any_cut_gives_the_same_answers(suspends: bool) -> None:
    async def handler(request: http.Request) -> http.Response:
        if suspends:
            await asyncio.sleep(0)
        return await echo(request)

    async def scenario(server: http.Server) -> None:
        for cut in range(1, len(MESSAGES)):
            async with connected(server) as peer:
                peer.send(MESSAGES[:cut])
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                peer.send(MESSAGES[cut:])
                bodies = [(await peer.answer()).body for _ in range(6)]
                assert bodies == [b"one", b"two", b"", b"", b"", b"last"], cut

    assert with_server(handler, scenario) == []


def test_byte_by_byte() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        for at in range(len(MESSAGES)):
            peer.send(MESSAGES[at : at + 1])
            await asyncio.sleep(0)
        bodies = [(await peer.answer()).body for _ in range(6)]
        assert bodies == [b"one", b"two", b"", b"", b"", b"last"]

    assert with_peer(echo, scenario) == []


def test_the_body_can_be_had_twice() -> None:
    async def handler(request: http.Request) -> str:
        first, second = await asyncio.gather(
            asyncio.ensure_future(request.body()), asyncio.ensure_future(request.body())
        )
        third = await request.body()
        return str(first is second is third)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        raw = post(b"12345")
        peer.send(raw[:-2])
        await asyncio.sleep(0.001)
        peer.send(raw[-2:])
        assert (await peer.answer()).body == b"True"

    assert with_peer(handler, scenario) == []


def test_a_body_is_not_there_after_the_answer() -> None:
    kept: list[http.Request] = []

    def handler(request: http.Request) -> str:
        kept.append(request)
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        await peer.ask(post(b"12345"))
        with pytest.raises(errors.ClosedError, match="answered before its body was read"):
            await kept[0].body()

    assert with_peer(handler, scenario) == []


@pytest.mark.parametrize("suspends", [False, True])
def test_who_still_waits_for_a_body_hears_of_the_answer(suspends: bool) -> None:
    waiting: list[asyncio.Future[bytes]] = []

    async def handler(request: http.Request) -> str:
        waiting.append(asyncio.ensure_future(request.body()))
        if suspends:
            await asyncio.sleep(0)
        return "early"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(post(b"12345")[:-1])
        assert (await peer.answer()).body == b"early"
        with pytest.raises(errors.ClosedError):
            await waiting[0]

    assert with_peer(handler, scenario) == []


def test_a_body_nobody_asks_for_does_not_disturb() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(post(b"x" * 1000, path="/a") + chunked(b"y" * 1000, path="/b") + GET)
        assert [(await peer.answer()).body for _ in range(3)] == [b"/a", b"/b", b"/"]

    assert with_peer(path, scenario) == []


def test_an_early_answer_reaches_a_peer_that_is_still_sending() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n")
        answer = await peer.answer()
        assert answer.body == b"/early"
        assert answer.headers["connection"] == "close"
        for _ in range(50):
            peer.send(b"x" * 100_000)
            await peer.writer.drain()
        assert await peer.end() == b""

    assert with_peer(path, scenario) == []


# -- Expect ---------------------------------------------------------------------------------------

EXPECT = "Expect: 100-continue"


def test_the_body_is_asked_for() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        for _ in range(2):
            raw = post(b"12345", EXPECT)
            peer.send(raw[:-5])
            assert (await peer.answer()).status == 100
            peer.send(raw[-5:])
            assert (await peer.answer()).body == b"12345"

    assert with_peer(echo, scenario) == []


def test_a_body_that_is_not_asked_for_is_not_sent() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(post(b"12345", EXPECT, path="/no")[:-5])
        answer = await peer.answer()
        assert (answer.status, answer.body) == (200, b"/no")
        assert answer.headers["connection"] == "close"

    assert with_peer(path, scenario) == []


def test_a_body_that_comes_unasked_needs_no_100() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(b"12345", EXPECT))).body == b"12345"
        peer.send(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab")
        assert (await peer.answer()).body == b"ab"

    assert with_peer(echo, scenario) == []


# -- what the peer does wrong ---------------------------------------------------------------------


def test_a_broken_head_is_answered_and_closed() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(GET + b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n" + GET)
        assert (await peer.answer()).status == 200
        answer = await peer.answer()
        assert answer.status == 400
        assert answer.headers["connection"] == "close"
        assert b"field name" in answer.body
        assert await peer.end() == b""
        assert server.statistics()["protocol_errors"] == 1
        assert server.statistics()["requests"] == 1

    assert with_peer(path, scenario) == []


def test_a_broken_chunk_is_the_handlers_to_see() -> None:
    seen: list[Exception] = []

    async def handler(request: http.Request) -> str:
        try:
            await request.body()
        except errors.RemoteProtocolError as error:
            seen.append(error)
            raise
        return "never"

    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(chunked(b"good")[:-5])
        await asyncio.sleep(0.001)
        peer.send(b"XYZ\r\n")
        answer = await peer.answer()
        assert answer.status == 400
        assert answer.headers["connection"] == "close"
        assert await peer.end() == b""
        assert server.statistics()["protocol_errors"] == 1

    assert with_peer(handler, scenario) == []
    (error,) = seen
    assert isinstance(error, errors.RemoteProtocolError)
    assert error.rule == "RFC 9112 section 7.1"
    assert error.hint == 400


def test_a_body_that_is_cut_off() -> None:
    seen: list[Exception] = []

    async def handler(request: http.Request) -> str:
        try:
            await request.body()
        except errors.ConnectionLostError as error:
            seen.append(error)
            raise
        return "never"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(post(b"12345")[:-1])
        await asyncio.sleep(0.001)
        peer.writer.write_eof()
        # The peer's fault: told to the peer, not to the log.
        assert (await peer.answer()).status == 400

    assert with_peer(handler, scenario) == []
    assert len(seen) == 1
