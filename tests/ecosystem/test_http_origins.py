"""The client against origins that people have: nginx, HAProxy, Python's http.server."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sennit
from sennit import http

Peer = Callable[[str], Path]
Scenario = Callable[[http.Client, str], Awaitable[None]]

TEXT = "".join(f"line {number}\n" for number in range(5000))
LARGE = 100 * 2**20

NGINX = """
daemon off;
worker_processes 1;
USER
pid FOLDER/nginx.pid;
error_log FOLDER/nginx.log;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    default_type text/plain;
    keepalive_requests 50;
    client_max_body_size 1m;
    gzip on;
    gzip_types text/plain;
    server {
        listen unix:FOLDER/nginx.sock;
        root FOLDER/www;
        add_header x-worker $pid;
        # Nobody packs this: what nothing but zeros becomes says nothing about memory.
        location = /large.bin { default_type application/octet-stream; }
        location = /old { return 301 /text; }
        location = /moved { return 308 /text; }
    }
}
"""

HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind fd@${LISTENER}
    http-request deny deny_status 413 if { req.hdr_val(content-length) gt 1000000 }
    http-request redirect code 302 location /text if { path /old }
    http-request redirect code 307 location /text if { path /moved }
    compression algo gzip
    compression type text/plain
    default_backend back
backend back
    # What nginx sends is packed here.
    compression offload
    server nginx unix@FOLDER/nginx.sock
"""


