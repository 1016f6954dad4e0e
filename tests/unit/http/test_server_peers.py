"""Other people's clients against the server."""

import asyncio
import http.client
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sennit
from sennit import http as sennit_http

Peers = Callable[[str], Path]


async def handler(request: sennit_http.Request) -> sennit_http.Response:
    if request.path == "/wait":
        await asyncio.sleep(0.001)
    if request.path == "/large":
        return sennit_http.Response(b"x" * 3_000_000)
    if request.method in {"POST", "PUT"}:
        body = await request.body()
        return sennit_http.Response(f"{len(body)} {sum(body)}")
    return sennit_http.Response("Hello, World!", headers={"x-method": request.method})


@pytest.fixture(scope="module")
def server() -> Iterator[sennit_http.Server]:
    """A server in a thread of its own."""
    started: list[sennit_http.Server] = []
    ready = threading.Event()
    loop = sennit.Reactor()

    async def main() -> None:
        started.append(await sennit_http.listen(handler, "http://127.0.0.1:0"))
        ready.set()
        await started[0].wait_closed()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(10)
    yield started[0]
    closing = asyncio.run_coroutine_threadsafe(started[0].close(0), loop)
    closing.result(10)
    thread.join()
    loop.close()


def run(program: Path, *arguments: object) -> str:
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_curl_keeps_a_connection(peer: Peers, server: sennit_http.Server) -> None:
    url = server.urls[0]
    before = server.statistics()["accepted"]
    output = run(peer("curl"), "-sS", url, f"{url}/wait", f"{url}/large", url, "-o", "/dev/null")
    assert output.count("Hello, World!") == 2
    assert server.statistics()["accepted"] == before + 1


def test_curl_head_and_1_0(peer: Peers, server: sennit_http.Server) -> None:
    head = run(peer("curl"), "-sSI", server.urls[0])
    assert head.startswith("HTTP/1.1 200 OK")
    assert "content-length: 13" in head
    assert "x-method: HEAD" in head
    old = run(peer("curl"), "-sSi", "--http1.0", server.urls[0])
    assert "connection: close" in old
    assert old.endswith("Hello, World!")


@pytest.mark.parametrize("size", [10, 2_000_000])
@pytest.mark.parametrize(
    "fields", [[], ["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"]]
)
def test_curl_uploads(
    peer: Peers, server: sennit_http.Server, tmp_path: Path, size: int, fields: list[str]
) -> None:
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    file = tmp_path / "body"
    file.write_bytes(body)
    output = run(peer("curl"), "-sS", "-T", file, *fields, f"{server.urls[0]}/")
    assert output == f"{size} {sum(body)}"


def test_curl_with_a_body_that_is_too_large(
    peer: Peers, tmp_path: Path, server: sennit_http.Server
) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"x" * 11_000_000)
    output = run(peer("curl"), "-sSi", "-T", file, f"{server.urls[0]}/")
    assert "HTTP/1.1 413 " in output


@pytest.mark.parametrize("path", ["", "/wait", "/large"])
def test_wrk(peer: Peers, server: sennit_http.Server, path: str) -> None:
    output = run(peer("wrk"), "-t1", "-c16", "-d1s", server.urls[0] + path)
    assert "Socket errors" not in output
    assert "Non-2xx" not in output
    requests = re.search(r"(\d+) requests in", output)
    assert requests is not None
    assert int(requests[1]) > 10


@pytest.mark.parametrize("arguments", [[], ["-k"]])
def test_ab(peer: Peers, server: sennit_http.Server, arguments: list[str]) -> None:
    output = run(peer("ab"), "-q", "-n1000", "-c10", *arguments, f"{server.urls[0]}/")
    assert re.search(r"Complete requests:\s+1000\n", output)
    assert re.search(r"Failed requests:\s+0\n", output)
    assert "Non-2xx" not in output
    if arguments:
        assert re.search(r"Keep-Alive requests:\s+1000\n", output)


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("", ["-c16", "-m1"]),
        ("/wait", ["-c64", "-m1"]),
        ("", ["-c4", "-m8"]),  # pipelined
    ],
)
def test_h2load(peer: Peers, server: sennit_http.Server, path: str, arguments: list[str]) -> None:
    output = run(peer("h2load"), "--h1", "-n4000", *arguments, server.urls[0] + path)
    assert "4000 succeeded, 0 failed, 0 errored, 0 timeout" in output
    assert "status codes: 4000 2xx, 0 3xx, 0 4xx, 0 5xx" in output


def test_h2load_posts(peer: Peers, server: sennit_http.Server, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"x" * 3000)
    output = run(peer("h2load"), "--h1", "-n2000", "-c16", "-d", file, f"{server.urls[0]}/")
    assert "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx" in output


def test_python_http_client(server: sennit_http.Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for _ in range(3):
        connection.request("GET", "/wait")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"Hello, World!")
        connection.request("POST", "/", body=iter([b"ab", b"c"]), encode_chunked=True)
        assert connection.getresponse().read() == b"3 294"
        connection.request("HEAD", "/")
        assert connection.getresponse().read() == b""
    connection.close()


def test_aiohttp(server: sennit_http.Server) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def main() -> None:
        async with aiohttp.ClientSession() as session:

            async def one(number: int) -> None:
                async with session.post(f"{server.urls[0]}/", data=b"x" * number) as response:
                    assert await response.text() == f"{number} {number * ord('x')}"
                async with session.get(f"{server.urls[0]}/wait") as response:
                    assert await response.text() == "Hello, World!"

            await asyncio.gather(*(one(number * 1000) for number in range(50)))

    asyncio.run(main())
