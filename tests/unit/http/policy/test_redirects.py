"""Redirects: the next request, what goes with it, and where it ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sennit.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from sennit.http.policy.redirects import Hop, Redirects

BASE = "http://a/b/c/d?q"

SECRETS = (
    ("Authorization", "Basic eDp5"),
    ("cookie", "a=b"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("Host", "other.example"),
)


def follow(location: str, url: str = BASE, status: int = 302, method: str = "GET") -> Hop:
    hop = Redirects().next_hop([Hop(method, url)], status, location)
    assert hop is not None
    return hop


@pytest.mark.parametrize(
    ("status", "method", "after", "keeps_body"),
    [
        (301, "GET", "GET", True),
        (301, "POST", "GET", False),
        (301, "PUT", "PUT", True),
        (301, "HEAD", "HEAD", True),
        (302, "POST", "GET", False),
        (302, "DELETE", "DELETE", True),
        (303, "GET", "GET", False),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", False),
        (307, "GET", "GET", True),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
        (308, "PATCH", "PATCH", True),
    ],
)
def test_method_and_body(status: int, method: str, after: str, keeps_body: bool) -> None:
    fields = (("Content-Type", "text/plain"), ("Content-Length", "4"), ("x-other", "stays"))
    first = Hop(method, BASE, fields, has_body=True)
    hop = Redirects().next_hop([first], status, "/next")
    assert hop == Hop(after, "http://a/next", fields if keeps_body else fields[2:], keeps_body)


@pytest.mark.parametrize("status", [200, 201, 204, 300, 304, 305, 306, 309, 400, 500])
def test_other_statuses_lead_nowhere(status: int) -> None:
    assert Redirects().next_hop([Hop("GET", BASE)], status, "/next") is None


def test_without_a_location_it_is_an_answer() -> None:
    assert Redirects().next_hop([Hop("GET", BASE)], 302, None) is None


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("//g:81/x", "http://g:81/x"),
        ("?y", "http://a/b/c/d?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("", "http://a/b/c/d?q"),
        ("..", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("HTTP://B/c", "http://B/c"),
        ("  /g\t", "http://a/g"),
        ("/a b", "http://a/a%20b"),
        ("/%20%zz", "http://a/%20%zz"),
        ("/\xe4", "http://a/%E4"),
        ("/\xc3\xa4?\xc3\xa4", "http://a/%C3%A4?%C3%A4"),
        ("//b\xc3\xbccher.example/", "http://b\xfccher.example/"),
        ("/\\evil.example", "http://a/\\evil.example"),
        ("https://a/", "https://a/"),
    ],
)
def test_a_location_is_resolved(location: str, url: str) -> None:
    assert follow(location).url == url


@pytest.mark.parametrize(
    ("location", "url"),
    [("/g", "http://a/g#old"), ("/g#new", "http://a/g#new"), ("#new", "http://a/b#new")],
)
def test_a_fragment_is_inherited_unless_there_is_a_new_one(location: str, url: str) -> None:
    assert follow(location, "http://a/b#old").url == url


@pytest.mark.parametrize(
    "location",
    [
        "ftp://a/",
        "javascript:alert(1)",
        "mailto:a@b.example",
        "file:///etc/passwd",
        "http:",
        "http:///x",
        "http:x",
        "http://a:port/",
        "http://a:65536/",
        "http://a:0/",
        "http://[::1/",
        "http://user@a/",
        "http://user:pass@a/",
        "//user@a/",
        "http://a\\@b/",
        "http://a b/",
        "/a\r\nx: y",
        "/\x00",
    ],
)
def test_a_location_that_cannot_be_followed(location: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        follow(location)
    assert caught.value.rule.startswith("RFC 9110")
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "location", "is_same"),
    [
        ("http://a/", "/x", True),
        ("http://a/", "http://a:80/x", True),
        ("http://a/", "http://A/x", True),
        ("https://a:443/", "https://a/x", True),
        ("http://b\xfccher.example/", "http://xn--bcher-kva.example/x", True),
        ("http://a/", "http://b/x", False),
        ("http://a/", "http://www.a/x", False),
        ("http://a/", "http://a:81/x", False),
        ("http://a/", "https://a/x", False),
        ("http://a:443/", "https://a:443/x", False),
    ],
)
def test_credentials_stay_with_their_origin(old: str, location: str, is_same: bool) -> None:
    first = Hop("GET", old, (*SECRETS, ("x-other", "stays")))
    hop = Redirects().next_hop([first], 307, location)
    assert hop is not None
    assert hop.headers == (first.headers if is_same else first.headers[-1:])


def test_credentials_do_not_come_back_with_the_origin() -> None:
    there = Redirects().next_hop([Hop("GET", "http://a/", SECRETS)], 302, "http://b/")
    assert there is not None
    back = Redirects().next_hop([there], 302, "http://a/")
    assert back == Hop("GET", "http://a/")


def test_from_tls_to_plain_text_only_if_allowed() -> None:
    chain = [Hop("GET", "https://a/")]
    with pytest.raises(
        RemoteProtocolError, match=r"https://a/ .* http://a/, from TLS .*allow_down"
    ):
        Redirects().next_hop(chain, 301, "http://a/")
    hop = Redirects(allow_downgrade=True).next_hop(chain, 301, "http://a/")
    assert hop == Hop("GET", "http://a/")


def test_a_body_that_is_gone_is_an_error_where_it_is_needed() -> None:
    chain = [Hop("POST", BASE, has_body=True)]
    with pytest.raises(LocalProtocolError, match="status 307, so the body has to be sent again"):
        Redirects().next_hop(chain, 307, "/x", is_repeatable=False)
    assert Redirects().next_hop(chain, 303, "/x", is_repeatable=False) == Hop("GET", "http://a/x")


def walk(policy: Redirects, locations: list[str]) -> None:
    chain = [Hop("GET", "http://user:pass@a/0")]
    for location in locations:
        hop = policy.next_hop(chain, 302, location)
        assert hop is not None
        chain.append(hop)


def test_twenty_redirects_are_the_limit() -> None:
    walk(Redirects(), [f"/{number}" for number in range(1, 21)])
    with pytest.raises(RemoteProtocolError) as caught:
        walk(Redirects(), [f"/{number}" for number in range(1, 22)])
    assert str(caught.value) == (
        "21 redirects, limit 20 (max_redirects): http://a/0 -> http://a/1 -> http://a/2 -> "
        "(16 more) -> http://a/19 -> http://a/20 -> http://a/21"
    )


@pytest.mark.parametrize(
    ("locations", "loop"),
    [
        (["/0"] * 5, "http://a/0 -> http://a/0"),
        (["/x", "/y"] * 3, "http://a/x -> http://a/y -> http://a/x"),
    ],
)
def test_a_loop_is_named(locations: list[str], loop: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        walk(Redirects(max_redirects=4), locations)
    assert str(caught.value) == (f"5 redirects, limit 4 (max_redirects); they go in a loop: {loop}")


def test_no_redirect_at_all() -> None:
    with pytest.raises(RemoteProtocolError, match=r"1 redirects, limit 0"):
        walk(Redirects(max_redirects=0), ["/x"])
    with pytest.raises(ConfigError, match="max_redirects is -1"):
        Redirects(max_redirects=-1)


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=0xFF), max_size=40))
def test_no_location_is_too_strange(location: str) -> None:
    try:
        hop = follow(location)
    except RemoteProtocolError:
        return
    assert hop.url.startswith(("http://", "https://"))
    assert "\n" not in hop.url
