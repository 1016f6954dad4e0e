"""https and UNIX sockets: who is at the other end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.http.misbehaving import origin

import sennit
from sennit import errors, http, net


def test_https_is_spoken_with_an_authority_that_was_given(certificates: Any) -> None:
    async def main() -> None:
        tls = certificates.server_tls()
        server = await http.listen(lambda r: f"{r.method}", "https://127.0.0.1:0", tls=tls)
        trust = net.ClientTls(ca=certificates.path("ca.pem"))
        async with server, http.Client(tls=trust) as client:
            url = f"https://127.0.0.1:{server.port}/"
            for _ in range(3):
                assert await (await client.get(url)).text() == "GET"
            big = await client.post(f"https://localhost:{server.port}/", body=b"x" * 1_000_000)
            assert await big.text() == "POST"
            assert client.statistics()["connected"] == 2

    sennit.run(main())


def test_the_systems_authorities_do_not_know_ours(certificates: Any) -> None:
    async def main() -> None:
        tls = certificates.server_tls()
        server = await http.listen(lambda _: "ok", "https://127.0.0.1:0", tls=tls)
        async with server, http.Client() as client:
            with pytest.raises(errors.CertificateError, match="nobody that is trusted") as caught:
                await client.get(f"https://localhost:{server.port}/")
            assert caught.value.step == "agreeing upon TLS"
            assert client.statistics()["open"] == 0

    sennit.run(main())


def test_a_certificate_for_another_host_is_refused(certificates: Any) -> None:
    async def main() -> None:
        tls = certificates.server_tls("other")
        server = await http.listen(lambda _: "ok", "https://127.0.0.1:0", tls=tls)
        trust = net.ClientTls(ca=certificates.path("ca.pem"))
        async with server, http.Client(tls=trust) as client:
            with pytest.raises(errors.CertificateError, match=r"other\.example"):
                await client.get(f"https://localhost:{server.port}/")

    sennit.run(main())


def test_an_origin_that_speaks_no_tls_is_told_apart() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()

    async def main() -> None:
        async with origin(plain) as url, http.Client() as client:
            with pytest.raises(errors.RemoteProtocolError, match="plain text"):
                await client.get(url.replace("http:", "https:"))

    sennit.run(main())


def test_a_handshake_is_part_of_the_connect_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with origin(silent) as url, http.Client(connect_timeout=0.05) as client:
            with pytest.raises(errors.DeadlineError, match=r"agreeing upon TLS.*connect_timeout"):
                await client.get(url.replace("http:", "https:"))

    sennit.run(main())


def test_requests_go_to_a_unix_socket(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "http.sock"
        server = await http.listen(lambda r: r.headers["host"], f"unix://{path}")
        async with server, http.Client(unix=path) as client:
            assert await (await client.get("http://any.example/")).text() == "any.example"
        async with http.Client(unix=tmp_path / "missing") as client:
            with pytest.raises(errors.ConnectError):
                await client.get("http://any.example/")
        async with http.Client(unix="/x" * 200) as client:
            with pytest.raises(errors.ConnectError, match="too long"):
                await client.get("http://any.example/")

    sennit.run(main())
