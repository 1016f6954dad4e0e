"""Requests through proxies: passed on, in tunnels, by SOCKS5, and what proxies refuse."""

from typing import Any

import pytest
from tests.unit.http.misbehaving import answering, origin
from tests.unit.http.proxying import PASSWORD, USER, proxy

import sennit
from sennit import errors, http, net


def test_a_proxy_gets_absolute_targets_over_connections_for_all_origins() -> None:
    async def main() -> None:
        async with proxy("http") as made, http.Client(proxies=f"http://{made.url}") as client:
            for host in ("a.example", "b.example:8080"):
                response = await client.get(f"http://{host}/x?y=1")
                assert await response.text() == f"http://{host}/x?y=1 for GET"
            assert (made.connections, client.statistics()["connected"]) == (1, 1)
            async with client.stream("POST", "http://c.example/", body=["x"]) as streamed:
                assert await streamed.text() == "http://c.example/ for POST"

    sennit.run(main())


@pytest.mark.parametrize("kind", ["http", "socks"])
@pytest.mark.parametrize("credentials", [False, True])
def test_https_goes_through_a_tunnel(certificates: Any, kind: str, credentials: bool) -> None:
    async def main() -> None:
        tls = certificates.server_tls()
        server = await http.listen(lambda r: r.path, "https://127.0.0.1:0", tls=tls)
        trust = net.ClientTls(ca=certificates.path("ca.pem"))
        async with server, proxy(kind, credentials=credentials) as made:
            user = f"{USER}:{PASSWORD}@" if credentials else ""
            scheme = "http" if kind == "http" else "socks5h"
            proxies = f"{scheme}://{user}{made.url}"
            async with http.Client(tls=trust, proxies=proxies) as client:
                for path in ("/a", "/b"):
                    response = await client.get(f"https://127.0.0.1:{server.port}{path}")
                    assert await response.text() == path
                assert client.statistics()["connected"] == 1
            asked = f"127.0.0.1:{server.port}"
            assert made.asked == [f"CONNECT {asked}" if kind == "http" else asked]

    sennit.run(main())


def test_socks_proxies_look_names_up_or_not() -> None:
    async def main() -> None:
        server = await http.listen(lambda r: r.headers["host"], "http://127.0.0.1:0")
        async with server, proxy("socks") as made:
            for scheme, host, asked in (
                ("socks5h", "name.example", "name.example"),
                ("socks5", "localhost", "127.0.0.1"),
            ):
                async with http.Client(proxies=f"{scheme}://{made.url}") as client:
                    response = await client.get(f"http://{host}:{server.port}/")
                    assert await response.text() == f"{host}:{server.port}"
                assert made.asked.pop() == f"{asked}:{server.port}"

    sennit.run(main())


@pytest.mark.parametrize(
    ("kind", "url", "message"),
    [
        ("http", "https://a.example/", r"wants credentials \(407\)"),
        ("socks", "http://a.example/", "wants credentials, or others"),
    ],
)
def test_a_proxy_that_refuses_says_why(kind: str, url: str, message: str) -> None:
    async def main() -> None:
        scheme = "http" if kind == "http" else "socks5h"
        async with proxy(kind, credentials=True) as made:
            async with http.Client(proxies=f"{scheme}://{made.url}") as client:
                with pytest.raises(errors.ConnectError, match=message) as caught:
                    await client.get(url)
                assert caught.value.step == "asking the proxy for a tunnel"
                assert caught.value.origin == url.removesuffix("/")
                assert client.statistics()["open"] == 0
            if kind == "socks":
                async with http.Client(proxies=f"socks5h://x:y@{made.url}") as client:
                    with pytest.raises(errors.ConnectError, match="refused the user name"):
                        await client.get(url)

    sennit.run(main())


def test_what_a_socks_proxy_cannot_reach() -> None:
    async def main() -> None:
        async with proxy("socks") as made, http.Client(proxies=f"socks5h://{made.url}") as client:
            with pytest.raises(errors.ConnectError, match="refused the proxy's connection"):
                await client.get("http://refused.example/")

    sennit.run(main())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"nonsense\r\n\r\n", errors.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\n\r\nalready", errors.ConnectError),
        (b"", errors.ConnectError),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", errors.ConnectError),
    ],
)
def test_what_is_no_tunnel_is_an_error(answer: bytes, error: type[Exception]) -> None:
    async def main() -> None:
        async with origin(answering(answer, close=True)) as url, http.Client(proxies=url) as client:
            with pytest.raises(error, match="asking the proxy for a tunnel"):
                await client.get("https://a.example/")

    sennit.run(main())


def test_some_hosts_are_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        server = await http.listen(lambda _: "direct", "http://127.0.0.1:0")
        async with server, proxy("http") as made:
            monkeypatch.setenv("http_proxy", f"http://{made.url}")
            monkeypatch.setenv("no_proxy", "127.0.0.0/8")
            async with http.Client(proxies=http.Proxies.from_environment()) as client:
                assert await (await client.get(server.urls[0])).text() == "direct"
                assert "for GET" in await (await client.get("http://a.example/")).text()
            # Nobody has asked for it here.
            async with http.Client() as client:
                assert await (await client.get(server.urls[0])).text() == "direct"
            assert made.asked == ["GET http://a.example/"]

    sennit.run(main())


def test_ways_that_there_are_not() -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match="unix and proxies"):
            http.Client(unix="/tmp/x", proxies="http://p.example")
        with pytest.raises(errors.ConfigError, match="none of the schemes"):
            http.Client(proxies="ftp://p.example")
        async with http.Client(proxies="https://p.example") as client:
            with pytest.raises(errors.ConfigError, match="TLS to an origin inside of that"):
                await client.get("https://a.example/")

    sennit.run(main())
