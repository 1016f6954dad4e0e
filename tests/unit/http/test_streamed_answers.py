"""Answers that go out piece by piece, as fast as their client takes them."""

import asyncio
import socket
import struct
from typing import Any

import pytest
from tests.unit.http.talking import (
    GET,
    Peer,
    connected,
    eventually,
    with_peer,
    with_server,
)

from sennit import errors, http

BIG = bytes(range(256)) * 8192  # 2 MiB


async def letters() -> Any:
    for letter in "abc":
        yield letter
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "make",
    [
        letters,
        lambda: iter(["a", b"b", "c"]),
        lambda: ["a", "", "b", "c"],
        lambda: (letter for letter in "abc"),
    ],
    ids=["async", "iterator", "list", "generator"],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_pieces_are_chunks(make: Any, is_async: bool) -> None:
    def respond(_request: http.Request) -> http.Response:
        return http.Response(make(), headers={"x-a": "b"}, content_type="text/plain")

    async def respond_later(request: http.Request) -> http.Response:
        await asyncio.sleep(0)
        return respond(request)

    async def scenario(peer: Peer, server: http.Server) -> None:
        for count in range(1, 4):
            peer.send(GET)
            headers, body, trailers = await peer.in_chunks()
            assert (headers["x-a"], headers["content-type"]) == ("b", "text/plain")
            assert (body, trailers) == (b"abc", b"")
            assert server.statistics()["answered"] == count

    assert with_peer(respond_later if is_async else respond, scenario) == []


def test_an_answer_without_pieces_is_empty() -> None:
    async def nothing() -> Any:
        for piece in ():
            yield piece

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(GET)
        assert (await peer.in_chunks())[1] == b""

    assert with_peer(lambda _: http.Response(nothing()), scenario) == []


def test_trailers_come_behind_the_body() -> None:
    def handler(request: http.Request) -> http.Response:
        count = 0

        async def pieces() -> Any:
            nonlocal count
            for _ in range(3):
                count += 1
                yield "x"

        response = http.Response(pieces())
        late = {"x-count": "fixed"}
        response.trailers = (lambda: {"x-count": str(count)}) if request.path == "/late" else late
        return response

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(GET)
        assert (await peer.in_chunks())[2] == b"x-count: fixed\r\n"
        peer.send(b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await peer.in_chunks())[2] == b"x-count: 3\r\n"

    assert with_peer(handler, scenario) == []


def test_a_head_request_gets_no_pieces() -> None:
    closed: list[str] = []

    async def pieces() -> Any:
        try:
            yield "x"
            yield "y"
        finally:
            closed.append("closed")

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await peer.answer(to_head=True)).status == 200
        assert closed == ["closed"]
        peer.send(GET)
        assert (await peer.in_chunks())[1] == b"xy"

    assert with_peer(lambda _: http.Response(pieces()), scenario) == []


def test_http_1_0_gets_its_body_until_the_end() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head = await peer.head()
        assert head.headers["connection"] == "close"
        assert "transfer-encoding" not in head.headers
        assert await peer.end() == b"abc"

    assert with_peer(lambda _: http.Response(letters()), scenario) == []


def test_a_slow_reader_slows_the_generator() -> None:
    made = 0

    async def pieces() -> Any:
        nonlocal made
        for _ in range(1000):
            made += 1
            yield b"x" * 65536

    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.send(GET)
        await eventually(lambda: made > 1)
        before = -1
        while before != made:
            before = made
            for _ in range(200):
                await asyncio.sleep(0)
        # What the kernel takes for a socket is a few megabytes.
        assert made < 400
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await peer.in_chunks())[1]) == 65_536_000
        assert server.statistics()["answered"] == 1

    assert with_peer(lambda _: http.Response(pieces()), scenario) == []


def test_a_client_that_resets_cancels_the_generator() -> None:
    ended: list[str] = []

    async def pieces() -> Any:
        try:
            yield "first"
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        finally:
            ended.append("closed")

    async def scenario(server: http.Server) -> None:
        async with connected(server) as peer:
            peer.send(GET)
            await peer.head()
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.writer.transport.abort()
        await eventually(lambda: len(ended) == 2)
        assert ended == ["cancelled", "closed"]
        assert server.statistics()["abandoned"] == 1

    assert with_server(lambda _: http.Response(pieces()), scenario) == []


def test_an_error_before_the_first_piece_is_a_500() -> None:
    async def pieces() -> Any:
        raise ValueError("early")
        yield "never"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask()).status == 500
        assert (await peer.ask()).status == 500

    reports = with_peer(lambda _: http.Response(pieces()), scenario)
    assert [str(report["exception"]) for report in reports] == ["early", "early"]


