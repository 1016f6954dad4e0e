"""Files as bodies: sent by the kernel, whole or in part, in the clear and over TLS."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.unit.http.talking import GET, Peer, connected, eventually, with_peer, with_server

import sennit
from sennit import http, net

CONTENT = bytes(range(256)) * 12_000  # 3 MB: more than one flush sends


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    return file


@pytest.mark.parametrize(("offset", "length"), [(0, None), (5, None), (7, 1000), (3, 0)])
def test_a_piece_of_a_file(path: Path, offset: int, length: int | None) -> None:
    def handler(_request: http.Request) -> http.Response:
        with path.open("rb") as file:
            body = http.FileBody(file, offset, length)
        assert body.offset == offset
        return http.Response(body, content_type="image/png")

    async def scenario(peer: Peer, _server: http.Server) -> None:
        for _ in range(2):
            answer = await peer.ask()
            end = None if length is None else offset + length
            assert answer.body == CONTENT[offset:end]
            assert answer.headers["content-type"] == "image/png"

    assert with_peer(handler, scenario) == []


def test_one_body_serves_many_requests(path: Path) -> None:
    with path.open("rb") as file:
        body = http.FileBody(file, 0, 100_000)

    async def scenario(server: http.Server) -> None:
        async def ask() -> bytes:
            async with connected(server) as peer:
                return (await peer.ask()).body

        assert await asyncio.gather(*(ask() for _ in range(20))) == [CONTENT[:100_000]] * 20

    assert with_server(lambda _: http.Response(body), scenario) == []


def test_head_gets_the_length_alone(path: Path) -> None:
    with path.open("rb") as file:
        body = http.FileBody(file)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = await peer.answer(to_head=True)
        assert answer.headers["content-length"] == str(len(CONTENT))
        assert (await peer.ask()).body == CONTENT

    assert with_peer(lambda _: http.Response(body), scenario) == []


def test_a_file_that_becomes_shorter_breaks_the_answer_off(path: Path) -> None:
    with path.open("rb") as file:
        body = http.FileBody(file)

    async def scenario(peer: Peer, server: http.Server) -> None:
        os.truncate(path, 10)
        peer.send(GET)
        assert (await peer.head()).headers["content-length"] == str(len(CONTENT))
        assert await peer.end() in {CONTENT[:10], b""}
        await eventually(lambda: server.statistics()["open"] == 0)

    assert with_peer(lambda _: http.Response(body), scenario) == []


def test_the_file_is_let_go_of(path: Path) -> None:
    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_descriptors()
    with path.open("rb") as file:
        bodies = [http.FileBody(file) for _ in range(10)]
    assert open_descriptors() == before + 10
    bodies.clear()
    assert open_descriptors() == before


def test_what_is_no_file_is_refused(path: Path) -> None:
    reader, writer = os.pipe()
    with pytest.raises(ValueError, match="no regular file"):
        http.FileBody(reader)
    os.close(reader)
    os.close(writer)
    with path.open("rb") as file:
        with pytest.raises(ValueError, match=r"has 3072000 bytes.*not 10 from byte 3071995"):
            http.FileBody(file, 3_071_995, 10)
        with pytest.raises(ValueError, match="offset is -1"):
            http.FileBody(file, -1)
    with pytest.raises(ValueError, match="closed file"):
        http.FileBody(file)
    with pytest.raises(TypeError):
        http.FileBody("name")  # type: ignore[arg-type]
    with pytest.raises(OSError, match="Bad file descriptor"):
        http.FileBody(10_000)


def test_a_file_over_tls(path: Path, certificates: Any) -> None:
    with path.open("rb") as file:
        body = http.FileBody(file, 1)
    tls = net.ServerTls(
        certificate=certificates.path("server.pem"), key=certificates.path("server.key")
    )

    async def main() -> bytes:
        async with await http.listen(
            lambda _: http.Response(body), "https://127.0.0.1:0", tls=tls
        ) as server:
            command = ["curl", "-sS", "--cacert", certificates.path("ca.pem"), server.urls[0] + "/"]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, timeout=30, check=True
            )
            return done.stdout

    assert sennit.run(main()) == CONTENT[1:]
