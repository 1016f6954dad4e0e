"""HTTP over TLS and over UNIX sockets."""

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.unit.http.talking import GET, eventually

import sennit
from sennit import errors, http, net


async def show(request: http.Request) -> str:
    return f"{request.method} {request.path} {request.scheme} {len(await request.body())}"


def serve(scenario: Any, *urls: str, **options: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), await http.listen(show, *urls, **options) as server:
            await scenario(server)

    sennit.run(main())


@pytest.fixture
def tls(certificates: Any) -> net.ServerTls:
    return net.ServerTls(
        certificate=certificates.path("server.pem"),
        key=certificates.path("server.key"),
        alpn=("http/1.1",),
    )


async def curl(*arguments: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, ["curl", "-sS", *arguments], capture_output=True, timeout=30, check=True
    )
    return done.stdout.decode()


async def connect(server: http.Server, certificates: Any) -> Any:
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])

    def open_it() -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        return context.wrap_socket(raw, server_hostname="localhost")

    return await asyncio.to_thread(open_it)


def test_curl_over_tls(tls: net.ServerTls, certificates: Any) -> None:
    async def scenario(server: http.Server) -> None:
        assert server.urls[0].startswith("https://127.0.0.1:")
        ca = ("--cacert", certificates.path("ca.pem"))
        url = f"https://localhost:{server.port}"
        resolve = ("--resolve", f"localhost:{server.port}:127.0.0.1")
        assert await curl(*ca, *resolve, url + "/a") == "GET /a https 0"
        body = ("--data-binary", "x" * 100_000)
        text = await curl(*ca, *resolve, *body, url + "/b", url + "/c")
        assert text == "POST /b https 100000POST /c https 100000"
        assert server.statistics()["accepted"] == 2

    serve(scenario, "https://127.0.0.1:0", tls=tls)


def test_python_s_own_tls_agrees_on_http(tls: net.ServerTls, certificates: Any) -> None:
    async def scenario(server: http.Server) -> None:
        peer = await connect(server, certificates)
        assert peer.selected_alpn_protocol() == "http/1.1"
        peer.sendall(GET.replace(b"Host: h", b"Host: h\r\nConnection: close"))

        def read() -> bytes:
            data = b""
            while piece := peer.recv(65536):
                data += piece
            # An end without close_notify would have raised.
            return data

        assert (await asyncio.to_thread(read)).endswith(b"GET / https 0")
        peer.close()

    serve(scenario, "https://127.0.0.1:0", tls=tls)


def test_plain_http_on_a_tls_port_is_dropped(tls: net.ServerTls) -> None:
    async def scenario(server: http.Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        data = await reader.read()
        assert b"HTTP" not in data
        writer.close()
        await eventually(lambda: server.statistics()["open"] == 0)
        assert server.statistics()["handshake_failures"] == 1
        assert server.statistics()["requests"] == 0

    serve(scenario, "https://127.0.0.1:0", tls=tls)


def test_both_schemes_and_a_path(tls: net.ServerTls, tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def scenario(server: http.Server) -> None:
        schemes = [url.partition(":")[0] for url in server.urls]
        assert schemes == ["http", "https", "unix"]
        assert await curl("--unix-socket", str(path), "http://any/x") == "GET /x http 0"
        assert await curl(server.urls[0] + "/y") == "GET /y http 0"
        assert path.is_socket()
        await server.close()
        assert not path.exists()

    serve(scenario, "http://127.0.0.1:0", "https://127.0.0.1:0", f"unix://{path}", tls=tls)


def test_a_path_alone_has_no_port(tmp_path: Path) -> None:
    async def scenario(server: http.Server) -> None:
        with pytest.raises(ValueError, match="has no port"):
            server.port  # noqa: B018

    serve(scenario, f"unix://{tmp_path}/socket")


def test_a_url_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="No such file"):
            await http.listen(show, f"unix://{tmp_path}/a", f"unix://{tmp_path}/no/b")

    sennit.run(main())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://h", "is no http URL; write http://HOST:PORT, https://HOST:PORT or unix:///PATH"),
        ("https://h:1", "needs tls"),
        ("https://h:99999", "ports are 0 to 65535"),
        ("http://h:1/x", "has more than host and port"),
        ("http://", "names no host"),
        ("unix://host/x", "names a host"),
    ],
)
def test_a_url_that_cannot_be(url: str, words: str) -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match=words):
            await http.listen(show, url)

    sennit.run(main())


def test_certificates_that_change_are_for_new_connections(
    certificates: Any, tmp_path: Path
) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def put(name: str) -> None:
        chain.write_bytes(Path(certificates.path(f"{name}.pem")).read_bytes())
        key.write_bytes(Path(certificates.path(f"{name}.key")).read_bytes())

    put("other")
    settings = net.ServerTls(certificate=chain, key=key)

    async def scenario(server: http.Server) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(server, certificates)
        put("server")
        server._certificates._look()
        (await connect(server, certificates)).close()
        assert server.statistics()["certificates_reloaded"] == 1

    serve(scenario, "https://127.0.0.1:0", tls=settings)
