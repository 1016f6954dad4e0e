"""A request as its handler sees it."""

from typing import Any

import pytest
from tests.unit.http.talking import Peer, post, with_peer

from sennit import errors, http
from sennit._native import core
from sennit.http import charset


def received(raw: bytes, look: Any) -> Any:
    """What a handler sees of a request: looked at in the first step, and again after it."""
    seen: list[Any] = []
    kept: list[http.Request] = []

    def handler(request: http.Request) -> str:
        kept.append(request)
        seen.append(look(request))
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        answer = await peer.ask(raw)
        assert answer.status == 200, answer.body

    assert with_peer(handler, scenario) == []
    assert seen[0] == look(kept[0])
    return seen[0]


def get(target: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: h", *fields, "", ""]).encode(
        "latin-1"
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "Odd-1", "get"])
def test_the_method_is_as_sent(method: str) -> None:
    assert received(get("/", method=method), lambda request: request.method) == method


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", "/", ""),
        ("/a/b", "/a/b", "/a/b", ""),
        ("/a?b=c&d", "/a", "/a", "b=c&d"),
        ("/?", "/", "/", ""),
        ("/a?b?c", "/a", "/a", "b?c"),
        ("/a%20b%2Fc+d", "/a b/c+d", "/a%20b%2Fc+d", ""),
        ("/%C3%A9", "/é", "/%C3%A9", ""),
        ("/%ff", "/\ufffd", "/%ff", ""),
        ("/%", "/%", "/%", ""),
        ("/%4", "/%4", "/%4", ""),
        ("/%zz%41", "/%zzA", "/%zz%41", ""),
        ("/%2541", "/%41", "/%2541", ""),
        ("/%00", "/\0", "/%00", ""),
        ("//double//slash", "//double//slash", "//double//slash", ""),
        ("/../up", "/../up", "/../up", ""),
        ("/a?x=http://y", "/a", "/a", "x=http://y"),
        ("http://h/a?b", "/a", "/a", "b"),
        ("http://h", "/", "/", ""),
        ("http://h?q", "/", "/", "q"),
        ("http://h/a%20b", "/a b", "/a%20b", ""),
    ],
)
def test_targets(target: str, path: str, raw_path: str, query: str) -> None:
    def look(request: http.Request) -> tuple[str, ...]:
        return (request.target, request.path, request.raw_path, request.query)

    assert received(get(target), look) == (target, path, raw_path, query)


def test_the_asterisk() -> None:
    raw = get("*", method="OPTIONS")
    assert received(raw, lambda request: (request.target, request.path)) == ("*", "*")


def test_headers() -> None:
    raw = get("/", "X-A: one", "x-a:two  ", "Accept:", "X-Latin: h\xe9", "Cookie: a=1; b=2")
    headers = received(raw, lambda request: request.headers.items())
    assert headers == [
        ("host", "h"),
        ("x-a", "one"),
        ("x-a", "two"),
        ("accept", ""),
        ("x-latin", "h\xe9"),
        ("cookie", "a=1; b=2"),
    ]
    assert received(raw, lambda request: request.headers["X-a"]) == "one, two"
    assert received(raw, lambda request: request.headers is request.headers)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_version(version: str) -> None:
    assert received(get("/", version=version), lambda request: request.http_version) == version


def test_the_client_is_the_peer() -> None:
    async def scenario(peer: Peer, _server: http.Server) -> None:
        host, port = peer.writer.get_extra_info("sockname")
        assert (await peer.ask()).body.decode() == f"{host} {port}"

    def handler(request: http.Request) -> str:
        assert request.client is not None
        return f"{request.client[0]} {request.client[1]}"

    assert with_peer(handler, scenario) == []


def test_repr() -> None:
    assert received(get("/a?b"), repr) == "<sennit.http.Request GET /a?b>"


def test_it_is_made_by_the_server_only_and_does_not_change() -> None:
    with pytest.raises(TypeError):
        http.Request()

    def handler(request: http.Request) -> str:
        with pytest.raises(AttributeError):
            request.path = "/other"  # type: ignore[misc]
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask()).status == 200

    assert with_peer(handler, scenario) == []


