"""Compressed answers and bodies, against Python's own codecs and curl."""

import asyncio
import gzip
import random
import subprocess
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.http.talking import Answer, Peer, connected, post, with_peer, with_server

from sennit import errors, http
from sennit._native import core

TEXT = "All the king's horses and all the king's men. " * 200


async def ask(peer: Peer, accept: str = "gzip", method: str = "GET") -> Answer:
    peer.send(f"{method} / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accept}\r\n\r\n".encode())
    return await peer.answer(to_head=method == "HEAD")


def with_answer(answer: Any, scenario: Any, **settings: Any) -> None:
    def handler(_request: http.Request) -> Any:
        return answer() if callable(answer) else answer

    wrapped = http.compress(handler, **settings)
    assert with_peer(wrapped, lambda peer, _server: scenario(peer)) == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_comes_back(coding: str) -> None:
    async def scenario(peer: Peer) -> None:
        answer = await ask(peer, coding)
        assert answer.headers["content-encoding"] == coding
        assert answer.headers["vary"] == "accept-encoding"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert len(answer.body) < len(TEXT) // 10
        decompressor = core.Decompressor(coding, 1 << 20, 1000)
        plain = decompressor.decompress(answer.body) + decompressor.finish()
        assert plain.decode() == TEXT
        if coding == "gzip":
            assert gzip.decompress(answer.body).decode() == TEXT
        if coding == "deflate":
            assert zlib.decompress(answer.body).decode() == TEXT

    with_answer(TEXT, scenario, codings=("zstd", "br", "gzip", "deflate"))


@pytest.mark.parametrize(
    ("accept", "coding"),
    [("gzip, br, zstd", "zstd"), ("gzip, br", "br"), ("*", "zstd"), ("gzip;q=1, br;q=0.5", "gzip")],
)
def test_the_server_s_order_decides_among_equals(accept: str, coding: str) -> None:
    async def scenario(peer: Peer) -> None:
        assert (await ask(peer, accept)).headers["content-encoding"] == coding

    with_answer(TEXT, scenario)


@pytest.mark.parametrize(
    ("answer", "varies"),
    [
        ("short", False),
        (lambda: http.Response(TEXT, headers={"content-encoding": "x"}), False),
        (lambda: http.Response(TEXT, headers={"cache-control": "public, no-transform"}), False),
        (lambda: http.Response(TEXT, content_type="image/png"), False),
        (lambda: http.Response(TEXT.encode()), False),
        (lambda: http.Response(TEXT, 206), False),
        (lambda: http.Response(TEXT, 205), False),
    ],
    ids=["short", "coded", "no-transform", "image", "bytes of no type", "part", "reset"],
)
def test_what_stays_as_it_is(answer: Any, varies: bool) -> None:
    async def scenario(peer: Peer) -> None:
        got = await ask(peer)
        assert got.headers.get("content-encoding") in {None, "x"}
        assert ("vary" in got.headers) is varies

    with_answer(answer, scenario)


def test_who_takes_none_is_told_that_others_might() -> None:
    async def scenario(peer: Peer) -> None:
        answer = await ask(peer, "identity")
        assert answer.body.decode() == TEXT
        assert answer.headers["vary"] == "origin, accept-encoding"

    with_answer(lambda: http.Response(TEXT, headers={"vary": "origin"}), scenario)


