"""Header fields: a mapping without case that keeps what is repeated, checked when written."""

import copy
import gc
import pickle
import string
import weakref
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.http.talking import Peer, with_peer

from sennit import errors, http

PAIRS = [("Host", "h"), ("Accept", "a"), ("accept", "b")]


def test_headers_are_a_mapping_without_case() -> None:
    headers = http.Headers(PAIRS)
    assert isinstance(headers, Mapping)
    assert headers["HOST"] == "h"
    assert headers["Accept"] == "a, b"
    assert headers.get("missing") is None
    assert headers.get("missing", "x") == "x"
    assert "ACCEPT" in headers
    assert "missing" not in headers
    assert 7 not in headers
    assert list(headers) == list(headers.keys()) == ["host", "accept"]
    assert list(headers.values()) == ["h", "a, b"]
    assert len(headers) == 2
    assert dict(headers) == {"host": "h", "accept": "a, b"}
    with pytest.raises(KeyError, match="Missing"):
        headers["Missing"]


def test_headers_keep_what_is_repeated() -> None:
    headers = http.Headers(PAIRS)
    assert headers.get_all("ACCEPT") == ["a", "b"]
    assert headers.get_all("missing") == []
    assert headers.items() == [("host", "h"), ("accept", "a"), ("accept", "b")]
    assert repr(headers) == "Headers([('host', 'h'), ('accept', 'a'), ('accept', 'b')])"


def test_they_are_equal_if_their_values_are() -> None:
    headers = http.Headers(PAIRS)
    assert headers == http.Headers(PAIRS)
    assert headers == {"host": "h", "accept": "a, b"}
    assert headers != {"host": "h"}
    assert headers != http.Headers(PAIRS[:2])
    assert http.Headers() == {}
    assert headers != PAIRS
    with pytest.raises(TypeError, match="unhashable"):
        hash(headers)


def test_they_are_made_of_mappings_and_pairs_and_headers() -> None:
    assert http.Headers({"X-A": "1"}).items() == [("x-a", "1")]
    assert http.Headers(http.Headers(PAIRS)).items() == http.Headers(PAIRS).items()
    assert http.Headers(pair for pair in PAIRS) == http.Headers(PAIRS)
    # What was received may have what a response may not be given.
    received = http.Headers({"Content-Length": "3", "Host": "h"})
    assert received["content-length"] == "3"


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(errors.LocalProtocolError, match="not a token"):
        http.Headers([(name, "x")])
    assert name not in http.Headers([("a", "b:c")])


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "\0", "\u20ac"])
def test_a_value_that_cannot_stand_in_a_line_is_refused(value: str) -> None:
    with pytest.raises(errors.LocalProtocolError):
        http.Headers([("x", value)])


def test_lone_surrogates_are_found_nowhere() -> None:
    headers = http.Headers(PAIRS)
    assert "\ud800" not in headers
    assert headers.get("\ud800") is None


def test_cookies_are_joined_by_semicolons() -> None:
    headers = http.Headers([("Cookie", "a=1"), ("cookie", "b=2"), ("Cookie", "c=3")])
    assert headers["cookie"] == "a=1; b=2; c=3"
    assert dict(headers) == {"cookie": "a=1; b=2; c=3"}


def test_parse_reads_lines_as_they_were_received() -> None:
    headers = http.Headers.parse(b"X-A:one\r\nx-a: \t two \r\nEmpty:\r\nno colon\r\n\r\n")
    assert headers.items() == [("x-a", "one"), ("x-a", "two"), ("empty", "")]
    assert http.Headers.parse(b"").items() == []
    with pytest.raises(TypeError, match="bytes"):
        http.Headers.parse("x: y")  # type: ignore[arg-type]


def test_copies() -> None:
    headers = http.Headers([("Host", "h\xe9")])
    for again in (copy.copy(headers), copy.deepcopy(headers), pickle.loads(pickle.dumps(headers))):
        assert again.items() == [("host", "h\xe9")]


WRITES: list[Any] = [
    lambda headers: headers.__setitem__("x", "y"),
    lambda headers: headers.__delitem__("host"),
    lambda headers: headers.add("x", "y"),
    lambda headers: headers.setdefault("x", "y"),
    lambda headers: headers.pop("host"),
    lambda headers: headers.update({"x": "y"}),
]


