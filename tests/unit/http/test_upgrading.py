"""Connections that leave HTTP: upgrades and tunnels."""

import asyncio
from typing import Any

import pytest
from tests.unit.http.talking import GET, Peer, connected, with_peer, with_server

from sennit import errors, http, net

UPGRADE = b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"


class Shout(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


async def shout(stream: net.Stream) -> None:
    async for data in stream:
        await stream.write(data.upper())


def upgrading(successor: Any) -> http.Handler:
    async def handler(request: http.Request) -> http.Response | str:
        if request.method == "CONNECT":
            return http.tunnel(request, successor)
        if not http.offers_upgrade(request, "shout"):
            return "stays"
        await asyncio.sleep(0)
        return http.upgrade(request, "shout", successor, headers={"x-a": "b"})

    handler.handles_connect = True  # type: ignore[attr-defined]
    return handler


@pytest.mark.parametrize("successor", [Shout, shout], ids=["protocol", "stream"])
@pytest.mark.parametrize("behind", [b"", b"early "], ids=["alone", "with data behind it"])
def test_a_connection_goes_on_in_another_protocol(successor: Any, behind: bytes) -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        assert (await peer.ask()).body == b"stays"
        peer.send(UPGRADE + behind)
        head = await peer.head()
        assert (head.status, head.headers["upgrade"], head.headers["x-a"]) == (101, "shout", "b")
        assert head.headers["connection"] == "upgrade"
        assert "content-length" not in head.headers
        peer.send(b"hello")
        wanted = (behind + b"hello").upper()
        assert await peer.reader.readexactly(len(wanted)) == wanted
        assert server.statistics()["upgraded"] == 1
        assert server.statistics()["open"] == 0
        peer.writer.write_eof()
        assert await peer.end() == b""

    assert with_peer(upgrading(successor), scenario) == []


def test_a_synchronous_handler_may_upgrade() -> None:
    def handler(request: http.Request) -> http.Response:
        return http.upgrade(request, "shout", Shout)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(UPGRADE + b"x")
        assert (await peer.head()).status == 101
        assert await peer.reader.readexactly(1) == b"X"

    assert with_peer(handler, scenario) == []


def test_who_does_not_offer_it_is_not_upgraded() -> None:
    def handler(request: http.Request) -> str:
        with pytest.raises(errors.LocalProtocolError, match="does not offer"):
            http.upgrade(request, "shout", Shout)
        return "stays"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        for raw in (
            GET,
            UPGRADE.replace(b"Connection: Upgrade\r\n", b""),
            UPGRADE.replace(b"shout", b"other"),
            UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0").replace(
                b"Upgrade\r\n", b"upgrade, keep-alive\r\n"
            ),
        ):
            assert (await peer.ask(raw)).body == b"stays"

    assert with_peer(handler, scenario) == []


def test_a_body_that_is_unread_forbids_it() -> None:
    def handler(request: http.Request) -> http.Response:
        return http.upgrade(request, "shout", Shout)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(UPGRADE.replace(b"Host: h", b"Host: h\r\nContent-Length: 5"))
        assert (await peer.head()).status == 400

    assert with_peer(handler, scenario) == []


def test_connect_makes_a_tunnel_where_it_is_handled() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\nbytes")
        head = await peer.head()
        assert head.status == 200
        assert "content-length" not in head.headers
        assert "transfer-encoding" not in head.headers
        assert await peer.reader.readexactly(5) == b"BYTES"

    assert with_peer(upgrading(Shout), scenario) == []


MIDDLEWARE = [
    http.log_requests,
    http.compress,
    http.limit_concurrency(5),
    http.timeout(60),
    http.allow_hosts("h"),
    http.cors("https://example.org", expose=["x-a"]),
    lambda handler: http.compose(handler, http.compress, http.log_requests, http.timeout(60)),
]


@pytest.mark.parametrize("successor", [Shout, shout], ids=["protocol", "stream"])
@pytest.mark.parametrize("layer", MIDDLEWARE)
def test_middleware_lets_connections_leave(layer: http.Middleware, successor: Any) -> None:
    fields = b"Accept-Encoding: gzip\r\nOrigin: https://example.org\r\n\r\n"

    async def scenario(server: http.Server) -> None:
        for raw, status in (
            (UPGRADE, 101),
            (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 200),
        ):
            async with connected(server) as peer:
                peer.send(raw[:-2] + fields + b"bytes")
                head = await peer.head()
                assert head.status == status
                unwanted = {"content-length", "transfer-encoding", "content-encoding"}
                assert not unwanted & head.headers.keys()
                assert await peer.reader.readexactly(5) == b"BYTES"

    assert with_server(http.compose(upgrading(successor), layer), scenario) == []


def test_an_answer_that_refuses_a_tunnel_is_not_compressed() -> None:
    def handler(_request: http.Request) -> http.Response:
        return http.Response("no way " * 1000, 403)

    handler.handles_connect = True  # type: ignore[attr-defined]

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nAccept-Encoding: gzip\r\n\r\n")
        answer = await peer.answer()
        assert (answer.status, answer.body) == (403, b"no way " * 1000)

    assert with_peer(http.compress(handler), scenario) == []


def test_connect_is_refused_where_it_is_not() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await peer.answer()).status == 501
        assert await peer.end() == b""
        assert server.statistics()["requests"] == 0

    assert with_peer(lambda _: "never", scenario) == []


def test_a_factory_that_fails_is_reported() -> None:
    def broken() -> asyncio.BaseProtocol:
        raise ValueError("no protocol")

    async def scenario(peer: Peer, _server: http.Server) -> None:
        peer.send(UPGRADE)
        await peer.end()

    reports = with_peer(upgrading(broken), scenario)
    assert [str(report["exception"]) for report in reports] == ["no protocol"]