@contextmanager
def running(command: list[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    more.setdefault("stderr", subprocess.PIPE)
    with subprocess.Popen(command, **more) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)


def wait_until_it_listens(process: subprocess.Popen[bytes], path: Path) -> None:
    while True:
        assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                return
        except (FileNotFoundError, ConnectionRefusedError):
            threading.Event().wait(0.01)


class Nginx:
    """One that runs; it listens on a UNIX socket, so that no port is anybody's."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.socket = folder / "nginx.sock"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("origins")
    www = made / "www"
    www.mkdir()
    (www / "text").write_text(TEXT)
    with (www / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    return made


@pytest.fixture
def nginx(peer: Peer, folder: Path) -> Iterator[Nginx]:
    user = "user root;" if os.getuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(NGINX.replace("FOLDER", str(folder)).replace("USER", user))
    command = [str(peer("nginx")), "-e", str(folder / "nginx.log"), "-c", str(config)]
    with running(command) as process:
        wait_until_it_listens(process, folder / "nginx.sock")
        yield Nginx(process, folder)


@pytest.fixture
def haproxy(peer: Peer, folder: Path, nginx: Nginx) -> Iterator[str]:
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.replace("FOLDER", str(folder)))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        number = listener.fileno()
        command = [str(peer("haproxy")), "-db", "-q", "-f", str(config)]
        environment = {**os.environ, "LISTENER": str(number)}
        with running(command, pass_fds=[number], env=environment):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def python_server(folder: Path) -> Iterator[str]:
    """Its listen queue has room for five."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    command += ["--protocol", "HTTP/1.1", "--directory", str(folder / "www")]
    with (
        (folder / "python.log").open("wb") as log,
        running(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        yield f"http://127.0.0.1:{said.partition(' port ')[2].split()[0]}"


@pytest.fixture(params=["nginx", "haproxy", "python_server"])
def origin(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The URL of each, and what a client has to be told to get there."""
    made = request.getfixturevalue(request.param)
    if isinstance(made, Nginx):
        return "http://nginx.example", {"unix": made.socket}
    return made, {}


def run(origin: tuple[str, dict[str, Any]], scenario: Scenario, **settings: Any) -> None:
    url, way = origin

    async def main() -> None:
        async with asyncio.timeout(60), http.Client(**way, **settings) as client:
            await scenario(client, url)

    sennit.run(main())


def test_text_head_range_and_what_is_not_there(origin: tuple[str, dict[str, Any]]) -> None:
    async def scenario(client: http.Client, url: str) -> None:
        whole = await client.get(url + "/text")
        assert (whole.status, await whole.text()) == (200, TEXT)
        head = await client.head(url + "/text", headers={"accept-encoding": "identity"})
        assert (head.status, head.headers["content-length"]) == (200, str(len(TEXT)))
        assert await head.body() == b""
        asked = {"range": "bytes=5-9", "accept-encoding": "identity"}
        part = await client.get(url + "/text", headers=asked)
        if whole.headers["server"].startswith("SimpleHTTP"):  # it knows no ranges
            assert (part.status, await part.text()) == (200, TEXT)
        else:
            assert (part.status, await part.text()) == (206, TEXT[5:10])
        assert (await client.get(url + "/none")).status == 404

    run(origin, scenario)


def test_300_at_once_are_all_answered(origin: tuple[str, dict[str, Any]]) -> None:
    async def scenario(client: http.Client, url: str) -> None:
        answers = await asyncio.gather(*(client.get(url + "/text") for _ in range(300)))
        assert {answer.status for answer in answers} == {200}
        assert {await answer.text() for answer in answers} == {TEXT}

    run(origin, scenario)


def test_a_large_body_is_streamed_in_little_memory(origin: tuple[str, dict[str, Any]]) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def scenario(client: http.Client, url: str) -> None:
        before, most, size, looked_at = resident(), 0, 0, 0
        async with client.stream("GET", url + "/large.bin") as response:
            assert "content-encoding" not in response.headers
            async for piece in response.stream():
                size += len(piece)
                if size - looked_at > 2**20:
                    most, looked_at = max(most, resident()), size
        assert size == LARGE
        assert most - before < LARGE / 4

    run(origin, scenario)


@pytest.fixture(params=["nginx", "haproxy"])
def careful_origin(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Those that pack, redirect and refuse."""
    made = request.getfixturevalue(request.param)
    if isinstance(made, Nginx):
        return "http://nginx.example", {"unix": made.socket}
    return made, {}


def test_gzip_and_redirects(careful_origin: tuple[str, dict[str, Any]]) -> None:
    async def scenario(client: http.Client, url: str) -> None:
        packed = await client.get(url + "/text")
        assert packed.headers["content-encoding"] == "gzip"
        assert await packed.text() == TEXT
        async with client.stream("GET", url + "/text") as response:
            assert response.headers["content-encoding"] == "gzip"
            assert await response.text() == TEXT
        for path, status in (("/old", {301, 302}), ("/moved", {307, 308})):
            answer = await client.get(url + path)
            assert (answer.url, await answer.text()) == (url + "/text", TEXT)
            assert [one.status in status for one in answer.history] == [True]

    run(careful_origin, scenario)


def test_a_large_upload_that_is_refused_has_its_answer(
    careful_origin: tuple[str, dict[str, Any]],
) -> None:
    size, piece = 20 * 2**20, bytes(2**16)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    async def scenario(client: http.Client, url: str) -> None:
        length = {"content-length": str(size)}
        for _ in range(5):
            assert (await client.post(url + "/text", body=bytes(size))).status == 413
            assert (await client.post(url + "/text", body=pieces(), headers=length)).status == 413
        assert (await client.get(url + "/text")).status == 200

    run(careful_origin, scenario)


def test_connections_that_nginx_cuts_off_after_50_requests_are_replaced(nginx: Nginx) -> None:
    async def scenario(client: http.Client, url: str) -> None:
        async def worker() -> None:
            for _ in range(130):
                assert (await client.get(url + "/text")).status == 200

        await asyncio.gather(*(worker() for _ in range(8)))
        counted = client.statistics()
        assert counted["failures"] == 0
        assert counted["connected"] >= 8 * 130 // 50

    run(("http://nginx.example", {"unix": nginx.socket}), scenario)


def test_no_request_fails_while_nginx_reloads(nginx: Nginx) -> None:
    async def scenario(client: http.Client, url: str) -> None:
        is_over = False
        answered = 0

        async def load() -> None:
            nonlocal answered
            while not is_over:
                assert (await client.get(url + "/text")).status == 200
                answered += 1

        async def worker_of_now() -> str:
            return (await client.get(url + "/text")).headers["x-worker"]

        tasks = [asyncio.ensure_future(load()) for _ in range(8)]
        seen = {await worker_of_now()}
        for _ in range(5):
            nginx.process.send_signal(signal.SIGHUP)
            while (worker := await worker_of_now()) in seen:
                pass
            seen.add(worker)
            wanted = answered + 100
            while answered < wanted:
                await asyncio.sleep(0)
        is_over = True
        await asyncio.gather(*tasks)
        assert client.statistics()["failures"] == 0

    run(("http://nginx.example", {"unix": nginx.socket}), scenario)