@pytest.mark.parametrize("write", WRITES)
def test_only_those_of_a_response_can_be_changed(write: Any) -> None:
    with pytest.raises(TypeError, match="read-only"):
        write(http.Headers(PAIRS))

    def handler(request: http.Request) -> str:
        with pytest.raises(TypeError, match="read-only"):
            write(request.headers)
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask()).status == 200

    assert with_peer(handler, scenario) == []


def test_the_headers_of_a_request_are_one_object_while_they_are_held() -> None:
    kept: list[Any] = []

    def handler(request: http.Request) -> str:
        headers = request.headers
        assert headers is request.headers
        kept.append(headers)
        return "ok"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        await peer.ask(b"GET / HTTP/1.1\r\nHost: h\r\nX: first\r\n\r\n")
        await peer.ask(b"GET / HTTP/1.1\r\nHost: h\r\nX: other\r\n\r\n")

    assert with_peer(handler, scenario) == []
    # They outlive their request, whose head lay in the connection's buffer.
    assert [headers["x"] for headers in kept] == ["first", "other"]


# -- Those of a response --------------------------------------------------------------------------


def test_a_field_is_set_in_the_place_of_all_of_its_name() -> None:
    response = http.Response(headers=[("a", "1"), ("b", "2"), ("A", "3"), ("c", "4")])
    response.headers["a"] = " new "
    response.headers["d"] = "5"
    assert response.headers.items() == [("a", "new"), ("b", "2"), ("c", "4"), ("d", "5")]


def test_fields_are_added_and_removed() -> None:
    headers = http.Response(headers={"a": "1"}).headers
    headers.add("Set-Cookie", "x=1")
    headers.add("set-cookie", "y=2")
    assert headers.get_all("set-cookie") == ["x=1", "y=2"]
    assert headers.pop("SET-COOKIE") == "x=1, y=2"
    assert headers.pop("set-cookie", None) is None
    with pytest.raises(KeyError, match="set-cookie"):
        headers.pop("set-cookie")
    del headers["A"]
    assert headers.items() == []
    with pytest.raises(KeyError, match="'A'"):
        del headers["A"]


def test_setdefault_keeps_what_is_there() -> None:
    headers = http.Response(headers={"vary": "accept"}).headers
    assert headers.setdefault("Vary", "cookie") == "accept"
    assert headers.setdefault("x", "y") == "y"
    assert dict(headers) == {"vary": "accept", "x": "y"}


def test_update_takes_all_or_nothing() -> None:
    headers = http.Response(headers=[("a", "1"), ("b", "2")]).headers
    headers.update([("A", "3"), ("a", "4"), ("content-type", "text/css")])
    assert headers.items() == [("content-type", "text/css"), ("b", "2"), ("a", "3"), ("a", "4")]
    with pytest.raises(errors.LocalProtocolError):
        headers.update({"b": "5", "date": "x"})
    with pytest.raises(TypeError, match="not int"):
        headers.update({"b": "5", "c": 7})  # type: ignore[dict-item]
    assert headers["b"] == "2"


def test_the_content_type_is_a_field_like_others() -> None:
    response = http.Response("x")
    headers = response.headers
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    headers["content-type"] = "text/html"
    assert response.content_type == "text/html"
    headers.add("Content-Type", "text/css")
    assert headers.get_all("content-type") == ["text/css"]
    del headers["content-type"]
    assert response.content_type is None
    assert "content-type" not in headers
    with pytest.raises(KeyError):
        del headers["content-type"]


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\0b", "\x7f"])
@pytest.mark.parametrize("name", ["x", "content-type"])
def test_each_write_is_checked(name: str, bad: str) -> None:
    headers = http.Response("x", headers={"x": "before"}).headers
    before = headers.items()
    writes: list[Any] = [
        lambda: headers.__setitem__(name, bad),
        lambda: headers.add(name, bad),
        lambda: headers.update({name: bad}),
    ]
    for write in writes:
        with pytest.raises(errors.LocalProtocolError, match="field value has byte 0x"):
            write()
    with pytest.raises(errors.LocalProtocolError, match="not a token"):
        headers["x\r\ny"] = "z"
    assert headers.items() == before


@pytest.mark.parametrize("name", ["Content-Length", "date", "Connection", "Transfer-Encoding"])
def test_what_the_server_sets_is_refused(name: str) -> None:
    headers = http.Response().headers
    for write in (headers.__setitem__, headers.add, headers.setdefault):
        with pytest.raises(errors.LocalProtocolError, match=f"{name.lower()} is set by the server"):
            write(name, "x")
    with pytest.raises(errors.LocalProtocolError, match="host belongs to requests"):
        headers["host"] = "x"


