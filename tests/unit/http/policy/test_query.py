"""Queries: pairs as browsers write them, put behind a URL."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sennit.http.policy.query import Pairs, encode_pairs, with_params

PAIRS = st.lists(st.tuples(st.text(), st.text()))


@pytest.mark.parametrize(
    ("pairs", "encoded"),
    [
        ({}, ""),
        ([], ""),
        ({"a": "1", "b": "2"}, "a=1&b=2"),
        ([("b", "1"), ("a", "2"), ("b", "3")], "b=1&a=2&b=3"),
        ({"a": ["1", "2"], "b": ()}, "a=1&a=2"),
        ({"a": "x y+z"}, "a=x+y%2Bz"),
        ({"a": "*-._~"}, "a=*-._%7E"),
        ({"a": "&=;?#/:@!$'(),%"}, "a=%26%3D%3B%3F%23%2F%3A%40%21%24%27%28%29%2C%25"),
        ({"\xe4": "\u20ac\U0001f600"}, "%C3%A4=%E2%82%AC%F0%9F%98%80"),
        ({"a": "\r\n\x00"}, "a=%0D%0A%00"),
        ({"a": ""}, "a="),
        ({"": "a"}, "=a"),
        ({"a": 1, "b": -2.5, "c": True, "d": False}, "a=1&b=-2.5&c=true&d=false"),
        ({"a": [1, "x"]}, "a=1&a=x"),
        ({"a": "\ud800"}, "a=%EF%BF%BD"),
        ({"a": "\ud83d\ude00"}, "a=%F0%9F%98%80"),
        ({"a": (one for one in "xy")}, "a=x&a=y"),
    ],
)
def test_pairs(pairs: Pairs, encoded: str) -> None:
    assert encode_pairs(pairs) == encoded


@pytest.mark.parametrize(
    "pairs",
    [{"a": None}, {"a": b"x"}, [("a", None)], {"a": [None]}, {"a": object()}, "a=b", b"a=b"],
)
def test_what_is_no_text_is_refused(pairs: object) -> None:
    with pytest.raises(TypeError):
        encode_pairs(pairs)  # type: ignore[arg-type]


@settings(deadline=None)
@given(PAIRS)
def test_the_standard_library_reads_it(pairs: list[tuple[str, str]]) -> None:
    # Its own reader leaves out nothing if a blank value counts.
    assert (
        parse_qsl(encode_pairs(pairs), keep_blank_values=True, strict_parsing=bool(pairs)) == pairs
    )


@pytest.mark.parametrize(
    ("url", "params", "merged"),
    [
        ("http://a/", None, "http://a/"),
        ("http://a/", {}, "http://a/"),
        ("http://a/?", {}, "http://a/?"),
        ("http://a/", {"x": 1}, "http://a/?x=1"),
        ("http://a", {"x": 1}, "http://a?x=1"),
        ("http://a/?", {"x": 1}, "http://a/?x=1"),
        ("http://a/?y", {"x": 1}, "http://a/?y&x=1"),
        ("http://a/?y=2", {"x": 1}, "http://a/?y=2&x=1"),
        ("http://a/?y=2&", {"x": 1}, "http://a/?y=2&x=1"),
        ("http://a/?x=0", {"x": 1}, "http://a/?x=0&x=1"),
        ("http://a/#f?g", {"x": 1}, "http://a/?x=1#f?g"),
        ("http://a/?y#f", {"x": 1}, "http://a/?y&x=1#f"),
        ("http://a/?y=%20+", {"x": 1}, "http://a/?y=%20+&x=1"),
        ("http://a/#", {"x": 1}, "http://a/?x=1#"),
    ],
)
def test_a_url_with_params(url: str, params: Pairs | None, merged: str) -> None:
    assert with_params(url, params) == merged


@settings(deadline=None)
@given(PAIRS, PAIRS)
def test_params_come_behind_the_query(
    old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> None:
    url = with_params(with_params("http://a/b#c", old), new)
    parts = urlsplit(url)
    assert parse_qsl(parts.query, keep_blank_values=True) == old + new
    assert (parts.path, parts.fragment) == ("/b", "c")
