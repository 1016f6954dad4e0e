"""Content codings of responses: undone in pieces of bounded size, and what a bomb may cost."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.http.client.test_streamed_responses import with_server

from sennit import errors, http
from sennit._native import core

CODINGS = ["gzip", "deflate", "br", "zstd"]


def coded(coding: str, plain: bytes) -> bytes:
    compressor = core.Compressor(coding, 5)
    return compressor.compress(plain) + compressor.finish()


@pytest.mark.parametrize("coding", CODINGS)
def test_content_codings_are_undone(coding: str) -> None:
    plain = b"".join(b"%d " % number for number in range(50_000))
    packed = coded(coding, plain)

    def handler(request: http.Request) -> http.Response:
        assert coding in request.headers["accept-encoding"]
        return http.Response(packed, headers={"content-encoding": coding})

    async def scenario(url: str, client: http.Client) -> None:
        response = await client.get(url)
        assert await response.body() == plain
        assert await response.body() == plain
        assert response.headers["content-encoding"] == coding
        async with client.stream("GET", url) as streamed:
            assert b"".join([piece async for piece in streamed.stream()]) == plain
        async with client.stream("GET", url) as streamed:
            raw = [piece async for piece in streamed.stream(decode=False)]
            assert b"".join(raw) == packed

    with_server(handler, scenario)


def with_answer(
    body: bytes,
    coding: str,
    scenario: Callable[[str, http.Client], Awaitable[Any]],
    **settings: Any,
) -> None:
    handler = lambda _: http.Response(body, headers={"content-encoding": coding})  # noqa: E731
    with_server(handler, scenario, **settings)


async def note_sizes(response: http.StreamedResponse, sizes: list[int]) -> None:
    async for piece in response.stream():
        sizes.append(len(piece))


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_not_unpacked(coding: str) -> None:
    async def scenario(url: str, client: http.Client) -> None:
        response = await client.get(url)
        with pytest.raises(errors.OverloadedError, match=r"more than 100 times .* \(max_ratio\)"):
            await response.body()
        async with client.stream("GET", url) as streamed:
            with pytest.raises(errors.OverloadedError, match=r"more than 100 times"):
                await streamed.body()
        async with client.stream("GET", url) as streamed:
            sizes: list[int] = []
            with pytest.raises(errors.OverloadedError, match=r"more than 100 times"):
                await note_sizes(streamed, sizes)
            assert sum(sizes) <= max(2**20, 100 * len(bomb))

    bomb = coded(coding, bytes(50 * 2**20))
    with_answer(bomb, coding, scenario)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_has_a_size_when_it_is_decoded(coding: str) -> None:
    async def scenario(url: str, client: http.Client) -> None:
        response = await client.get(url)
        with pytest.raises(errors.OverloadedError, match=r"1,000,000 .*\(max_response_size\)"):
            await response.body()
        for limit, name in ((None, "1,000,000 bytes .max_response_size"), (9, "9 bytes .max_size")):
            async with client.stream("GET", url) as streamed:
                with pytest.raises(errors.OverloadedError, match=f"larger than {name}"):
                    await streamed.body(max_size=limit)
        # In pieces there is none.
        async with client.stream("GET", url) as streamed:
            pieces = [piece async for piece in streamed.stream()]
        assert sum(map(len, pieces)) == 5 * 2**20
        assert max(map(len, pieces)) <= 256 * 1024

    body = coded(coding, bytes(5 * 2**20))
    with_answer(body, coding, scenario, max_response_size=1_000_000, max_ratio=1_000_000)


def test_one_mebibyte_may_be_as_dense_as_it_likes() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        assert await (await client.get(url)).body() == bytes(2**20)

    with_answer(coded("zstd", bytes(2**20)), "zstd", scenario, max_ratio=1)


def test_more_than_two_codings_are_left_to_the_caller() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        assert await (await client.get(url)).body() == body

    body = coded("gzip", coded("gzip", coded("gzip", b"")))
    with_answer(body, "gzip, gzip, gzip", scenario)


MEASURED = """
import json, resource, sys
import sennit
from sennit import errors, http
from sennit._native import core

def coded(coding, plain_size):
    compressor = core.Compressor(coding, 5)
    pieces = [compressor.compress(bytes(2**20)) for _ in range(plain_size >> 20)]
    return b"".join(pieces) + compressor.finish()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

coding, outer, way = sys.argv[1:]
body, size = coded(coding, 48 << 20), 48 << 20
field = coding
if outer:
    compressor = core.Compressor(outer, 5)
    body, field = compressor.compress(body) + compressor.finish(), f"{coding}, {outer}"

async def main():
    server = await http.listen(
        lambda _: http.Response(body, headers={"content-encoding": field}), "http://127.0.0.1:0"
    )
    url, got, largest, refused = server.urls[0], 0, 0, False
    async with http.Client(max_ratio=100 if way == "whole" else 10**7) as client:
        async with client.stream("GET", url) as response:
            async for piece in response.stream(decode=False):
                pass
        before = peak()
        if way == "whole":
            try:
                await (await client.get(url)).body()
            except errors.OverloadedError:
                refused = True
        else:
            async with client.stream("GET", url) as response:
                async for piece in response.stream():
                    got, largest = got + len(piece), max(largest, len(piece))
    await server.close(0)
    print(json.dumps([peak() - before, got, largest, refused]))

sennit.run(main())
"""


@pytest.mark.parametrize("way", ["whole", "stream"])
@pytest.mark.parametrize("outer", ["", "gzip", "br"])
@pytest.mark.parametrize("coding", CODINGS)
def test_memory_for_a_bomb_is_bounded(coding: str, outer: str, way: str) -> None:
    command = [sys.executable, "-c", MEASURED, coding, outer, way]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    grown, got, largest, refused = json.loads(done.stdout)
    # Windows and pieces of both codings; the body would be 48 MiB.
    assert grown <= 20, f"{grown} MiB"
    if way == "whole":
        assert refused
    else:
        assert got == 48 << 20
        assert largest <= 256 * 1024


def test_a_coding_that_nobody_knows_is_left_to_the_caller() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        assert await (await client.get(url)).body() == b"as it is"

    handler = lambda _: http.Response(b"as it is", headers={"content-encoding": "x-own"})  # noqa: E731
    with_server(handler, scenario)


def test_a_broken_coding_says_so() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        response = await client.get(url)
        with pytest.raises(errors.RemoteProtocolError, match="gzip"):
            await response.text()

    handler = lambda _: http.Response(b"no gzip", headers={"content-encoding": "gzip"})  # noqa: E731
    with_server(handler, scenario)