@pytest.mark.parametrize("raw", [GET, b"GET / HTTP/1.0\r\n\r\n"], ids=["1.1", "1.0"])
def test_an_error_between_pieces_breaks_the_answer_off(raw: bytes) -> None:
    async def pieces() -> Any:
        yield "first"
        await asyncio.sleep(0)
        raise ValueError("late")

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(raw)
        head = await peer.head()
        assert head.status == 200
        with_reset = False
        try:
            rest = await peer.reader.read()
        except ConnectionResetError:
            rest, with_reset = b"", True
        # No client can take this for the whole.
        assert b"0\r\n\r\n" not in rest
        assert with_reset == (raw is not GET)

    reports = with_peer(lambda _: http.Response(pieces()), scenario)
    assert [str(report["exception"]) for report in reports] == ["late"]


def test_a_piece_that_is_no_bytes_is_named() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(GET)
        await peer.end()

    reports = with_peer(lambda _: http.Response(iter(["a", 7])), scenario)
    assert "a piece of the body is 7; pieces are str or bytes" in str(reports[0]["exception"])


def test_early_hints_come_before_the_answer() -> None:
    def handler(request: http.Request) -> str:
        return str(request.send_early_hints([("link", "</a>"), ("link", "</b>")]))

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(GET)
        raw = await peer.reader.readuntil(b"\r\n\r\n")
        assert raw == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n"
        assert (await peer.answer()).body == b"True"
        peer.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await peer.answer()).body == b"False"

    assert with_peer(handler, scenario) == []


def test_hints_cannot_carry_a_second_line() -> None:
    def handler(request: http.Request) -> str:
        with pytest.raises(errors.LocalProtocolError):
            request.send_early_hints({"link": "a\r\nx: y"})
        return "refused"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask()).body == b"refused"

    assert with_peer(handler, scenario) == []


def test_a_length_that_is_known_is_said_and_kept() -> None:
    def handler(request: http.Request) -> http.Response:
        response = http.Response(iter(["abc", b"defg"]))
        assert response.content_length is None
        response.content_length = int(request.query)
        assert response.content_length == int(request.query)
        return response

    def get(length: int, method: str = "GET") -> bytes:
        return f"{method} /?{length} HTTP/1.1\r\nHost: h\r\n\r\n".encode()

    async def scenario(server: http.Server) -> None:
        async with connected(server) as peer:
            for _ in range(2):
                answer = await peer.ask(get(7))
                assert answer.body == b"abcdefg"
                assert "transfer-encoding" not in answer.headers
            peer.send(get(7, "HEAD"))
            assert (await peer.answer(to_head=True)).headers["content-length"] == "7"
            assert (await peer.ask(get(7))).body == b"abcdefg"
        # A body that does not keep its word ends the connection: nobody may take it for whole, or
        # what is too much for the next answer.
        for length in (8, 6):
            async with connected(server) as peer:
                peer.send(get(length))
                assert (await peer.head()).headers["content-length"] == str(length)
                assert len(await peer.end()) < 8

    reports = with_server(handler, scenario)
    assert [str(report["exception"]) for report in reports] == [
        "the body ends 1 bytes before its content-length",
        "the body is longer than its content-length",
    ]


def test_only_bodies_in_pieces_are_given_a_length() -> None:
    whole = http.Response("four")
    assert whole.content_length == 4
    assert http.Response().content_length == 0
    with pytest.raises(errors.LocalProtocolError, match="has its own length"):
        whole.content_length = 5
    with pytest.raises(errors.LocalProtocolError, match="negative"):
        http.Response(iter(())).content_length = -1
    pieces = http.Response(iter(()))
    pieces.content_length = 5
    pieces.content_length = None
    assert pieces.content_length is None


@pytest.mark.parametrize(
    ("pieces", "given", "content_type"),
    [
        (["a", b"b"], None, "text/plain; charset=utf-8"),
        (["", b"b"], None, "text/plain; charset=utf-8"),
        ([b"a", "b"], None, "application/octet-stream"),
        ([], None, "application/octet-stream"),
        (["a"], "application/octet-stream", "application/octet-stream"),
        (["a"], "text/csv", "text/csv"),
        (["a"], "", None),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_the_first_piece_says_what_nobody_has_said(
    pieces: list[Any], given: str | None, content_type: str | None, is_async: bool
) -> None:
    async def gently() -> Any:
        for piece in pieces:
            yield piece

    def handler(_request: http.Request) -> http.Response:
        return http.Response(gently() if is_async else iter(pieces), content_type=given)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(GET)
        headers, _, _ = await peer.in_chunks()
        assert headers.get("content-type") == content_type

    assert with_peer(handler, scenario) == []
