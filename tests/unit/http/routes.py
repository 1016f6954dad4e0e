"""Routers whose handlers say which route was taken, and requests to them."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.unit.http.talking import Answer, Peer, with_peer

from sennit import http


async def ask(peer: Peer, path: str, method: str = "GET", *lines: str) -> Answer:
    host = path if method == "CONNECT" else "h"
    if path.startswith("http://"):
        host = path.split("/")[2]
    head = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""))
    peer.send(head.encode("latin-1"))
    return await peer.answer(to_head=method == "HEAD")


def with_router(
    router: http.Handler, scenario: Callable[[Peer], Awaitable[Any]]
) -> list[dict[str, Any]]:
    return with_peer(router, lambda peer, _server: scenario(peer))


def named(name: str) -> http.Handler:
    return lambda request: {"route": name, **request.path_params}


def router_of(*patterns: str, **settings: Any) -> http.Router:
    router = http.Router(**settings)
    for pattern in patterns:
        router.add(pattern, named(pattern))
    return router


def expect(router: http.Handler, *cases: tuple[str, Any]) -> None:
    """Each path is answered by the route of this name with these parameters, or with a status."""

    async def scenario(peer: Peer) -> None:
        for path, wanted in cases:
            answer = await ask(peer, path)
            if isinstance(wanted, int):
                assert answer.status == wanted, path
            else:
                assert answer.status == 200, path
                assert json_of(answer) == wanted, path

    assert with_router(router, scenario) == []


def json_of(answer: Answer) -> Any:
    return json.loads(answer.body)
