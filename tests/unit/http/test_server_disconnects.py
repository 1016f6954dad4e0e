"""A client that ends its sending side while its request is being answered."""

import asyncio

import pytest
from tests.unit.http.talking import GET, Peer, eventually, with_peer

from sennit import http


class Waiting:
    """A handler that waits until it is let go."""

    def __init__(self) -> None:
        self.requests: list[http.Request] = []
        self.go = asyncio.Event()
        self.was_cancelled = False

    async def __call__(self, request: http.Request) -> str:
        self.requests.append(request)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return "late"


def test_a_half_closed_client_gets_its_answer() -> None:
    handler = Waiting()

    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(GET)
        await eventually(lambda: handler.requests)
        (request,) = handler.requests
        assert request.is_disconnected is False
        peer.writer.write_eof()
        await eventually(lambda: request.is_disconnected)
        handler.go.set()
        assert (await peer.answer()).body == b"late"
        assert server.statistics()["abandoned"] == 0

    assert with_peer(handler, scenario) == []


@pytest.mark.parametrize("aborts", [False, True])
def test_a_client_that_is_gone(aborts: bool) -> None:
    handler = Waiting()

    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(GET)
        await eventually(lambda: handler.requests)
        if aborts:
            peer.writer.transport.abort()
        else:
            peer.writer.close()
        await eventually(lambda: handler.was_cancelled)
        assert handler.requests[0].is_disconnected
        assert server.statistics()["abandoned"] == 1
        assert server.statistics()["open"] == 0

    assert with_peer(handler, scenario, cancel_on_disconnect=True) == []