def test_fields_are_kept_and_a_strong_tag_becomes_weak() -> None:
    def answer() -> http.Response:
        response = http.Response(TEXT, 201, headers=[("etag", '"a"'), ("x-a", "b")])
        response.set_cookie("a", "b")
        response.set_cookie("c", "d")
        return response

    async def scenario(peer: Peer) -> None:
        peer.send(b"GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
        head = (await peer.reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 201 ")
        assert 'etag: W/"a"\r\n' in head
        assert head.count("set-cookie: ") == 2
        assert "x-a: b" in head

    with_answer(answer, scenario)


def test_json_and_head() -> None:
    async def scenario(peer: Peer) -> None:
        answer = await ask(peer)
        assert gzip.decompress(answer.body).startswith(b'["All the')
        head = await ask(peer, method="HEAD")
        assert head.headers["content-length"] == str(len(answer.body))

    with_answer([TEXT], scenario)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_stream_stays_live(coding: str) -> None:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"piece {number} "

    async def scenario(peer: Peer) -> None:
        peer.send(f"GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {coding}\r\n\r\n".encode())
        headers, body, _ = await peer.in_chunks()
        assert headers["content-encoding"] == coding
        decompressor = core.Decompressor(coding, 1 << 20, 1000)
        assert decompressor.decompress(body) + decompressor.finish() == b"piece 0 piece 1 piece 2 "

    with_answer(lambda: http.Response(pieces(), content_type="text/plain"), scenario)
    with_answer(
        lambda: http.Response((f"piece {n} " for n in range(3)), content_type="text/plain"),
        scenario,
    )


def test_each_piece_can_be_read_when_it_comes() -> None:
    compressor, decompressor = core.Compressor("br", 4), core.Decompressor("br", 1 << 20, 100)
    for text in (b"one", b"two"):
        assert decompressor.decompress(compressor.compress(text) + compressor.flush()) == text


def test_curl_reads_it() -> None:
    async def scenario(server: http.Server) -> None:
        command = ["curl", "-sS", "--compressed", server.urls[0] + "/"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
        assert done.stdout.decode() == TEXT

    async def handler(_request: http.Request) -> str:
        await asyncio.sleep(0)
        return TEXT

    assert with_server(http.compress(handler), scenario) == []


def test_a_compressed_request_is_read() -> None:
    async def handler(request: http.Request) -> bytes:
        return b"".join([piece async for piece in http.decompressed(request, max_size=100_000)])

    async def scenario(peer: Peer, _server: http.Server) -> None:
        plain = b"".join(b"%d " % (n * n) for n in range(9000))
        answer = await peer.ask(post(gzip.compress(plain), "Content-Encoding: gzip"))
        assert answer.body == plain
        assert (await peer.ask(post(plain))).body == plain
        nested = zlib.compress(gzip.compress(plain))
        assert (await peer.ask(post(nested, "Content-Encoding: gzip, deflate"))).body == plain
        for body, coding, status in (
            (gzip.compress(bytes(101_000)), "gzip", 413),
            (b"nothing", "gzip", 400),
            (gzip.compress(plain)[:-5], "gzip", 400),
            (plain, "compress", 415),
        ):
            answer = await peer.ask(post(body, f"Content-Encoding: {coding}"))
            assert answer.status == status

    assert with_peer(handler, scenario) == []


def test_a_compressed_request_becomes_no_larger_than_a_body_may_be() -> None:
    async def handler(request: http.Request) -> str:
        return str(sum([len(piece) async for piece in http.decompressed(request)]))

    async def scenario(server: http.Server) -> None:
        for size, status in ((100_000, 200), (100_001, 413)):
            async with connected(server) as peer:
                body = gzip.compress(
                    random.Random(1).randbytes(size // 2) + bytes(size - size // 2)
                )
                answer = await peer.ask(post(body, "Content-Encoding: gzip"))
                assert answer.status == status
        async with connected(server) as peer:
            bomb = gzip.compress(bytes(64_000))
            assert (await peer.ask(post(bomb, "Content-Encoding: gzip"))).status == 200
        assert server.statistics()["bodies_too_large"] == 1

    assert with_server(handler, scenario, max_body_size=100_000) == []

    async def dense(server: http.Server) -> None:
        async with connected(server) as peer:
            bomb = gzip.compress(bytes(5_000_000))
            assert (await peer.ask(post(bomb, "Content-Encoding: gzip"))).status == 413
        assert server.statistics()["bodies_too_large"] == 1

    assert with_server(handler, dense) == []


def test_a_bomb_costs_what_it_may() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    decompressor = core.Decompressor("gzip", 1 << 30, 100)
    with pytest.raises(errors.RemoteProtocolError, match=r"more than 100 times.*max_ratio") as info:
        decompressor.decompress(bomb)
    assert info.value.hint == 413
    with pytest.raises(ValueError, match="has ended"):
        decompressor.decompress(b"")


def test_a_coding_that_is_not_known() -> None:
    with pytest.raises(errors.ConfigError, match="codings has 'lzma'"):
        http.compress(lambda _: "", codings=("lzma",))
    with pytest.raises(ValueError, match="is no coding"):
        core.Compressor("lzma", 1)