def test_a_request_outlives_its_server() -> None:
    kept: list[http.Request] = []

    async def scenario(peer: Peer, _server: http.Server) -> None:
        await peer.ask(get("/kept", "X: y"))

    def handler(request: http.Request) -> str:
        kept.append(request)
        return "ok"

    with_peer(handler, scenario)
    (request,) = kept
    assert request.path == "/kept"
    assert request.headers["x"] == "y"
    with pytest.raises((errors.ClosedError, errors.ConnectionLostError)):
        request.body()


# -- Text, and what else is made of a body --------------------------------------------------------


def read_text(body: bytes, *fields: str) -> str:
    """What `text` gives: after a wait, and when the body is there."""
    seen: list[str] = []

    async def handler(request: http.Request) -> str:
        seen.append(await request.text())
        seen.append(await request.text())
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(body, *fields))).status == 200

    assert with_peer(handler, scenario) == []
    assert seen[0] == seen[1]
    return seen[0]


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        (None, "h\xe9\u20ac".encode(), "h\xe9\u20ac"),
        (None, b"", ""),
        (None, b"a\xffb", "a\ufffdb"),
        ("text/plain", "\xe9".encode(), "\xe9"),
        ("text/plain; charset=utf-8", "\xe9".encode(), "\xe9"),
        ("text/plain; charset=ISO-8859-1", b"\xe9", "\xe9"),
        ('text/plain; x=y; Charset="windows-1252"', b"\x80", "\u20ac"),
        ("text/plain;charset=us-ascii", b"a\xe9", "a\ufffd"),
        ("text/plain; charset=utf-16", "\xe9".encode("utf-16"), "\xe9"),
        ("text/plain; charset=gbk", "\u4e2d".encode("gbk"), "\u4e2d"),
        ("text/plain; charset=shift_jis", "\u65e5".encode("shift_jis"), "\u65e5"),
        ("text/plain; charset=nobody-knows", "\xe9".encode(), "\xe9"),
        ("text/plain; charset=", "\xe9".encode(), "\xe9"),
        ("text/plain; charset=\xe9", "\xe9".encode(), "\xe9"),
        # Python knows these, but a peer may not have it work that hard.
        ("text/plain; charset=punycode", b"a-b", "a-b"),
        ("text/plain; charset=unicode_escape", rb"\x41", r"\x41"),
        ("text/plain; charset=hex", b"41", "41"),
    ],
)
def test_text(content_type: str | None, body: bytes, text: str) -> None:
    fields = [] if content_type is None else [f"Content-Type: {content_type}"]
    assert read_text(body, *fields) == text


def test_every_charset_is_known_to_python() -> None:
    for codec in charset._CHARSETS.values():
        assert "".encode(codec) in {b"", b"\xff\xfe", b"\xfe\xff"}


def test_a_body_that_never_comes_fails_what_is_made_of_it() -> None:
    caught: list[str] = []

    async def handler(request: http.Request) -> str:
        for method in (request.text, request.json):
            with pytest.raises(errors.RemoteProtocolError, match="larger than 5 bytes") as info:
                await method()
            caught.append(str(info.value.hint))
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(b"too large"))).status == 200

    assert with_peer(handler, scenario, max_body_size=5) == []
    assert caught == ["413", "413"]


def test_helpers_have_names() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'fom'"):
        core.set_message_helpers(fom=print)


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("?", []),
        ("?a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("?name=a+b%20c%26%C3%A9", [("name", "a b c&\u00e9")]),
        ("?empty=&flag", [("empty", ""), ("flag", "")]),
        ("?bad=%ff%zz", [("bad", "\ufffd%zz")]),
    ],
)
def test_query_params(query: str, pairs: list[tuple[str, str]]) -> None:
    def handler(request: http.Request) -> str:
        params = request.query_params
        assert isinstance(params, http.Values)
        assert params is request.query_params, "read once"
        assert params.pairs() == pairs
        assert dict(params) == dict(reversed(pairs))
        assert all(params[name] in params.get_all(name) for name in params)
        assert "other" not in params
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        answer = await peer.ask(f"GET /x{query} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert answer.body == b"ok"

    assert with_peer(handler, scenario) == []


def test_a_query_has_a_limit() -> None:
    def handler(request: http.Request) -> str:
        return str(len(request.query_params))

    async def scenario(peer: Peer, _server: http.Server) -> None:
        for count, status in ((1000, 200), (1001, 400)):
            query = "&".join(["a"] * count)
            answer = await peer.ask(f"GET /?{query} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            assert answer.status == status

    assert with_peer(handler, scenario) == []
