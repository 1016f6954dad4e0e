"""What a handler answers with: rendered as it says, and nothing that could end a line too early."""

import copy
import gc
import weakref
from typing import Any

import pytest
from tests.unit.http.talking import Answer, Peer, with_peer

from sennit import errors, http


def sent(response: Any) -> Answer:
    """How an answer arrives."""
    got: list[Answer] = []

    async def scenario(peer: Peer, _server: http.Server) -> None:
        got.append(await peer.ask())

    assert with_peer(lambda _: response, scenario) == []
    got[0].headers.pop("date")
    return got[0]


TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"


@pytest.mark.parametrize(
    ("body", "content_type", "raw"),
    [
        ("text", TEXT, b"text"),
        ("hé\u20ac\U0001f600", TEXT, "hé\u20ac\U0001f600".encode()),
        ("", TEXT, b""),
        (b"bytes", BYTES, b"bytes"),
        (b"", BYTES, b""),
        (bytearray(b"array"), BYTES, b"array"),
        (memoryview(b"0view0")[1:5], BYTES, b"view"),
        (None, None, b""),
    ],
)
def test_bodies(body: Any, content_type: str | None, raw: bytes) -> None:
    response = http.Response(body)
    assert (response.status, response.body, response.content_type) == (200, raw, content_type)
    arrived = sent(response)
    assert arrived.body == raw
    assert arrived.headers.get("content-type") == content_type
    assert arrived.headers["content-length"] == str(len(raw))
    if isinstance(body, str | bytes):
        assert sent(body)[1:] == arrived[1:]


def test_a_buffer_is_copied_when_the_response_is_made() -> None:
    buffer = bytearray(b"before")
    response = http.Response(buffer)
    buffer[:] = b"after!"
    assert response.body == b"before"


class Text(str):
    """Text with things of its own."""

    __slots__ = ("extra",)


def test_subclasses_of_text_and_bytes() -> None:
    large = Text("x" * 100_000)
    large.extra = large
    assert sent(http.Response(large)).body == b"x" * 100_000
    assert sent(large).headers["content-type"] == TEXT
    assert sent(type("Raw", (bytes,), {})(b"raw")).body == b"raw"


def test_all_arguments() -> None:
    response = http.Response("x", 404, headers={"X-A": "1", "x-b": b"2"}, content_type="text/html")
    assert dict(response.headers) == {"content-type": "text/html", "x-a": "1", "x-b": "2"}
    arrived = sent(response)
    assert arrived.status == 404
    assert arrived.headers["X-A"] == "1"
    assert arrived.headers["content-type"] == "text/html"
    same = http.Response(body="x", status=404)
    assert (same.status, same.body) == (404, b"x")


def test_headers_as_pairs_may_repeat() -> None:
    pairs = [("set-cookie", "a=1"), ("Set-Cookie", "b=2"), ["x", "  trimmed\t"]]
    headers = http.Response(headers=pairs).headers
    assert headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert headers["x"] == "trimmed"
    assert http.Response(headers=http.Headers([("a", "1")])).headers["a"] == "1"


@pytest.mark.parametrize(
    ("arguments", "content_type"),
    [
        ({"content_type": "text/css"}, "text/css"),
        ({"content_type": ""}, None),
        ({"content_type": None}, TEXT),
        ({"headers": {"Content-Type": "image/png"}}, "image/png"),
        ({"headers": {"content-type": "a/b"}, "content_type": "c/d"}, "c/d"),
    ],
)
def test_the_content_type(arguments: dict[str, Any], content_type: str | None) -> None:
    response = http.Response("x", **arguments)
    assert response.content_type == content_type
    assert sent(response).headers.get("content-type") == content_type


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\r\nX: y", "a\0b", "\x7f", "\x01"])
def test_a_value_cannot_end_its_line(bad: str) -> None:
    pairs = [(b"x", bad.encode())]
    for arguments in ({"headers": {"x": bad}}, {"content_type": bad}, {"headers": pairs}):
        with pytest.raises(errors.LocalProtocolError, match="field value has byte 0x"):
            http.Response("x", **arguments)  # type: ignore[arg-type]
    with pytest.raises(errors.LocalProtocolError, match="field value has byte"):
        http.Response("x", headers={"content-type": bad})


@pytest.mark.parametrize("bad", ["", "a b", "a:", "x\r\n", "é", "a\0"])
def test_a_name_is_a_token(bad: str) -> None:
    with pytest.raises(errors.LocalProtocolError, match="field name is not a token"):
        http.Response(headers={bad: "x"})


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "Connection", "Keep-Alive", "DATE"],
)
def test_what_the_server_sets_is_refused(name: str) -> None:
    with pytest.raises(errors.LocalProtocolError, match=f"{name.lower()} is set by the server"):
        http.Response(headers={name: "x"})
    with pytest.raises(errors.LocalProtocolError, match="host belongs to requests"):
        http.Response(headers={"Host": "x"})


def test_values_are_one_byte_a_character() -> None:
    assert sent(http.Response(headers={"x": "h\xe9"})).headers["x"] == "h\xe9"
    with pytest.raises(errors.LocalProtocolError, match="has '\u20ac'; only characters"):
        http.Response(headers={"x": "\u20ac"})


@pytest.mark.parametrize("status", [200, 204, 299, 302, 404, 418, 599])
def test_every_final_status(status: int) -> None:
    assert sent(http.Response(status=status)).status == status