def test_changes_are_sent() -> None:
    def handler(_request: http.Request) -> http.Response:
        response = http.Response("x", headers={"a": "1"})
        response.headers["X-B"] = "2"
        response.headers["content-type"] = "text/css"
        del response.headers["a"]
        return response

    async def scenario(peer: Peer, _server: http.Server) -> None:
        headers = (await peer.ask()).headers
        assert headers.pop("date")
        assert headers == {"content-type": "text/css", "X-B": "2", "content-length": "1"}

    assert with_peer(handler, scenario) == []


def test_a_response_and_its_headers_hold_each_other_in_no_cycle() -> None:
    class Weak(http.Response):
        """One that can be seen to go."""

    gc.disable()
    try:
        response = Weak("x", headers={"a": "1"})
        seen = weakref.ref(response)
        headers = response.headers
        assert headers is response.headers
        del response
        assert headers["a"] == "1"
        assert seen() is not None
        del headers
        assert seen() is None
    finally:
        gc.enable()


def test_a_cycle_through_headers_is_collected() -> None:
    class Weak(http.Response):
        """One that can be seen to go."""

    response = Weak("x")
    response.kept = response.headers  # type: ignore[attr-defined]
    seen = weakref.ref(response)
    del response
    gc.collect()
    assert seen() is None


# -- Against a list of pairs ----------------------------------------------------------------------

NAMES = st.sampled_from(["a", "A", "b", "cookie", "Content-Type", "x-long-name", "X-LONG-NAME"])
VALUES = st.text(string.ascii_letters + "\xe9\xff:;, \t", max_size=6)
ACTIONS = st.sampled_from(["set", "add", "del", "pop", "setdefault", "update"])


class Model:
    """What headers mean: a list of pairs, the one content type before all others."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def get(self, name: str) -> str | None:
        values = [value for own, value in self.pairs if own == name.lower()]
        joint = "; " if name == "cookie" else ", "
        return joint.join(values) if values else None

    def remove(self, name: str) -> None:
        self.pairs = [pair for pair in self.pairs if pair[0] != name.lower()]

    def add(self, name: str, value: str) -> None:
        pair = (name.lower(), value.strip(" \t"))
        if pair[0] != "content-type":
            self.pairs.append(pair)
            return
        self.remove(name)
        if pair[1]:
            self.pairs.insert(0, pair)

    def set(self, name: str, value: str) -> None:
        places = [place for place, pair in enumerate(self.pairs) if pair[0] == name.lower()]
        self.remove(name)
        self.add(name, value)
        if places and name.lower() != "content-type":
            self.pairs.insert(places[0], self.pairs.pop())


@given(st.lists(st.tuples(ACTIONS, NAMES, VALUES), max_size=12))
def test_the_headers_of_a_response_do_what_a_list_does(steps: list[tuple[str, str, str]]) -> None:
    headers, model = http.Response().headers, Model()
    for action, name, value in steps:
        known = model.get(name)
        match action:
            case "set":
                headers[name] = value
                model.set(name, value)
            case "add":
                headers.add(name, value)
                model.add(name, value)
            case "del" if known is not None:
                del headers[name]
                model.remove(name)
            case "pop":
                assert headers.pop(name, None) == known
                model.remove(name)
            case "setdefault":
                headers.setdefault(name, value)
                if known is None:
                    model.add(name, value)
            case "update":
                headers.update({name: value})
                model.remove(name)
                model.add(name, value)
        assert headers.items() == model.pairs
        assert headers.get(name.swapcase()) == model.get(name)
        assert dict(headers) == {own: model.get(own) for own, _ in model.pairs}


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_headers_that_are_read_are_the_pairs_they_were_made_of(
    pairs: list[tuple[str, str]],
) -> None:
    headers = http.Headers(pairs)
    plain = [(name.lower(), value.strip(" \t")) for name, value in pairs]
    assert headers.items() == plain
    assert list(headers) == list(dict.fromkeys(name for name, _ in plain))
    assert len(headers) == len(list(headers))
    block = "".join(f"{name}:{value}\r\n" for name, value in pairs).encode("latin-1")
    assert http.Headers.parse(block) == headers
