"""Bodies of requests that come in pieces: iterators, files, early answers, what goes wrong."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.http.client.test_streamed_responses import PIECE, until, with_server
from tests.unit.http.misbehaving import origin, read_head

import sennit
from sennit import errors, http, testing


async def digest(request: http.Request) -> dict[str, Any]:
    seen, size = hashlib.sha256(), 0
    async for piece in request.stream():
        seen.update(piece)
        size += len(piece)
    fields = request.headers
    return {
        "sha256": seen.hexdigest(),
        "size": size,
        "length": fields.get("content-length"),
        "coding": fields.get("transfer-encoding"),
        "type": fields.get("content-type"),
    }


async def letters() -> AsyncIterator[str | bytes]:
    for letter in ("a", b"b", "", "\u00e9"):
        await asyncio.sleep(0)
        yield letter


@pytest.mark.parametrize(
    ("make", "body"),
    [
        (letters, "ab\u00e9".encode()),
        (lambda: iter(["a", b"b"]), b"ab"),
        (lambda: [PIECE] * 200, PIECE * 200),
        (lambda: (PIECE for _ in range(200)), PIECE * 200),
    ],
    ids=["async", "iterator", "list", "generator"],
)
def test_pieces_of_unknown_length_go_in_chunks(make: Any, body: bytes) -> None:
    async def scenario(url: str, client: http.Client) -> None:
        for _ in range(2):
            told = await (await client.post(url, body=make())).json()
            assert told["sha256"] == hashlib.sha256(body).hexdigest()
            assert (told["length"], told["coding"]) == (None, "chunked")
        assert client.statistics()["connected"] == 1

    with_server(digest, scenario)


def test_files_have_a_length(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(PIECE * 300)

    async def scenario(url: str, client: http.Client) -> None:
        with path.open("rb") as file:
            file.seek(len(PIECE))
            for body, size in ((path, 300), (file, 299)):
                told = await (await client.put(url, body=body)).json()
                assert told["sha256"] == hashlib.sha256(PIECE * size).hexdigest()
                assert (told["length"], told["coding"]) == (str(size * len(PIECE)), None)
        form = await (await client.post(url, files={"f": path})).json()
        assert int(form["length"]) == form["size"] > 300 * len(PIECE)
        assert form["type"].startswith("multipart/form-data; boundary=")

    with_server(digest, scenario)


def test_a_peer_that_does_not_read_makes_the_body_wait() -> None:
    made = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await gate.wait()
        while not (await reader.read(2**20)).endswith(b"0\r\n\r\n"):
            pass
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def pieces() -> Iterator[bytes]:
        nonlocal made
        for _ in range(4000):
            made += len(PIECE)
            yield PIECE

    async def main() -> None:
        async with origin(script) as url, http.Client() as client:
            call = asyncio.ensure_future(client.post(url, body=pieces()))
            before = -1
            while made != before or not made:
                before = made
                await asyncio.sleep(0.05)
            assert made < 32 * 2**20
            gate.set()
            assert (await call).status == 200
            assert made == 4000 * len(PIECE)

    gate = asyncio.Event()
    sennit.run(main())


def test_what_an_iterator_raises_is_the_caller_s_and_no_half_body_passes_for_whole() -> None:
    seen: list[str] = []

    begun = asyncio.Event()

    async def handler(request: http.Request) -> str:
        begun.set()
        try:
            return str(len(await request.body()))
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    async def fails() -> AsyncIterator[bytes]:
        yield PIECE
        await begun.wait()
        raise ValueError("no more")

    async def scenario(url: str, client: http.Client) -> None:
        with pytest.raises(ValueError, match="no more"):
            await client.post(url, body=fails())
        await until(lambda: seen)
        assert client.statistics()["open"] == 0
        with pytest.raises(TypeError):
            await client.post(url, body=iter([1]))  # type: ignore[list-item]

    with_server(handler, scenario)


@pytest.mark.parametrize("closes", [False, True])
def test_an_answer_that_comes_early_is_kept(closes: bool) -> None:
    ended: list[str] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")
        if not closes:
            await reader.read()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield PIECE
                await asyncio.sleep(0)
        finally:
            ended.append("upload")

    async def main() -> None:
        async with origin(script) as url, http.Client() as client:
            for _ in range(5):
                response = await client.post(url, body=endless())
                assert (response.status, await response.text()) == (413, "no!")
            await until(lambda: len(ended) == 5)
            assert client.statistics()["open"] == 0

    sennit.run(main())


def test_a_whole_body_that_is_refused_early_is_answered_too() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")

    async def main() -> None:
        async with origin(script) as url, http.Client() as client:
            for _ in range(5):
                response = await client.post(url, body=bytes(20 * 2**20))
                assert (response.status, await response.text()) == (413, "no!")

    sennit.run(main())


def test_both_ways_at_once() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        turns = asyncio.Queue[bytes]()

        async def questions() -> AsyncIterator[bytes]:
            while question := await turns.get():
                yield question

        async with client.stream("POST", url, body=questions()) as response:
            answers = response.stream()
            for number in range(10):
                turns.put_nowait(b"%d" % number)
                assert await anext(answers) == b"%d" % number
            turns.put_nowait(b"")
            assert [piece async for piece in answers] == []
        assert client.statistics()["connected"] == 1

    def echo(request: http.Request) -> http.Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b""
            async for piece in request.stream():
                yield piece

        return http.Response(pieces())

    async def begun(url: str, client: http.Client) -> None:
        # The head of the answer leaves before the first question is asked.
        await scenario(url, client)

    with_server(echo, begun)


def test_a_redirect_asks_for_the_body_again_where_that_can_be() -> None:
    async def handler(request: http.Request) -> Any:
        body = await request.body()
        return http.Response.redirect("/b", 307) if request.path == "/a" else body

    async def scenario(url: str, client: http.Client) -> None:
        response = await client.post(url + "/a", body=["x", "y"])
        assert await response.body() == b"xy"
        with pytest.raises(errors.LocalProtocolError, match="only once"):
            await client.post(url + "/a", body=iter(["x", "y"]))

    with_server(handler, scenario)


def test_cancelling_ends_the_body() -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def scenario(url: str, client: http.Client) -> None:
        call = asyncio.ensure_future(client.post(url, body=endless()))
        await until(lambda: client.statistics()["connected"])
        call.cancel()
        await ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert client.statistics()["open"] == 0

    with_server(digest, scenario)


def test_a_peer_that_takes_nothing_runs_into_the_write_timeout() -> None:
    async def never(request: http.Request) -> str:
        await asyncio.sleep(1e6)
        return "never"

    async def main() -> None:
        server = await http.listen(never, "http://127.0.0.1:80")
        limits = {"total_timeout": 1e5, "read_timeout": 1e5, "write_timeout": 7}
        async with http.Client(**limits) as client:
            begin = client.reactor.time()
            with pytest.raises(errors.DeadlineError, match="longer than write_timeout") as caught:
                await client.post("http://127.0.0.1/", body=[PIECE] * 10_000)
            assert caught.value.step == "sending the request"
            assert 7 <= client.reactor.time() - begin < 8
            assert client.statistics()["write_timeouts"] == 1
        await server.close(0)

    testing.run(main())
