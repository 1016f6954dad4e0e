"""JSON: read strictly, written compactly, by whatever codec the program wants."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.http.talking import Answer, Peer, chunked, post, with_peer

from sennit import errors, http


@pytest.fixture(autouse=True)
def _standard_codec() -> Iterator[None]:
    yield
    http.use_json()


def answered(handler: http.Handler, *asked: bytes) -> list[Answer]:
    """What a handler answers; the loop is told of nothing."""
    answers: list[Answer] = []

    async def scenario(peer: Peer, _server: http.Server) -> None:
        for raw in asked:
            answers.append(await peer.ask(raw))

    assert with_peer(handler, scenario) == []
    return answers


async def echo(request: http.Request) -> http.Response:
    return http.Response.json(await request.json())


VALUES: list[Any] = [
    None,
    True,
    0,
    -1.5e300,
    "",
    'h\xe9 \u20ac \U0001f600 "quoted" \\ \x00',
    [],
    {},
    {"a": [1, {"b": None}], "": [[]]},
    list(range(5000)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_what_is_sent_comes_back(value: Any) -> None:
    body = json.dumps(value).encode()
    for answer in answered(echo, post(body), chunked(body[:1], body[1:])):
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(answer.body) == value


def test_it_is_compact_and_not_escaped() -> None:
    response = http.Response.json({"a": [1, 2], "b": "\xe9"})
    assert response.body == '{"a":[1,2],"b":"\xe9"}'.encode()


def test_status_and_headers() -> None:
    response = http.Response.json([], 201, headers={"x": "y"})
    assert (response.status, response.headers["x"]) == (201, "y")
    problem = "application/problem+json"
    response = http.Response.json(value=None, status=400, headers={"Content-Type": problem})
    assert (response.status, response.content_type, response.body) == (400, problem, b"null")


@pytest.mark.parametrize(
    ("value", "error"),
    [(object(), TypeError), (float("nan"), ValueError), ({"a": {1, 2}}, TypeError)],
)
def test_what_json_does_not_have(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        http.Response.json(value)


@pytest.mark.parametrize("arguments", [(), (1, 200, {}), (1, "200")])
def test_arguments_of_the_wrong_kind(arguments: Any) -> None:
    with pytest.raises(TypeError):
        http.Response.json(*arguments)


@pytest.mark.parametrize("value", [{}, {"a": 1}, [], [1, {"b": 2}]])
def test_a_handler_may_return_what_becomes_json(value: Any) -> None:
    (answer,) = answered(lambda _: value, post(b""))
    assert (answer.status, json.loads(answer.body)) == (200, value)
    assert answer.headers["content-type"] == "application/json"


def test_what_a_handler_returns_and_json_does_not_have_is_its_error() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask()).status == 500

    (report,) = with_peer(lambda _: {"a": object()}, scenario)
    assert isinstance(report["exception"], TypeError)


BAD = [
    b"",
    b"{",
    b"nope",
    b"[1,]",
    b"1 2",
    b"NaN",
    b"[Infinity]",
    b'"\xff"',
    '"\xe9"'.encode("latin-1"),
    "[]".encode("utf-16"),
    b"\xef\xbb\xbf[]",
    b"[" * 100_000,
    b"1" * 5000,
]


@pytest.mark.parametrize("body", BAD, ids=lambda body: repr(body[:12]))
def test_what_is_no_json_is_the_peers_fault(body: bytes) -> None:
    caught: list[errors.RemoteProtocolError] = []

    async def catching(request: http.Request) -> str:
        with pytest.raises(errors.RemoteProtocolError, match="request body is not JSON") as info:
            await request.json()
        caught.append(info.value)
        assert await request.body() == body
        return "caught"

    assert [answer.status for answer in answered(catching, post(body))] == [200]
    assert (caught[0].hint, caught[0].rule) == (400, "RFC 8259 section 2")
    assert caught[0].__cause__ is not None
    # Nobody has caught it: 400 at once, or after a wait, and no report of a server's error.
    assert [answer.status for answer in answered(echo, post(body), chunked(body))] == [400, 400]


def test_a_hint_of_another_server_is_not_this_peers_fault() -> None:
    async def handler(_request: http.Request) -> str:
        raise errors.RemoteProtocolError("upstream is odd", hint=502)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask()).status == 500

    assert len(with_peer(handler, scenario)) == 1


@pytest.mark.parametrize("hint", [400, 415, 422])
def test_a_handler_may_blame_the_peer(hint: int) -> None:
    def handler(_request: http.Request) -> str:
        raise errors.RemoteProtocolError("not like this", hint=hint)

    (answer,) = answered(handler, post(b""))
    assert answer.status == hint


def test_a_body_that_is_there_is_read_without_a_coroutine() -> None:
    async def handler(request: http.Request) -> list[str]:
        await request.body()
        awaitable = request.json()
        assert await awaitable == {"a": 1}
        return [type(awaitable).__name__, type(request.text()).__name__]

    (answer,) = answered(handler, post(b'{"a": 1}'))
    assert json.loads(answer.body) == ["Ready", "Ready"]


# -- Other codecs ---------------------------------------------------------------------------------


def test_another_codec() -> None:
    http.use_json(
        loads=lambda body: {"read": body.decode()}, dumps=lambda value: repr(value).encode()
    )
    (answer,) = answered(echo, post(b"anything"))
    assert answer.body == b"{'read': 'anything'}"
    http.use_json()
    (answer,) = answered(echo, post(b"[1]"))
    assert answer.body == b"[1]"


class OddError(Exception):
    """What another codec raises: no ValueError."""


@pytest.mark.parametrize("error", [OddError("odd"), ValueError(), RecursionError("deep")])
def test_what_another_codec_raises_says_that_it_is_no_json(error: Exception) -> None:
    def loads(_body: bytes) -> Any:
        raise error

    http.use_json(loads=loads)
    (answer,) = answered(echo, post(b"x"))
    assert answer.status == 400


def test_a_codec_that_is_called_wrongly_is_the_programs_fault() -> None:
    http.use_json(loads=lambda: None)  # type: ignore[arg-type, misc]

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(b"x"))).status == 500

    (report,) = with_peer(echo, scenario)
    assert isinstance(report["exception"], TypeError)


def test_a_codec_that_makes_no_bytes() -> None:
    http.use_json(dumps=lambda _: 7)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="must return str or bytes"):
        http.Response.json({})


def test_a_codec_can_be_called() -> None:
    with pytest.raises(errors.ConfigError, match="loads is 7"):
        http.use_json(loads=7)  # type: ignore[arg-type]
    with pytest.raises(errors.ConfigError, match="dumps is 'x'"):
        http.use_json(dumps="x")  # type: ignore[arg-type]


def test_the_deepest_answer_does_not_end_the_process() -> None:
    value: list[Any] = []
    for _ in range(sys.getrecursionlimit() * 2):
        value = [value]
    with pytest.raises(RecursionError):
        http.Response.json(value)
