"""Cookies: what browsers send is read, and what they would refuse is not written."""

import gc
from datetime import UTC, datetime, timedelta, timezone
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import Request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.http.talking import Peer, with_peer

from sennit import errors, http
from sennit.http.cookies import parse_cookies, render_cookie, render_deleted_cookie


@pytest.mark.parametrize(
    ("field", "cookies"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2;", {"a": "1", "b": "2"}),
        (" a = 1 ;; ; b=2 ", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "1"}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("flag; a=1; =x", {"a": "1"}),
        ('a="quoted value"; b="; c="', {"a": "quoted value", "b": '"', "c": '"'}),
        ("a=%20+x", {"a": "%20+x"}),
        ("a=h\xe9", {"a": "h\xe9"}),
        ("a=\xe2\x82\xac", {"a": "\u20ac"}),
        ("$Version=1; a[b]=c d", {"$Version": "1", "a[b]": "c d"}),
    ],
)
def test_reading(field: str, cookies: dict[str, str]) -> None:
    assert parse_cookies(field) == cookies


@given(st.text(st.characters(max_codepoint=255)))
def test_whatever_is_sent_is_read(field: str) -> None:
    for name, value in parse_cookies(field).items():
        assert name
        assert ";" not in name + value


@given(st.text("abc!#$%&'*+-.^_`|~", min_size=1), st.text("abc!#$%&'()*+-./:<=>?@[]^_`{|}~"))
def test_what_is_written_is_read_again(name: str, value: str) -> None:
    assert parse_cookies(render_cookie(name, value, path=None, same_site=None)) == {name: value}


@pytest.mark.parametrize(
    ("arguments", "rest"),
    [
        ({}, "Path=/; SameSite=Lax"),
        ({"path": None, "same_site": None}, ""),
        ({"max_age": 60, "path": "/a b"}, "Max-Age=60; Path=/a b; SameSite=Lax"),
        ({"max_age": -1}, "Max-Age=-1; Path=/; SameSite=Lax"),
        ({"expires": 0, "path": None}, "Expires=Thu, 01 Jan 1970 00:00:00 GMT; SameSite=Lax"),
        (
            {"expires": datetime(2015, 10, 21, 7, 28, tzinfo=UTC), "same_site": "Strict"},
            "Expires=Wed, 21 Oct 2015 07:28:00 GMT; Path=/; SameSite=Strict",
        ),
        (
            {"expires": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))), "path": None},
            "Expires=Wed, 31 Dec 2025 22:00:00 GMT; SameSite=Lax",
        ),
        (
            {"secure": True, "http_only": True, "same_site": "none", "partitioned": True},
            "Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
        ),
        ({"domain": "example.com"}, "Domain=example.com; Path=/; SameSite=Lax"),
    ],
)
def test_writing(arguments: dict[str, Any], rest: str) -> None:
    assert render_cookie("n", "v", **arguments) == "; ".join(filter(None, ["n=v", rest]))


@pytest.mark.parametrize(
    ("name", "value", "arguments", "words"),
    [
        ("", "v", {}, "has no name"),
        ("a b", "v", {}, "name 'a b' has ' '"),
        ("a=b", "v", {}, "name 'a=b' has '='"),
        ("\xe9", "v", {}, "name"),
        ("n", "a b", {}, "value 'a b' has ' '; encode it"),
        ("n", "a;b", {}, "has ';'"),
        ("n", 'a"b', {}, "has '\"'"),
        ("n", "a,b", {}, "has ','"),
        ("n", "a\\b", {}, "has"),
        ("n", "a\r\nb", {}, r"has '\\r'"),
        ("n", "\u20ac", {}, "has '\u20ac'"),
        ("n", "x" * 4096, {}, "is 4,097 bytes, limit 4,096"),
        ("n", "v", {"path": "a"}, "starts with a slash"),
        ("n", "v", {"path": ""}, "starts with a slash"),
        ("n", "v", {"path": "/;secure"}, "path '/;secure' has ';'"),
        ("n", "v", {"path": "/\n"}, "path"),
        ("n", "v", {"domain": "a;b"}, "domain"),
        ("n", "v", {"domain": "b\xfccher.de"}, "xn--"),
        ("n", "v", {"same_site": "maybe"}, "same_site is 'maybe'"),
        ("n", "v", {"same_site": "none"}, "needs secure=True"),
        ("n", "v", {"partitioned": True}, "needs secure=True"),
        ("__Secure-n", "v", {}, "needs secure=True"),
        ("__host-n", "v", {"secure": True, "domain": "h"}, "no domain"),
        ("__Host-n", "v", {"secure": True, "path": "/a"}, "path='/'"),
        ("n", "v", {"expires": datetime(2026, 1, 1)}, "which timezone"),
    ],
)
def test_what_a_browser_would_not_take(
    name: str, value: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.LocalProtocolError, match=words):
        render_cookie(name, value, **arguments)
    response = http.Response()
    with pytest.raises(errors.LocalProtocolError, match=words):
        response.set_cookie(name, value, **arguments)
    assert response.headers == {}


def test_deleting() -> None:
    gone = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
    assert render_deleted_cookie("n") == f"n=; {gone}; Path=/"
    assert render_deleted_cookie("n", path="/a", domain="h") == f"n=; {gone}; Domain=h; Path=/a"
    # A browser takes these only if they keep what their name promises.
    assert render_deleted_cookie("__Host-n") == f"__Host-n=; {gone}; Path=/; Secure"


def test_the_methods_of_a_response() -> None:
    response = http.Response("x")
    response.set_cookie("a", "1")
    response.set_cookie("b", value="2", max_age=5, same_site="strict")
    response.delete_cookie("c", path="/x")
    assert response.headers.get_all("set-cookie") == [
        "a=1; Path=/; SameSite=Lax",
        "b=2; Max-Age=5; Path=/; SameSite=Strict",
        "c=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/x",
    ]
    with pytest.raises(TypeError):
        response.set_cookie("a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        response.set_cookie("a", "1", colour="red")  # type: ignore[call-arg]


class _Answer:
    """As much of a response as the standard library's cookie jar looks at."""

    def __init__(self, response: http.Response) -> None:
        self._response = response

    def info(self) -> "_Answer":
        return self

    def get_all(self, name: str, default: Any = None) -> Any:
        return self._response.headers.get_all(name) or default


def test_another_implementation_understands_it() -> None:
    jar = CookieJar()
    asked = Request("http://example.com/a/b")
    response = http.Response()
    response.set_cookie("a", "1", path="/a", max_age=1000, http_only=True)
    response.set_cookie("b", "2")
    jar.extract_cookies(_Answer(response), asked)  # type: ignore[arg-type]
    jar.add_cookie_header(asked)
    assert parse_cookies(asked.get_header("Cookie", "")) == {"a": "1", "b": "2"}
    response = http.Response()
    response.delete_cookie("b")
    jar.extract_cookies(_Answer(response), asked)  # type: ignore[arg-type]
    assert [cookie.name for cookie in jar] == ["a"]


def test_the_cookies_of_a_request() -> None:
    seen: list[Any] = []

    def handler(request: http.Request) -> str:
        seen.append(request.cookies)
        assert request.cookies is request.cookies
        request.cookies.setdefault("mine", "x")
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        await peer.ask(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1; b=2\r\ncookie: c=3\r\n\r\n")
        await peer.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")

    assert with_peer(handler, scenario) == []
    assert seen == [{"a": "1", "b": "2", "c": "3", "mine": "x"}, {"mine": "x"}]
    gc.collect()