@pytest.mark.parametrize("status", [0, -1, 100, 101, 199, 600, 99999])
def test_a_status_that_is_none(status: int) -> None:
    with pytest.raises(ValueError, match="a final response has 200 to 599"):
        http.Response("x", status)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: http.Response(7), "body must be str, bytes"),
        (lambda: http.Response("x", "200"), "int"),
        (lambda: http.Response("x", 200, {}), "argument"),
        (lambda: http.Response(text="x"), "text"),
        (lambda: http.Response("x", body="y"), "body"),
        (lambda: http.Response(headers=7), "iterable"),
        (lambda: http.Response(headers={"x": 7}), "str or bytes, not int"),
        (lambda: http.Response(headers=[7]), "iterable"),
    ],
)
def test_arguments_of_the_wrong_type(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()


def test_pairs_are_two() -> None:
    with pytest.raises(ValueError, match="pairs of name and value"):
        http.Response(headers=[("a", "b", "c")])  # type: ignore[list-item]


def test_lone_surrogates_cannot_be_sent() -> None:
    with pytest.raises(UnicodeEncodeError):
        http.Response("\ud800")


def test_what_the_iterable_raises_comes_through() -> None:
    def pairs() -> Any:
        yield "a", "b"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        http.Response(headers=pairs())


class Page(http.Response):
    """A response with a constructor and attributes of its own."""

    def __new__(cls, title: str) -> "Page":
        page = super().__new__(cls, f"<h1>{title}</h1>", 201, content_type="text/html")
        page.title = title
        return page

    title: str


def test_a_subclass() -> None:
    page = Page("Hi")
    page.itself = page  # type: ignore[attr-defined]
    assert page.title == "Hi"
    arrived = sent(page)
    assert (arrived.status, arrived.body) == (201, b"<h1>Hi</h1>")
    seen = weakref.ref(page)
    del page
    gc.collect()
    assert seen() is None


def test_one_response_can_be_sent_often() -> None:
    response = http.Response("x" * 50_000)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        for _ in range(10):
            assert len((await peer.ask()).body) == 50_000

    assert with_peer(lambda _: response, scenario) == []


def test_many_are_made_and_dropped() -> None:
    for _ in range(3):
        many = [http.Response("x", headers={"a": "b"}) for _ in range(500)]
        assert {response.body for response in many} == {b"x"}
        del many
    gc.collect()


def test_what_can_be_set() -> None:
    response = http.Response("x")
    response.status = 404
    response.content_type = "text/html"
    assert sent(response) == (404, {"content-type": "text/html", "content-length": "1"}, b"x")
    response.content_type = ""
    assert "content-type" not in sent(response).headers
    response.content_type = None
    assert response.content_type == TEXT


def test_what_cannot_be_set() -> None:
    response = http.Response("x")
    with pytest.raises(ValueError, match="200 to 599"):
        response.status = 199
    with pytest.raises(TypeError):
        response.status = "404"  # type: ignore[assignment]
    with pytest.raises(errors.LocalProtocolError, match="byte 0x0D"):
        response.content_type = "a\r\nb: c"
    with pytest.raises(AttributeError):
        response.body = b"y"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        response.headers = {}  # type: ignore[misc, assignment]
    for name in ("status", "content_type"):
        with pytest.raises(AttributeError, match="deleted"):
            delattr(response, name)
    assert (response.status, response.content_type) == (200, TEXT)


def test_it_cannot_be_copied_by_accident() -> None:
    with pytest.raises(TypeError):
        copy.copy(http.Response("x"))


# -- Redirections ---------------------------------------------------------------------------------


def test_a_redirection() -> None:
    arrived = sent(http.Response.redirect("/other?a=b#c"))
    assert arrived == (302, {"location": "/other?a=b#c", "content-length": "0"}, b"")
    assert http.Response.redirect(status=308, url="http://h/").status == 308


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/caf\xe9 noir", "/caf%C3%A9%20noir"),
        ("/%C3%A9?q=%20", "/%C3%A9?q=%20"),
        ("http://h/\u20ac", "http://h/%E2%82%AC"),
        ("", ""),
    ],
)
def test_a_location_is_ascii(url: str, location: str) -> None:
    assert http.Response.redirect(url).headers["location"] == location


@pytest.mark.parametrize("url", ["/\r\nset-cookie: a=b", "/\n", "/\0", "/\x7f"])
def test_a_location_cannot_end_its_line(url: str) -> None:
    with pytest.raises(errors.LocalProtocolError, match="field value has byte"):
        http.Response.redirect(url)


@pytest.mark.parametrize("status", [200, 300, 304, 305, 306, 404])
def test_a_redirection_has_a_status_of_one(status: int) -> None:
    with pytest.raises(ValueError, match="a redirection has one of"):
        http.Response.redirect("/", status)


@pytest.mark.parametrize("arguments", [(), (None,), (7,)])
def test_a_redirection_needs_a_url(arguments: Any) -> None:
    with pytest.raises(TypeError):
        http.Response.redirect(*arguments)


def test_a_subclass_makes_its_own_kind() -> None:
    assert type(Page.redirect("/")) is Page
    assert type(Page.json({})) is Page


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/\\evil.example", "/%5Cevil.example"),
        ("\\\\evil.example", "%5C%5Cevil.example"),
        ("/\t/evil.example", "/%09/evil.example"),
        ("\t//evil.example", "%09//evil.example"),
        (" /a b\u00e9?\\", "/a%20b%C3%A9?%5C"),
    ],
)
def test_a_redirection_that_looks_like_a_path_is_one(url: str, location: str) -> None:
    assert http.Response.redirect(url).headers["location"] == location


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x0b", "\x1f", "\x7f"])
def test_a_redirection_has_no_controls(character: str) -> None:
    with pytest.raises(errors.LocalProtocolError):
        http.Response.redirect(f"/a{character}b")
